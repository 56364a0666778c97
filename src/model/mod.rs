//! What leaves the process, as data: findings, leak reports, and the names of stacks. Nothing here
//! prints, and nothing here looks anything up.

pub mod finding;
pub mod finding_report;
pub mod leak_report;
