//! How many bytes the program may access at an address: for calls that are checked.

use core::sync::atomic::Ordering;

use crate::arch::ADDRESS_BITS;
use crate::checks::found_blocks;
use crate::checks::guard::access::{GuardedAccess, place_of};
use crate::checks::guard::slots;
use crate::checks::heap::CheckedHeap;
use crate::checks::layout::{HeaderWord, TAIL};
use crate::model::finding::Life;
use crate::shadow::block_table::Leaf;
use crate::shadow::block_table::{self, BlockState};
use crate::shadow::lookup;
use crate::sys::fault_net::attempt;

/// Nothing is known of the address: it is in no block, nor beside one.
pub const UNKNOWN: usize = usize::MAX;
/// Blocks that start so many bytes in front of an address are looked for before the others.
const NEAR: usize = 512;

impl CheckedHeap {
    /// Bytes from `address` to the end of the live block that it is in; 0 in a freed block, and
    /// behind a block where its canary and slack are. [`UNKNOWN`] elsewhere.
    #[inline]
    pub fn room(&self, address: usize) -> usize {
        if address >> ADDRESS_BITS != 0 {
            return UNKNOWN;
        }
        let Some(leaf) = Leaf::of(address) else { return UNKNOWN };
        if leaf.is_guarded() {
            return room_in_slot(address);
        }
        if self.is_checked() {
            // Most calls are given a block's start, or one where the last one was.
            if let Some(size) = live_size(leaf, address) {
                return size;
            }
            if let Some(user) = found_blocks::find(address)
                && let Some(leaf) = Leaf::of(user)
                && let Some(size) = live_size(leaf, user)
                && address - user < size
            {
                return user + size - address;
            }
        }
        self.room_far(leaf, address)
    }

    /// Bytes to the end of the live block of a class at `user`, if the address is in its memory: it
    /// is read only then.
    #[inline]
    fn room_in_class(&self, user: usize, address: usize) -> Option<usize> {
        let capacity = block_table::capacity(user)?;
        let offset = address - user;
        if offset >= capacity {
            return None;
        }
        // A place behind the block's end has no room.
        self.usable_size_fast(user).map(|size| size.saturating_sub(offset))
    }

    /// Where it was not found at once.
    #[inline(never)]
    fn room_far(&self, leaf: &Leaf, address: usize) -> usize {
        let offset = address - leaf.base();
        let user = leaf
            .last_live(offset.saturating_sub(NEAR)..=offset)
            .or_else(|| leaf.last_live(0..=offset))
            .or_else(|| lookup::at_or_before(address));
        let room = user.and_then(|user| attempt(|| self.room_in_live(user, address)).flatten());
        match (user, room) {
            (Some(user), Some(room)) => {
                found_blocks::note(address, user, address + room);
                room
            }
            _ => attempt(|| self.room_apart(address)).unwrap_or(UNKNOWN),
        }
    }

    /// Bytes to the end of the live block at `user`, if there is one and the address is in it.
    #[inline]
    fn room_in_live(&self, user: usize, address: usize) -> Option<usize> {
        if let Some(room) = self.room_in_class(user, address) {
            return Some(room);
        }
        match block_table::state(user)? {
            BlockState::Live(None) => {
                let end = user + self.extent(user);
                (address < end).then(|| end - address)
            }
            _ => None,
        }
    }

    /// In none that is live, or behind one.
    #[cold]
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

    /// An access of `[start, start + bytes)`, explained. `None`: all of it is in a live block, or
    /// beside all blocks.
    pub fn access_beyond(&self, start: usize, bytes: usize) -> Option<GuardedAccess> {
        let (_, block) = self.locate_block(start)?;
        // By the head's checksum, or by what was saved of a damaged one.
        let end = block.user + block.size?;
        if block.life == Life::Live && start >= block.user && end.saturating_sub(start) >= bytes {
            return None;
        }
        let slot = slots::slot_about(block.user);
        let ordinal = slot.map_or(0, |slot| slot.record().ordinal.load(Ordering::Relaxed));
        Some(GuardedAccess { place: place_of(&block, start)?, block, ordinal })
    }
}

/// Bytes of the live block that starts at `user`, as its head says; `None`: none does. All blocks
/// have heads: there are checks.
#[inline(always)]
fn live_size(leaf: &Leaf, user: usize) -> Option<usize> {
    let is_live = leaf.is_live(user - leaf.base());
    // SAFETY: the shadow says that a block is live there: mapped, behind its head.
    is_live.then(|| unsafe { HeaderWord::of(user) }.size())
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
