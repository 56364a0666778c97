//! A fault in a guarded slot: whose block was it, and where from there.

use core::sync::atomic::Ordering;

use crate::checks::guard::slots::slot_round;
use crate::checks::heap::CheckedHeap;
use crate::heap::size::PAGE;
use crate::model::finding::{Block, Life, Location};
use crate::shadow::guarded_slots::{Place, SlotState};
use crate::sys::{guard_pages, memory};

/// An access that faulted, as far as the instruction tells.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    /// The first byte that could not be accessed.
    pub fault: usize,
    /// The first byte of the access.
    pub start: usize,
}

/// What a fault in a guarded slot was.
#[derive(Clone, Copy, Debug)]
pub struct GuardedAccess {
    /// The block.
    pub block: Block,
    /// Where the access began, as seen from the block.
    pub place: Location,
    /// Which of its site's blocks it is, from 1.
    pub ordinal: u32,
}

impl CheckedHeap {
    /// The block that an access was about which faulted in a guarded slot, or by one. `None`: it is
    /// in none, or the slots round it were never used.
    pub fn guarded_access(&self, touched: Touched) -> Option<GuardedAccess> {
        let slot = slot_round(touched.fault)?;
        let (user, size) = slot.block()?;
        let block = self.describe_slot(slot)?;
        let end = user + size;
        let start = touched.start;
        let place = match block.life {
            // What was freed is gone as a whole.
            Life::Freed if start >= user && start < end => Location::Inside(start - user),
            Life::Live if start >= user && start < end => Location::Past(0),
            _ if start < user => Location::Before(user - start),
            _ => Location::Past(start - end),
        };
        let ordinal = slot.record().ordinal.load(Ordering::Relaxed);
        Some(GuardedAccess { block, place, ordinal })
    }

    /// Lets the program go on after a fault: the page at an address can be accessed. Another thread
    /// may have done so. `false`: it faults still.
    pub fn open_guarded(&self, fault: usize) -> bool {
        let page = fault & !(PAGE - 1);
        match Place::of(fault) {
            Some(Place::Guard(slots)) => {
                for (slot, behind) in slots.into_iter().zip([true, false]) {
                    slot.into_iter().for_each(|slot| slot.record().set_opened(behind, true));
                }
            }
            Some(Place::Data(slot)) => slot.record().set_state(SlotState::Opened),
            None => return false,
        }
        guard_pages::open(page, PAGE) || memory::is_readable(page, page + 1)
    }
}
