//! The graph of blocks: its edges are the words in a block that lead to others. `reach` goes
//! through all that some words lead to, `depth_first` through what some blocks lead to, in the
//! order in which they are finished.

mod depth_first;
mod edges;
mod reach;

pub use depth_first::{Path, visit};
pub use edges::Graph;
pub use reach::{Enter, Interior, Marking, Parents, Reach};
