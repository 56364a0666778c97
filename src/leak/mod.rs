//! Leaks: which live blocks the program can still reach. `stop` holds the other threads, `space` and `roots` know
//! where the program's pointers may be, `chart` says which block a word points into, `mark` follows such words,
//! `classify` sorts what is lost, `hidden` keeps all of them from memory that cannot be read or was never touched;
//! `check` does it all in order; `newborn` is a quick look at a few blocks.

pub mod chart;
pub mod check;
pub mod classify;
pub mod hidden;
mod interior;
mod kernel_words;
pub mod mark;
pub mod newborn;
pub mod regions;
pub mod roots;
pub mod space;
pub mod stop;
pub mod suppress;
mod threads;

pub use check::{Check, Leak, Verdict};
