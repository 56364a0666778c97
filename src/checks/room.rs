//! Number of bytes that the program may access at an address, for checked calls of libc's.

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

/// The address is in no block, nor beside one.
pub const UNKNOWN: usize = usize::MAX;
/// A block that starts at most so many bytes in front of the address is looked for first.
const NEAR: usize = 512;

impl CheckedHeap {
    /// Bytes from `address` to the end of its live block; 0 in a freed block, and in the canaries,
    /// the slack and the header beside a block. [`UNKNOWN`] elsewhere.
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
            // Most calls get the start of a block, or an address in the block of an earlier call.
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

    /// Bytes to the end of the live block of a size class at `user`. `None` if `address` is outside
    /// of its memory, which is not read then.
    #[inline]
    fn room_in_class(&self, user: usize, address: usize) -> Option<usize> {
        let capacity = block_table::capacity(user)?;
        let offset = address - user;
        if offset >= capacity {
            return None;
        }
        self.usable_size_fast(user).map(|size| size.saturating_sub(offset))
    }

    /// As [`CheckedHeap::room`], by a search through the shadow.
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

    /// 0 in a freed block, and in the bytes beside a block that are the heap's own.
    #[cold]
    fn room_apart(&self, address: usize) -> usize {
        if lookup::after(address).is_some_and(|user| user - address <= self.lead()) {
            return 0;
        }
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

    /// The block that an access of `[start, start + bytes)` goes beyond. `None` if the access is
    /// all in a live block, or near none.
    pub fn access_beyond(&self, start: usize, bytes: usize) -> Option<GuardedAccess> {
        let (_, block) = self.locate_block(start)?;
        // The size is from a header whose checksum is right, unlike the one that `room` has read.
        let end = block.user + block.size?;
        if block.life == Life::Live && start >= block.user && end.saturating_sub(start) >= bytes {
            return None;
        }
        let slot = slots::slot_about(block.user);
        let ordinal = slot.map_or(0, |slot| slot.record().ordinal.load(Ordering::Relaxed));
        Some(GuardedAccess { place: place_of(&block, start)?, block, ordinal })
    }
}

/// Size of the live block that starts at `user`, from its header; `None` if none does. Only for a
/// heap with checks, whose blocks have headers.
#[inline(always)]
fn live_size(leaf: &Leaf, user: usize) -> Option<usize> {
    let is_live = leaf.is_live(user - leaf.base());
    // SAFETY: the shadow says that a block is live there, so its header is mapped.
    is_live.then(|| unsafe { HeaderWord::of(user) }.size())
}

/// As [`CheckedHeap::room`], in a guarded slot: the guard does not see the canary and the slack.
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
