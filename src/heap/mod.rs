//! The core: a chunk allocator over memory that a [`PageSource`] supplies.
//!
//! `core::` only: no libc, no locks, no printing, no allocation, no knowledge of the checks built
//! on top. Everything takes `&mut self`; whoever shares a [`Heap`] brings the lock.
//!
//! Chunk words are not trusted. Each carries a keyed checksum and is cross-checked with its
//! neighbour before it is acted on, so that smashed memory ends in [`Corrupt`], never in a fault
//! or an endless loop.

mod batch;
mod bins;
mod check;
mod chunk;
mod coalesce;
mod free_sorted;
mod granule_index;
// The module holds the type it is named for.
#[allow(clippy::module_inception, reason = "Heap lives in heap::heap, as design.md names it")]
mod heap;
mod mapped;
mod pages;
mod segments;
pub mod size;
pub mod test_source;
mod top;
mod tuning;
mod usage;

pub use check::Broken;
pub use chunk::{Corrupt, Corruption, capacity_by_word, is_sound, size_unverified};
pub use free_sorted::FreedSorted;
pub use heap::Heap;
pub use mapped::Span;
pub use pages::{PageSource, Pages};
pub use size::Layout;
pub use tuning::Tuning;
pub use usage::Usage;
