//! Slots by addresses, and the heads of the blocks in them.

use core::sync::atomic::Ordering;

use crate::checks::header::BlockHeader;
use crate::heap::size::GRANULE;
use crate::shadow::guarded_slots::{self, Place, Slot, SlotState};

/// The slot whose block starts at `user`.
pub(crate) fn slot_of(user: usize) -> Option<Slot> {
    Slot::of(user).filter(|slot| slot.record().user.load(Ordering::Acquire) == user)
}

/// The slot of the block that the shadow has at `user`: its first granule, where it starts at no
/// multiple of 16.
pub(crate) fn slot_about(user: usize) -> Option<Slot> {
    let starts = |slot: &Slot| slot.record().user.load(Ordering::Acquire).wrapping_sub(user);
    Slot::of(user).filter(|slot| starts(slot) < GRANULE)
}

/// Bytes from `user` to the end of the block there, in a guarded slot.
pub(crate) fn extent_of(user: usize) -> Option<usize> {
    if !guarded_slots::contains(user) {
        return None;
    }
    let (start, size) = Slot::of(user)?.block()?;
    Some((start + size).saturating_sub(user))
}

/// The head of the block at `user`, in a guarded slot; `None`: it is in none.
pub(crate) fn head_of(user: usize) -> Option<BlockHeader> {
    if !guarded_slots::contains(user) {
        return None;
    }
    let head = Slot::of(user)?.record().head.load(Ordering::Relaxed);
    Some(BlockHeader::from_bits(head))
}

/// Makes the block at `user`, in a guarded slot, exempt from leak checks, or says that it is.
pub(crate) fn exempt(user: usize) -> Option<bool> {
    let record = Slot::of(user)?.record();
    let head = BlockHeader::from_bits(record.head.load(Ordering::Relaxed));
    record.head.store(BlockHeader { exempt: true, ..head }.bits(), Ordering::Relaxed);
    Some(!head.exempt)
}

/// The slot that an address is in, or of those beside its guard the one with the nearer block;
/// where none of them was ever used, the last one in front that was.
pub(crate) fn slot_round(address: usize) -> Option<Slot> {
    let found = match Place::of(address) {
        Some(Place::Data(slot)) => slot.block().map(|_| slot),
        Some(Place::Guard(slots)) => nearest(slots, address),
        None => None,
    };
    found.or_else(|| guarded_slots::in_front_of(address).find(|slot| slot.block().is_some()))
}

/// Of the slots in front of a guard and behind it, the one whose block is nearer to the address,
/// a live one first.
fn nearest(slots: [Option<Slot>; 2], address: usize) -> Option<Slot> {
    let rank = |slot: &Slot| {
        let (user, size) = slot.block()?;
        let distance =
            if user > address { user - address } else { address - (user + size).min(address) };
        Some((slot.record().state() != SlotState::Live, distance))
    };
    slots.into_iter().flatten().filter(|slot| rank(slot).is_some()).min_by_key(|slot| rank(slot))
}
