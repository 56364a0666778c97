//! How many bytes the program may access at an address: for calls that are checked.

use core::sync::atomic::Ordering;

use crate::arch::ADDRESS_BITS;
use crate::checks::guard::access::{GuardedAccess, place_of};
use crate::checks::guard::slots;
use crate::checks::heap::CheckedHeap;
use crate::checks::layout::TAIL;
use crate::shadow::block_table::Leaf;
use crate::shadow::block_table::{self, BlockState};
use crate::shadow::guarded_slots;
use crate::shadow::lookup;
use crate::sys::fault_net::attempt;

/// Nothing is known of the address: it is in no block, nor beside one.
pub const UNKNOWN: usize = usize::MAX;

impl CheckedHeap {
    /// Bytes from `address` to the end of the live block that it is in; 0 in a freed block, and
    /// behind a block where its canary and slack are. [`UNKNOWN`] elsewhere.
    #[inline]
    pub fn room(&self, address: usize) -> usize {
        if address >> ADDRESS_BITS != 0 {
            return UNKNOWN;
        }
        let Some(leaf) = Leaf::of(address) else { return UNKNOWN };
        if guarded_slots::contains(address) {
            return room_in_slot(address);
        }
        // Most calls are given a block's start.
        match self.usable_size_fast(address) {
            Some(size) => size,
            None => attempt(|| self.room_inside(leaf, address)).unwrap_or(UNKNOWN),
        }
    }

    #[cold]
    #[inline(never)]
    fn room_inside(&self, leaf: &Leaf, address: usize) -> usize {
        let nearest = leaf.last_live(0..=address - leaf.base());
        let size = nearest.and_then(|user| Some((user, self.usable_size_fast(user)?)));
        match size {
            Some((user, size)) if address - user < size => user + size - address,
            _ => self.room_apart(address),
        }
    }

    /// In a block of no class, or in none that is live.
    fn room_apart(&self, address: usize) -> usize {
        let Some(user) = lookup::at_or_before(address) else { return UNKNOWN };
        let block = self.describe(user);
        let Some(size) = block.size.filter(|size| address - user < size + TAIL) else {
            return UNKNOWN;
        };
        match block_table::state(user) {
            Some(BlockState::Live(_)) => (user + size).saturating_sub(address),
            _ => 0,
        }
    }

    /// An access that begins at `start` and is not of a live block alone, explained.
    pub fn access_beyond(&self, start: usize) -> Option<GuardedAccess> {
        let (_, block) = self.locate_block(start)?;
        let slot = slots::slot_about(block.user);
        let ordinal = slot.map_or(0, |slot| slot.record().ordinal.load(Ordering::Relaxed));
        Some(GuardedAccess { place: place_of(&block, start)?, block, ordinal })
    }
}

/// Of a guarded block: what its guard does not see, the canary and the slack.
fn room_in_slot(address: usize) -> usize {
    let slot = slots::slot_round(address);
    let Some((slot, (user, size))) = slot.and_then(|slot| Some((slot, slot.block()?))) else {
        return UNKNOWN;
    };
    match slot.is_live() {
        true if address >= user && address <= user + size => user + size - address,
        _ => 0,
    }
}
