//! realloc of a guarded block: it moves, so that a stale pointer to it faults, unless
//! `realloc_moves=none` and its slot holds the new size at the same place.

use core::sync::atomic::Ordering;

use crate::checks::guard::slots::slot_of;
use crate::checks::header::BlockHeader;
use crate::checks::heap::CheckedHeap;
use crate::checks::request::{Release, Request};
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::shadow::block_table::{self, BlockState};
use crate::shadow::guarded_slots::Slot;
use crate::stack::capture;
use crate::sys::{thread, thread_number};

impl CheckedHeap {
    /// Moves the guarded block at `user` to a new one for `request`. `None`: it is no live guarded
    /// block. Null: there is no memory, and it stays.
    #[cold]
    pub(crate) fn resize_guarded(
        &self,
        user: usize,
        request: Request,
        release: &Release,
        now: ProcessSite,
    ) -> Option<*mut u8> {
        let slot = slot_of(user).filter(|_| block_table::take_guarded(user))?;
        let (_, old) = slot.block()?;
        let record = slot.record();
        let head = BlockHeader::from_bits(record.head.load(Ordering::Relaxed));
        let site = ProcessSite(record.site.load(Ordering::Relaxed));
        self.verify_guarded(slot, release.operation, now);
        self.check_release(user, site, head, release);
        if self.stays_in_slot(slot, user, head, request) {
            self.renew_in_slot(slot, user, (head, site), request, now);
            return Some(user as *mut u8);
        }
        let new = self.allocate_at(request, now);
        if new.is_null() {
            block_table::set(user, BlockState::Guarded);
            return Some(new);
        }
        // SAFETY: both blocks are ours, apart, and at least that long.
        unsafe { core::ptr::copy_nonoverlapping(user as *const u8, new, old.min(request.size)) };
        self.release_guarded(slot, release, now);
        Some(new)
    }

    /// May a block stay where it is, with another size?
    fn stays_in_slot(&self, slot: Slot, user: usize, head: BlockHeader, request: Request) -> bool {
        const NONE: usize = 2;
        options::number(Name::ReallocMoves) == NONE
            && user.is_multiple_of(head.align.max(request.align))
            && request.size.max(1) <= slot.end() - user
    }

    /// Gives a block that stays back to the program, with its new size.
    fn renew_in_slot(
        &self,
        slot: Slot,
        user: usize,
        (head, site): (BlockHeader, ProcessSite),
        request: Request,
        now: ProcessSite,
    ) {
        let (old, size) = (head.size, request.size);
        let head = BlockHeader {
            size,
            kind: request.kind,
            thread: thread_number::number(),
            exempt: thread::is_blind(),
            ..head
        };
        let record = slot.record();
        record.head.store(head.bits(), Ordering::Relaxed);
        record.site.store(now.0, Ordering::Relaxed);
        self.mend_guarded(slot);
        match self.owner() {
            Some(owner) => owner.arena().stats().count_resize(old, size),
            None => self.arenas().main().lock().stats.count_resize(old, size),
        }
        thread::enter_critical();
        capture::count_free(site, old);
        capture::count_block(now, size);
        thread::leave_critical();
        block_table::set(user, BlockState::Guarded);
    }
}
