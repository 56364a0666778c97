//! A place for a block that threads share.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::block::Block;

/// Holds a block or nothing.
#[derive(Default)]
pub(crate) struct Slot(AtomicPtr<u8>);

impl Slot {
    /// Puts a block in, or nothing, and gives what was there.
    #[inline]
    pub(crate) fn swap(&self, block: Option<Block>) -> Option<Block> {
        let address = block.map_or(ptr::null_mut(), Block::into_raw);
        let previous = self.0.swap(address, Ordering::AcqRel);
        // SAFETY: only blocks' addresses and null get in, and a swap gives each out once.
        unsafe { Block::from_raw(previous) }
    }

    /// Whether nothing is in it.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire).is_null()
    }
}

/// That many empty slots.
pub(crate) fn slots(count: usize) -> Vec<Slot> {
    let mut slots = Vec::with_capacity(count);
    slots.resize_with(count, Slot::default);
    slots
}
