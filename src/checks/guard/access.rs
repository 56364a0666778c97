//! A fault in a guarded slot: whose block was it, and where from there.

use core::sync::atomic::Ordering;

use crate::checks::guard::slots::slot_round;
use crate::checks::heap::CheckedHeap;
use crate::heap::size::PAGE;
use crate::model::access::{Call, CallEnd};
use crate::model::finding::{Block, Defect, Life, Location, WrongAccess};
use crate::options::{self, Name};
use crate::shadow::guarded_slots::{self, Place, Slot, SlotState};
use crate::sys::{guard_pages, memory};

/// An access that faulted, as far as the instruction tells.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    /// The first byte that could not be accessed.
    pub fault: usize,
    /// The first byte of the access.
    pub start: usize,
}

/// An access that faulted in a guarded slot, explained.
#[derive(Clone, Copy, Debug)]
pub struct GuardedAccess {
    /// The block.
    pub block: Block,
    /// Where the access began, as seen from the block.
    pub place: Location,
    /// Which of its site's blocks it is, from 1.
    pub ordinal: u32,
}

impl GuardedAccess {
    /// The access as a finding tells of it.
    pub fn defect(&self, is_write: bool, bytes: usize, call: Option<(Call, CallEnd)>) -> Defect {
        Defect::Access(WrongAccess {
            is_write,
            bytes,
            is_freed: self.block.life == Life::Freed,
            ordinal: self.ordinal,
            seed: options::number(Name::GuardSeed) as u32,
            is_all: options::number(Name::Guard) == options::GUARD_ALL,
            call,
        })
    }
}

/// Place, relative to the block, of the start of a wrong access. `None` if the size of the block is
/// not known.
pub(crate) fn place_of(block: &Block, start: usize) -> Option<Location> {
    let end = block.user + block.size?;
    Some(match block.life {
        // A freed block is closed as a whole.
        Life::Freed if start >= block.user && start < end => Location::Inside(start - block.user),
        Life::Live if start >= block.user && start < end => Location::Past(0),
        _ if start < block.user => Location::Before(block.user - start),
        _ => Location::Past(start - end),
    })
}

impl CheckedHeap {
    /// The block that an access was about which faulted in a guarded slot, or by one. `None`: it is
    /// in none, or the slots round it were never used.
    pub fn guarded_access(&self, touched: Touched) -> Option<GuardedAccess> {
        let slot = slot_round(touched.fault)?;
        slot.block()?;
        let block = self.describe_slot(slot)?;
        let place = place_of(&block, touched.start)?;
        let ordinal = slot.record().ordinal.load(Ordering::Relaxed);
        Some(GuardedAccess { block, place, ordinal })
    }

    /// The first address of `[start, end)` that is in a guarded slot or a guard and faults.
    pub fn first_inaccessible(&self, start: usize, end: usize) -> Option<usize> {
        let mut at = start;
        while at < end && guarded_slots::contains(at) {
            let faults = match Place::of(at) {
                Some(Place::Data(slot)) if slot.record().state() != SlotState::Fresh => {
                    slot.record().state() == SlotState::Closed
                }
                // Never used: that depends on how pages are made to fault.
                Some(Place::Data(_)) | None => !memory::is_readable(at, at + 1),
                Some(Place::Guard([in_front, behind])) => {
                    let is_opened = |slot: Option<Slot>, side| {
                        slot.is_some_and(|slot| slot.record().is_opened(side))
                    };
                    !is_opened(in_front, true) && !is_opened(behind, false)
                }
            };
            if faults {
                return Some(at);
            }
            at = (at & !(PAGE - 1)) + PAGE;
        }
        None
    }

    /// Lets the program access all of a range, as far as it is in guarded slots and guards.
    pub fn open_all(&self, start: usize, end: usize) {
        while let Some(fault) = self.first_inaccessible(start, end) {
            if !self.open_guarded(fault) {
                return;
            }
        }
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
            Some(Place::Data(slot)) if slot.record().state() == SlotState::Closed => {
                slot.record().set_state(SlotState::Opened);
            }
            Some(Place::Data(_)) | None => {}
        }
        let is_open = || memory::is_readable(page, page + 1);
        // Behind the last span that is in use nothing is committed yet.
        is_open()
            || guard_pages::open(page, PAGE) && is_open()
            || guard_pages::commit(page, PAGE) && guard_pages::open_fresh(page, PAGE) && is_open()
    }
}
