//! The command `cargo-mallocop`.

#![forbid(unsafe_code)]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod cargo_command;

use std::process::ExitCode;

fn main() -> ExitCode {
    cargo_command::run()
}
