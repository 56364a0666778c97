//! A list of slots, first in, first out, through their records.

use core::sync::atomic::Ordering;

use crate::shadow::guarded_slots::Slot;

/// Slots that wait.
#[derive(Clone, Copy)]
pub(super) struct SlotList {
    /// Numbers plus one; 0: none.
    first: u32,
    last: u32,
    /// How many there are.
    pub(super) count: usize,
}

impl SlotList {
    /// None.
    pub(super) const EMPTY: Self = Self { first: 0, last: 0, count: 0 };

    /// Adds a slot that is in no list.
    pub(super) fn push(&mut self, slot: Slot) {
        slot.record().next.store(0, Ordering::Relaxed);
        let number = slot.number() + 1;
        match self.last.checked_sub(1).and_then(Slot::numbered) {
            Some(last) => last.record().next.store(number, Ordering::Relaxed),
            None => self.first = number,
        }
        self.last = number;
        self.count += 1;
    }

    /// Takes the oldest out.
    pub(super) fn pop(&mut self) -> Option<Slot> {
        let slot = self.first.checked_sub(1).and_then(Slot::numbered)?;
        self.first = slot.record().next.load(Ordering::Relaxed);
        if self.first == 0 {
            self.last = 0;
        }
        self.count -= 1;
        Some(slot)
    }
}
