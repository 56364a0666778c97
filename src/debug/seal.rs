//! Mapped blocks: listed by address while they live, sealed for a while once freed, their pages
//! dropped and every access to them a fault.

use core::ptr::NonNull;

use super::block::{self, Head};
use super::checked::{CheckedHeap, Fresh, Request};
use super::mapped_blocks::MappedBlock;
use super::registry::{self, State};
use crate::finding::{Block, Life, Operation};
use crate::heap::Span;
use crate::stack::depot::SiteId;
use crate::sys::{memory, thread};

impl CheckedHeap {
    /// Writes a fresh mapped block, lists it and declares it live. Null: no memory for the list.
    ///
    /// # Safety
    /// As [`CheckedHeap::hand_out`]; the payload is the one in `span`.
    pub(super) unsafe fn hand_out_mapped(
        &self,
        user: usize,
        request: Request,
        span: Span,
        site: SiteId,
    ) -> *mut u8 {
        let Request { size, kind, align, .. } = request;
        let (thread, exempt) = (thread::number(), thread::is_blind());
        let head = Head {
            size,
            kind,
            align: block::noted_align(kind, align),
            mapped: true,
            thread,
            exempt,
        };
        if !self.list_mapped(user, head, span, site) {
            self.give_back(user, None, Some(size));
            return core::ptr::null_mut();
        }
        // SAFETY: as the caller says; fresh mappings are zero.
        unsafe {
            self.hand_out(user, request, Fresh { class: None, mapped: true, is_zero: true }, site)
        }
    }

    /// Lists a mapped block where it can be found by any address inside it.
    pub(super) fn list_mapped(&self, user: usize, head: Head, span: Span, site: SiteId) -> bool {
        let block = Block { site, ..block::facts(user, head) };
        registry::cover(user, 1) && self.mapped.lock().insert(MappedBlock { span, block })
    }

    pub(super) fn list_of(&self, user: usize, head: Head) -> Option<MappedBlock> {
        if head.mapped { self.mapped.lock().get(user) } else { None }
    }

    /// Drops a freed mapping's pages but keeps its addresses for a while: every use of it faults.
    pub(super) fn seal(&self, mapped: MappedBlock, site: SiteId, head: Head, now: SiteId) {
        let Some(payload) = NonNull::new((mapped.block.user - self.lead()) as *mut u8) else {
            return;
        };
        let retired = {
            let mut books = self.arenas.main().lock();
            // SAFETY: the block is ours and mapped.
            let span = unsafe { books.heap.span_of(payload) };
            span.map(|_| {
                books.heap.retire(mapped.span);
                books.ledger.count_free(head.size);
                books.ledger.tell();
                books.heap.tuning
            })
        };
        match retired {
            Ok(tuning) => self.arenas.follow(tuning),
            Err(corrupt) => return self.blame_corruption(corrupt, Operation::Free, now),
        }
        {
            let mut list = self.mapped.lock();
            if self.is_frozen() {
                return;
            }
            // Room first: a full ring would overwrite its oldest entry.
            while list.is_full() {
                let Some(oldest) = list.over_budget(false) else { break };
                self.unmap(oldest);
            }
            // SAFETY: the mapping is retired and nobody uses it.
            if self.is_guarded() && unsafe { memory::seal(mapped.span.start, mapped.span.len) } {
                list.seal(Block {
                    life: Life::Freed,
                    site,
                    free_site: now,
                    free_thread: Some(thread::number()),
                    ..block::facts(mapped.block.user, head)
                });
            } else {
                list.remove(mapped.block.user);
                self.unmap(mapped);
            }
        }
        self.unmap_over_budget(false);
    }

    /// Unmaps the oldest sealed blocks beyond the budget, or all. Says whether any went.
    pub(super) fn unmap_over_budget(&self, all: bool) -> bool {
        let mut any = false;
        loop {
            let mut list = self.mapped.lock();
            let oldest = if self.is_frozen() { None } else { list.over_budget(all) };
            let Some(mapped) = oldest else { return any };
            self.unmap(mapped);
            any = true;
        }
    }

    /// Unmaps a retired mapping that is listed no more. The list's lock is held.
    pub(super) fn unmap(&self, mapped: MappedBlock) {
        let user = mapped.block.user;
        registry::set(user, State::Evicted);
        // SAFETY: nobody uses the mapping, by the caller's word.
        unsafe { self.arenas.main().lock().heap.unmap(mapped.span) };
    }
}
