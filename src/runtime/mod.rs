//! The process's one checked heap, from its first block to what is said at its end: whoever gives
//! programs its calls (`tools/preload` by the C and C++ symbols, [`crate::Mallocop`] as Rust's
//! global allocator) begins here.
//!
//! `start` makes it ready, `reader` knows the options and who reads, `reporter` turns findings into
//! text, `ending` looks for leaks and sums up, `fork` keeps it whole over fork, `hooks` and
//! `rules_for_leaks` are what the program has to say to that, `entry` the entries of the calls,
//! `attendance` what stands beside them.

mod afl;
pub mod attendance;
pub mod death;
pub mod ending;
pub mod entry;
pub mod exports;
mod fork;
pub mod hooks;
pub mod leak_calls;
pub mod reader;
pub mod reporter;
mod rules_for_leaks;
pub mod rust_calls;
pub mod sanitizer_calls;
pub mod scope;
pub mod shared_heap;
pub mod start;

use crate::debug::CheckedHeap;

/// The program's heap.
pub static HEAP: CheckedHeap = CheckedHeap::new(reporter::on_finding);
