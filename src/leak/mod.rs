//! Leaks: which live blocks the program can still reach. `stop` holds the other threads, `space`
//! and `roots` know where the program's pointers may be, `marks` says which block a word points
//! into, `mark` follows such words, `classify` sorts what is lost, `reader` reads memory that may
//! hold guards, or may not be there; `check` does it all in order; `newborn` is a quick look at a
//! few blocks.

pub mod check;
pub mod classify;
mod interior_pointers;
mod kernel_words;
mod live_stacks;
pub mod mappings;
pub mod mark;
pub mod mark_bitmap;
pub mod reachability_query;
pub mod reader;
pub mod root_regions;
pub mod roots;
pub mod stop;
pub mod suppress;

pub use check::Check;
