//! The process's one checked heap, from its first block to what is said at its end: whoever gives
//! programs its calls (`tools/preload` by the C and C++ symbols, [`crate::Mallocop`] as Rust's
//! global allocator) begins here.
//!
//! `init` makes it ready, `config` knows the options and who reads the reports, `reporter` turns
//! findings into reports, `report_sink` is where they go, `exit` looks for leaks and sums up,
//! `abort` ends the program, `fault` explains deadly signals and tells of accesses that guard pages
//! have caught, `refused_call` of system calls that these have ended, `guard_filter` says which
//! sites' blocks are guarded, `way_out` looks through the heap where no exit handler runs, `fork`
//! keeps the heap whole over fork, `leak_rules` are the rules against leaks, `hooked` is the way of
//! calls that a hook or a plan listens to.

pub mod abort;
mod afl;
pub mod checked_call;
pub mod config;
pub mod exit;
pub mod fault;
pub mod fork;
mod guard_filter;
mod heap;
pub mod hooked;
pub mod init;
mod leak_rules;
mod log_file;
mod lsan_user_hooks;
pub mod refused_call;
pub mod report_sink;
pub mod reporter;
pub mod way_out;

pub use heap::HEAP;
