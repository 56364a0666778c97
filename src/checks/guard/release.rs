//! A guarded block's way out: verified, then its slot is closed or waits, poisoned.

use core::sync::atomic::Ordering;

use crate::checks::fill::Fill;
use crate::checks::guard::policy;
use crate::checks::guard::slots::slot_of;
use crate::checks::heap::CheckedHeap;
use crate::checks::layout::BlockHeader;
use crate::checks::poison;
use crate::checks::request::Release;
use crate::model::finding::{Damage, Defect, Finding, Operation, Side};
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::shadow::block_table::{self, BlockState};
use crate::shadow::guarded_slots::{self, Slot, SlotState};
use crate::stack::capture;
use crate::sys::{guard_pages, seccomp, thread, thread_number};

impl CheckedHeap {
    /// Frees the block at `user`, any address. `false`: no live block in a guarded slot starts
    /// there, and nothing was done.
    #[cold]
    #[inline(never)]
    pub(crate) fn free_guarded(&self, user: usize, release: &Release, now: ProcessSite) -> bool {
        let Some(slot) = slot_of(user).filter(|_| block_table::take_guarded(user)) else {
            return false;
        };
        self.release_guarded(slot, release, now);
        true
    }

    /// Gives a guarded block that was taken back.
    pub(super) fn release_guarded(&self, slot: Slot, release: &Release, now: ProcessSite) {
        let Some((user, size)) = slot.block() else { return };
        let record = slot.record();
        self.verify_guarded(slot, release.operation, now);
        let head = BlockHeader::from_bits(record.head.load(Ordering::Relaxed));
        let site = ProcessSite(record.site.load(Ordering::Relaxed));
        if !release.operation.is_resize() {
            self.check_release(user, site, head, release);
        }
        record.free_site.store(now.0, Ordering::Relaxed);
        record.free_thread.store(thread_number::number(), Ordering::Relaxed);
        self.count_free(size);
        thread::enter_critical();
        capture::count_free(site, size);
        thread::leave_critical();
        self.retire_slot(slot, user, size);
    }

    /// Closes the slot of a freed block, or poisons it and lets it wait.
    fn retire_slot(&self, slot: Slot, user: usize, size: usize) {
        // Frozen, it stays as it is: nothing may go away under a reader's hands.
        let site = ProcessSite(slot.record().site.load(Ordering::Relaxed));
        let is_wanted = policy::rule() != policy::Rule::Contents || policy::is_closed(site, size);
        let can_close = is_wanted && !self.is_frozen() && !seccomp::is_installed();
        let allocations = if can_close { self.counted_allocations() } else { 0 };
        let may_close = can_close && self.guards().pool().lock().may_close(allocations);
        let record = slot.record();
        let head = BlockHeader::from_bits(record.head.load(Ordering::Relaxed));
        let reach = policy::reach_of(size, head.align, head.kind);
        record.set_state(if may_close { SlotState::Closed } else { SlotState::Waiting });
        block_table::set(user, BlockState::Quarantined);
        // SAFETY: the block was taken and is ours alone.
        let is_closed =
            may_close && unsafe { guard_pages::close(slot.start(), slot.end() - slot.start()) };
        if !is_closed {
            record.set_state(SlotState::Waiting);
            // SAFETY: the block was taken and is ours alone.
            unsafe { poison::poison_apart(user, size, self.most_poison(), self.fill_of(user)) };
        }
        self.guards().pool().lock().put(slot, reach, is_closed);
    }

    fn most_poison(&self) -> usize {
        options::number(Name::MaxFreeFillSize)
    }

    fn fill_of(&self, user: usize) -> Fill {
        Fill { is_canary: false, ..Fill::of_freed(self.canaries(), user) }
    }

    /// Tells of damage to the canaries of a guarded block. Was there any?
    pub(crate) fn verify_guarded(
        &self,
        slot: Slot,
        operation: Operation,
        now: ProcessSite,
    ) -> bool {
        let Some(damage) = self.guarded_damage(slot) else { return false };
        let defect = match damage.side {
            Side::Before => Defect::Underflow,
            _ => Defect::Overflow,
        };
        self.mend_guarded(slot);
        self.deliver_damage(slot, defect, damage, (operation, now));
        true
    }

    /// Tells of a write to a freed block whose slot waits, open. Was there one?
    pub(crate) fn verify_waiting_slot(&self, slot: Slot, operation: Operation) -> bool {
        let Some((user, size)) = slot.block() else { return false };
        let (most, fill) = (self.most_poison(), self.fill_of(user));
        // SAFETY: the slot is open, and its block was poisoned with these arguments.
        let damage = unsafe { poison::poison_damage(user, size, most, fill) };
        let Some(damage) = damage else {
            return self.verify_guarded(slot, operation, ProcessSite::NONE);
        };
        // SAFETY: the slot waits: it is ours alone.
        unsafe { poison::poison_apart(user, size, most, fill) };
        self.deliver_damage(slot, Defect::WriteAfterFree, damage, (operation, ProcessSite::NONE));
        true
    }

    fn deliver_damage(
        &self,
        slot: Slot,
        defect: Defect,
        damage: Damage,
        (operation, now): (Operation, ProcessSite),
    ) {
        let block = self.describe_slot(slot);
        let user = block.map_or(0, |block| block.user);
        let now = if now == ProcessSite::NONE { self.operation_site(operation) } else { now };
        self.deliver(&Finding {
            block,
            damage: Some(damage),
            ..Finding::new(defect, operation, user, thread_number::number(), now)
        });
    }

    /// Tells of late writes to all guarded blocks whose slots wait. How many were there?
    pub(crate) fn check_waiting_slots(&self, operation: Operation) -> usize {
        let slots = guarded_slots::used_slots();
        let waits = |slot: &Slot| slot.record().state() == SlotState::Waiting;
        slots.filter(waits).filter(|&slot| self.verify_waiting_slot(slot, operation)).count()
    }
}
