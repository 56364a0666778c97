//! Leaks: which live blocks the program can still reach.
//!
//! `stop` holds the other threads, `mappings` and `roots` know where the program's pointers may be,
//! `reader` reads memory that may hold guards or may not be there, `mark_bitmap` says which block a
//! word leads to, `graph` goes on from block to block, `classify` sorts what is lost; `check` does
//! it all in order. `reachability_query` asks the other way round for a few blocks.

pub mod check;
pub mod classify;
pub mod graph;
mod interior_pointers;
mod kernel_words;
mod live_stacks;
pub mod mappings;
pub mod mark_bitmap;
pub mod reachability_query;
pub mod reader;
pub mod root_regions;
pub mod roots;
pub mod stop;
pub mod suppress;

pub use check::Check;
