//! Leaks: which live blocks the program can still reach. `stop` holds the other threads, `space`
//! and `roots` know where the program's pointers may be, `chart` says which block a word points
//! into, `mark` follows such words, `classify` sorts what is lost, `reader` reads memory that may
//! hold guards, or may not be there; `check` does it all in order; `newborn` is a quick look at a
//! few blocks.

pub mod chart;
pub mod check;
pub mod classify;
mod interior;
mod kernel_words;
pub mod mark;
pub mod newborn;
pub mod reader;
pub mod regions;
pub mod roots;
pub mod space;
pub mod stop;
pub mod suppress;
mod threads;

pub use check::{Check, Leak, Verdict};
