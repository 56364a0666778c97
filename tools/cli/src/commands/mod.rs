//! The subcommands, a file each.

pub(crate) mod deep;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod sweep;
