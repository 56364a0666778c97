//! Views of a recording: the end of a run's report as text, and JSON. A view sees data alone.

#![forbid(unsafe_code)]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

pub mod json;
pub mod summary;
