//! The invariants of guarded slots, and the one walker that tests them, while no other thread
//! allocates or frees:
//!
//! - G1: a slot that was used holds a live block, or is in the list of its class: waiting or
//!   closed.
//! - G2: a live slot's block lies in it, and the shadow says so.
//! - G3: live and waiting slots can be read; closed ones fault, unless a fault has opened them.
//! - G4: the guards on both sides of a live slot fault, unless one was opened.
//! - G5: the budget counts the live blocks, and the bytes of live and waiting slots.

use crate::checks::guard::list::SlotList;
use crate::checks::heap::CheckedHeap;
use crate::heap::size::PAGE;
use crate::shadow::block_table::{self, BlockState};
use crate::shadow::guarded_slots::{self, Slot, SlotState};
use crate::sys::memory::is_readable;

impl CheckedHeap {
    /// Walks all slots. `Err`: the number of the invariant that does not hold, and the slot's first
    /// byte.
    pub fn check_guards(&self) -> Result<usize, (u8, usize)> {
        let pool = self.guards().pool().lock();
        let listed = |lists: &[SlotList]| lists.iter().map(|list| list.count).sum::<usize>();
        let (waiting, closed) = pool.lists();
        let (mut counts, mut open) = ([0; 3], 0);
        for slot in guarded_slots::used_slots() {
            let place = match slot.record().state() {
                SlotState::Fresh => continue,
                SlotState::Live => 0,
                SlotState::Waiting => 1,
                SlotState::Closed | SlotState::Opened => 2,
            };
            counts[place] += 1;
            open += if place < 2 { slot.end() - slot.start() } else { 0 };
            check_slot(slot).map_err(|number| (number, slot.start()))?;
        }
        let [live, counted_waiting, counted_closed] = counts;
        match () {
            () if (counted_waiting, counted_closed) != (listed(waiting), listed(closed)) => {
                Err((1, 0))
            }
            () if (live, open) != (pool.budget.live, pool.budget.open) => Err((5, open)),
            () => Ok(live),
        }
    }
}

fn check_slot(slot: Slot) -> Result<(), u8> {
    let state = slot.record().state();
    let can_read = |at: usize| is_readable(at, at + 1);
    let Some((user, size)) = slot.block() else {
        // It could not be opened at first.
        return if state == SlotState::Closed { Ok(()) } else { Err(2) };
    };
    if user < slot.start() || user + size > slot.end() {
        return Err(2);
    }
    if state == SlotState::Live && block_table::state(user) != Some(BlockState::Guarded) {
        return Err(2);
    }
    let is_open = matches!(state, SlotState::Live | SlotState::Waiting);
    if is_open && !can_read(user) || state == SlotState::Closed && can_read(slot.start()) {
        return Err(3);
    }
    let guards = [(false, slot.start() - PAGE), (true, slot.end())];
    let is_bare = |&(behind, at): &(bool, usize)| !slot.record().is_opened(behind) && can_read(at);
    if state == SlotState::Live && guards.iter().any(is_bare) {
        return Err(4);
    }
    Ok(())
}
