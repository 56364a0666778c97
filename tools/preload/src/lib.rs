//! libmallocop.so: the C and C++ allocation symbols, each a few lines over the `mallocop` library.
//!
//! Loaded by `LD_PRELOAD`. The symbols live in this library alone: an rlib that exports `malloc`
//! would replace it in every program that links it.

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the exports are specified by the C and C++ standards, malloc(3) and posix_memalign(3)"
)]

mod cpp;
mod entry;
mod environment;
mod exec;
mod exit;
mod filters;
mod fork;
mod hooks;
mod interface;
mod lsan;
mod malloc;
mod operators;
mod reader;
mod reporter;
mod rules;
mod rules_for_leaks;
mod shims;
mod start;
mod statistics;
#[cfg(not(feature = "oracle"))]
mod unwinder;

use mallocop::debug::CheckedHeap;
use mallocop::own::heap::OwnAllocator;

/// Rust code in this library never comes back to malloc.
#[global_allocator]
static ALLOCATOR: OwnAllocator = OwnAllocator;

/// The program's heap.
static HEAP: CheckedHeap = CheckedHeap::new(reporter::on_finding);
