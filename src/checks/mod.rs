//! The debug layer round the core: what a block looks like, whose an address is, where freed
//! blocks wait, and [`CheckedHeap`], the only place that puts these in order.

mod attribute;
mod body_checksum;
mod control;
mod damaged_bytes;
pub mod deferred_free;
mod deferred_slots;
pub mod fast_path;
mod fill;
mod fill_source;
mod found_blocks;
mod free_later;
mod freed_mappings;
mod freeze;
mod guard;
pub mod header;
pub mod heap;
mod large_quarantine;
pub mod layout;
mod leak_view;
mod locate;
mod poison;
mod program_pages;
pub mod quarantine;
mod quarantine_share;
mod realloc;
mod release;
mod release_rules;
mod request;
pub mod room;
mod slow_path;
mod thread_attach;
mod trailing_word;
mod unmapped_blocks;
mod usable_size;
mod verify_all;

pub use crate::checks::guard::access::{GuardedAccess, Touched};
pub use crate::checks::heap::CheckedHeap;
pub use crate::checks::leak_view::{Facts, Large};
pub use crate::checks::request::{Release, Request};
