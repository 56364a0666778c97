//! A block in its slot: its bytes, the canary at its other end and in the slack.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use crate::checks::damaged_bytes::describe;
use crate::checks::fill::Fill;
use crate::checks::guard::policy::{Plan, Side};
use crate::checks::guard::pool::{TakenSlot, Was};
use crate::checks::heap::CheckedHeap;
use crate::checks::layout::{self, BlockHeader, Canaries, pattern_byte, pattern_of};
use crate::checks::poison;
use crate::checks::request::Request;
use crate::heap::size::PAGE;
use crate::model::finding::{self, Block, Damage, Life};
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::shadow::block_table::{self, BlockState};
use crate::shadow::guarded_slots::{Slot, SlotState};
use crate::sys::{guard_pages, thread, thread_number};

/// Bytes of canary on each side of a block, as far as its slot goes.
const CANARY: usize = 128;

/// The canaries of a block in a slot: what is in front of it, and what is behind it.
fn canaries_of(slot: Slot, user: usize, size: usize) -> [(usize, usize); 2] {
    let front = slot.start().max(user.saturating_sub(CANARY));
    [(front, user), (user + size, slot.end().min(user + size + CANARY))]
}

impl CheckedHeap {
    /// Opens a slot that is to be used, and verifies what it held. `false`: it cannot be used.
    pub(super) fn make_ready(&self, TakenSlot { slot, was, .. }: TakenSlot, reach: usize) -> bool {
        let bytes = slot.end() - slot.start();
        let is_open = match was {
            Was::Fresh => guard_pages::open_fresh(slot.start(), bytes),
            Was::Closed => {
                // A page that a fault has opened may have been written to since.
                let is_whole = slot.record().state() != SlotState::Opened
                    // SAFETY: the slot's block was freed.
                    || unsafe { guard_pages::close(slot.start(), bytes) };
                is_whole && guard_pages::open(slot.start(), bytes)
            }
            Was::Waiting => {
                self.verify_waiting_slot(slot, finding::Operation::Evict);
                true
            }
        };
        // A guard that a fault has opened is one again.
        for (behind, page) in [(false, slot.start() - PAGE), (true, slot.end())] {
            if slot.record().is_opened(behind)
                // SAFETY: a guard's page, which holds nothing.
                && unsafe { guard_pages::close(page, PAGE) }
            {
                slot.record().set_opened(behind, false);
            }
        }
        if !is_open {
            slot.record().set_state(SlotState::Closed);
            self.guards().pool().lock().put(slot, reach, true);
        }
        is_open
    }

    /// Writes a block into a slot and declares it live.
    pub(super) fn init_guarded(
        &self,
        TakenSlot { slot, was, .. }: TakenSlot,
        plan: Plan,
        request: Request,
        (site, ordinal): (ProcessSite, u32),
    ) -> NonNull<u8> {
        let Request { size, align, kind, zeroed } = request;
        let user = match plan.side {
            Side::After => slot.end() - plan.reach,
            Side::Before => slot.start(),
        };
        let record = slot.record();
        let before = record.user.load(Ordering::Relaxed);
        if before != 0 {
            block_table::set(before, BlockState::None);
        }
        let (thread, exempt) = (thread_number::number(), thread::is_blind());
        let align = layout::noted_align(kind, align);
        let head = BlockHeader { size, kind, align, mapped: false, thread, exempt };
        record.head.store(head.bits(), Ordering::Relaxed);
        record.user.store(user, Ordering::Release);
        record.site.store(site.0, Ordering::Relaxed);
        record.free_site.store(0, Ordering::Relaxed);
        record.ordinal.store(ordinal, Ordering::Relaxed);
        // SAFETY: the slot is open and ours alone, and the block lies in it.
        unsafe {
            if !zeroed {
                let filled = size.min(options::number(Name::MaxMallocFillSize));
                poison::fill_exactly(user, user + filled, Fill::of_new(self.canaries(), user));
            } else if was == Was::Waiting {
                (user as *mut u8).write_bytes(0, size);
            }
            write_canaries(self.canaries(), slot, user, size);
        }
        record.set_state(SlotState::Live);
        block_table::set(user, BlockState::Guarded);
        NonNull::new(user as *mut u8).unwrap_or(NonNull::dangling())
    }

    /// Damage to the canaries of the block in a slot that holds one, open.
    pub(super) fn guarded_damage(&self, slot: Slot) -> Option<Damage> {
        let (user, size) = slot.block()?;
        let pattern = pattern_of(self.canaries(), user);
        let sides = [finding::Side::Before, finding::Side::Past];
        canaries_of(slot, user, size).into_iter().zip(sides).find_map(|((start, end), side)| {
            // SAFETY: within the open slot.
            unsafe {
                if poison::is_filled(start, end, fill_of(pattern)) {
                    return None;
                }
                let damage = describe(side, user, start, end, |at| pattern_byte(pattern, at));
                (!damage.is_empty()).then_some(damage)
            }
        })
    }

    /// Makes the canaries of a damaged block whole again, so that it is told of once.
    pub(super) fn mend_guarded(&self, slot: Slot) {
        if let Some((user, size)) = slot.block() {
            // SAFETY: within the open slot, and nobody's but the canaries'.
            unsafe { write_canaries(self.canaries(), slot, user, size) };
        }
    }

    /// All that is known of the block in a slot.
    pub(crate) fn describe_slot(&self, slot: Slot) -> Option<Block> {
        let (user, _) = slot.block()?;
        let record = slot.record();
        let head = BlockHeader::from_bits(record.head.load(Ordering::Relaxed));
        let block = Block {
            site: ProcessSite(record.site.load(Ordering::Relaxed)),
            ..layout::facts(user, head)
        };
        if matches!(record.state(), SlotState::Live) {
            return Some(block);
        }
        Some(Block {
            life: Life::Freed,
            free_site: ProcessSite(record.free_site.load(Ordering::Relaxed)),
            free_thread: Some(record.free_thread.load(Ordering::Relaxed)),
            ..block
        })
    }
}

/// # Safety
/// The slot is open, its block lies there, and the bytes besides are nobody's.
unsafe fn write_canaries(canaries: Canaries, slot: Slot, user: usize, size: usize) {
    let pattern = pattern_of(canaries, user);
    for (start, end) in canaries_of(slot, user, size) {
        // SAFETY: within the slot and outside of the block.
        unsafe { poison::fill_exactly(start, end, fill_of(pattern)) };
    }
}

/// The pattern as a fill that ends where it is told to.
const fn fill_of(word: u64) -> Fill {
    Fill { word, is_canary: false }
}
