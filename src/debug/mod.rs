//! The debug layer round the core: what a block looks like, whose an address is, where freed
//! blocks wait, and [`CheckedHeap`], the only place that puts these in order.

mod bare;
mod behind;
mod blame;
pub mod block;
pub mod checked;
pub mod deferred;
mod deferred_slots;
mod head;
mod large;
mod large_wait;
mod leaf;
pub mod mapped_blocks;
mod middle_sum;
mod mismatch;
mod owner;
mod place;
mod poison;
mod program_pages;
pub mod quarantine;
mod quick;
mod registered_pages;
pub mod registry;
mod resize;
mod retire;
mod seal;
pub mod search;
mod state;
mod survey;
mod sweep;
mod usable;
mod whole;

pub use checked::{CheckedHeap, Release, Request};
pub use survey::{Facts, Large};
pub use sweep::SiteTotals;
