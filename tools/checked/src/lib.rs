//! libmallocop_checked.so: functions that check the arguments of libc's against the blocks of
//! libmallocop.so, which is preloaded before it, and call libc's.
//!
//! Lengths that the caller gives are checked before the call, lengths that the call returns after
//! it. A bound that the call does not reach is not an error.

// Otherwise the compiler would turn the loops in `plain` into calls of the functions they replace.
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
mod program_symbols;
mod sorting;
mod start;
mod strings;
mod texts;
#[path = "../../preload/src/unwinder.rs"]
mod unwinder;
mod wide;
