//! mallocop, the library: a brk/mmap chunk heap, wrapped by a debug layer that names every heap
//! error with full stacks.
//!
//! It exports no `malloc` symbol: linking it replaces nothing. `tools/preload` makes the C and C++
//! symbols of it (libmallocop.so), `tools/cli` the `mallocop` command that preloads those.
//!
//! A block's way **in**, [`checks::CheckedHeap::allocate`]:
//!
//! 1. A signal handler that interrupted one of our locks gets memory from [`own::emergency`], the
//!    tool itself from [`own::heap`].
//! 2. The calling stack becomes a site ([`stack`]).
//! 3. The block is planned ([`checks::block`]), and a chunk taken from an arena's heap
//!    ([`arena`], [`heap`]).
//! 4. Head and canaries are written, fresh bytes filled.
//! 5. The registry declares the address live ([`checks::registry`]).
//!
//! Its way **out**, [`checks::CheckedHeap::free`]:
//!
//! 1. An address in one of our private ranges goes back there.
//! 2. One atomic step in the registry takes the block from live to quarantined, or tells why not;
//!    nothing is read through the pointer before. What is no live block is explained and becomes a
//!    [`finding::Finding`].
//! 3. Canaries, call and size are verified.
//! 4. The block is poisoned and waits in the quarantine ([`checks::quarantine`]).
//! 5. The oldest one there is verified once more and its chunk given back to the heap.
//!
//! Findings are data; [`output`] turns them into text.
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

pub mod abi;
pub mod arch;
pub mod arena;
pub mod checks;
mod global;
pub mod heap;
pub mod leak;
pub mod model;
pub mod options;
pub mod own;
pub mod program;
pub mod runtime;
pub mod shadow;
pub mod stack;
pub mod sys;
pub mod testing;
pub mod text;
pub mod trace;

pub use global::Mallocop;
pub use mallocop_macros::test;
pub use testing::{LeakScope, leak_scope, stats};
