//! libmallocop_checked.so: libc's calls that read or write memory, each checked against the blocks
//! of libmallocop.so, which is preloaded before it. libc's own functions do the work.
//!
//! A length that the caller gives for all of the memory is checked before the call, one that the
//! call finds out after it. A bound that the call does not reach is no error.

// Else the loops that stand in for libc's functions would become calls of them.
#![no_builtins]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the exports are specified by the C standard, POSIX and glibc's manual"
)]

mod check;
mod compare;
mod input;
mod memory;
mod original;
mod output;
mod plain;
mod printing;
mod sorting;
mod start;
mod strings;
mod texts;
#[path = "../../preload/src/unwinder.rs"]
mod unwinder;
mod wide;

use original::look_up;
