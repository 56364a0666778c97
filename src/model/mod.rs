//! What leaves the process, as data: findings, leak reports, recordings, and stacks with their
//! names. Nothing here prints, and nothing here looks anything up.

pub mod access;
pub mod block;
pub mod damage;
pub mod defect;
pub mod fault;
pub mod finding;
pub mod finding_report;
pub mod leak_report;
pub mod recording;
pub mod signal;
pub mod site;
pub mod stack;
pub mod unwatched;
