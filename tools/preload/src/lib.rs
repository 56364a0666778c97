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

mod buffers;
mod call;
mod checked_calls;
mod cpp;
mod environment;
mod exec;
mod filters;
mod interface;
mod malloc;
mod memory_functions;
mod operators;
mod program_symbols;
mod real;
mod rules;
mod sanitizer;
mod shared;
mod shims;
mod signals;
mod start;
mod statistics;
mod threads;
#[cfg(not(feature = "oracle"))]
mod unwinder;

use mallocop::own::heap::OwnAllocator;
use mallocop::runtime::HEAP;

/// Rust code in this library never comes back to malloc.
#[global_allocator]
static ALLOCATOR: OwnAllocator = OwnAllocator;
