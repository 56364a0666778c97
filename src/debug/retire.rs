//! A block's way out: verified, poisoned, kept in the quarantine, given back to the heap.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::block::Head;
use super::checked::{CheckedHeap, Release};
use super::poison;
use super::quarantine::Waiting;
use super::registry::{self, State};
use crate::finding::{Defect, Finding, Kind, Operation};
use crate::options::{self, Name};
use crate::stack::capture;
use crate::stack::depot::SiteId;
use crate::sys::thread;

/// Least bytes that may wait in the quarantine; beyond it an eighth of what is live.
const LEAST_QUARANTINE: usize = 1 << 20;

impl CheckedHeap {
    /// A taken block: verify, poison, let it wait.
    pub(super) fn retire(&self, user: usize, site: SiteId, release: Release, now: SiteId) {
        registry::set_free_site(user, now);
        let Some(head) = self.verify_taken(user, release.operation, now) else { return };
        // realloc has checked the block when it took it.
        if release.operation != Operation::Realloc {
            self.check_release(user, site, head, release);
        }
        match self.list_of(user, head) {
            Some(mapped) => self.seal(mapped, site, head, now),
            None => self.quarantine_block(user, head),
        }
        self.count_free(user, head.size);
    }

    /// Verifies a taken block. A damaged one is a finding; `None` if it cannot be used any further.
    pub(super) fn verify_taken(
        &self,
        user: usize,
        operation: Operation,
        now: SiteId,
    ) -> Option<Head> {
        if !self.is_guarded() {
            return self.bare_head(user, operation, now);
        }
        // SAFETY: the registry gave the block to us.
        match unsafe { self.canaries().verify(user) } {
            Ok(head) => Some(head),
            Err((head, damage)) => {
                self.blame(user, damage, operation, now);
                let head = head?;
                // SAFETY: the block is ours alone; its head is whole.
                unsafe { self.canaries().mend(user, head) };
                Some(head)
            }
        }
    }

    /// Without canaries the chunk word tells the size.
    pub(super) fn bare_head(&self, user: usize, operation: Operation, now: SiteId) -> Option<Head> {
        let payload = NonNull::new(user as *mut u8)?;
        let books = self.arenas.of(user).lock();
        // SAFETY: the registry gave the block to us.
        let found = unsafe {
            books
                .heap
                .capacity(payload)
                .and_then(|size| books.heap.span_of(payload).map(|span| (size, span.is_some())))
        };
        drop(books);
        match found {
            Ok((size, mapped)) => {
                Some(Head { size, kind: Kind::Malloc, align: 16, mapped, thread: 0 })
            }
            Err(corrupt) => {
                self.blame_corruption(corrupt, operation, now);
                None
            }
        }
    }

    pub(super) fn quarantine_block(&self, user: usize, head: Head) {
        let limit = self.quarantine_limit();
        if !self.is_guarded() || head.size > limit / 2 {
            // Frozen, it stays where it is: nothing may move under a reader's hands.
            if !self.is_frozen() {
                self.evict_now(user);
            }
            return;
        }
        let most = options::number(Name::MaxFreeFillSize);
        // SAFETY: the block was taken and is ours alone.
        unsafe { poison::poison(user, head.size, most, self.free_byte()) };
        let waiting = Waiting { user, size: head.size, poison: most, thread: thread::number() };
        let kept = self.quarantine.lock().push(waiting);
        if self.is_frozen() {
            return;
        }
        self.evict_over(limit);
        if !kept {
            self.evict_now(user);
        }
    }

    /// Evicts the oldest blocks until at most `limit` bytes wait. Says whether any went.
    pub(super) fn evict_over(&self, limit: usize) -> bool {
        let mut any = false;
        while !self.is_frozen() {
            let Some(waiting) = self.quarantine.lock().pop_over(limit) else { break };
            any = true;
            self.verify_waiting(waiting, Operation::Evict);
            self.evict_now(waiting.user);
        }
        any
    }

    /// Is a block that waits as it was when it was freed?
    pub(super) fn is_untouched(&self, waiting: Waiting) -> bool {
        let Waiting { user, size, poison: most, .. } = waiting;
        // SAFETY: the block is in the quarantine: ours alone, poisoned with these arguments.
        unsafe {
            poison::poison_damage(user, size, most, self.free_byte()).is_none()
                && self.canaries().verify(user).is_ok()
        }
    }

    /// Verifies a block that waits: nobody may have written to it. Says whether that holds.
    pub(super) fn verify_waiting(&self, waiting: Waiting, operation: Operation) -> bool {
        let Waiting { user, size, poison: most, .. } = waiting;
        // SAFETY: the block is in the quarantine: ours alone, poisoned with these arguments.
        let damage = unsafe { poison::poison_damage(user, size, most, self.free_byte()) };
        let Some(damage) = damage else {
            // SAFETY: as above.
            return match unsafe { self.canaries().verify(user) } {
                Ok(_) => true,
                Err((_, damage)) => {
                    self.blame(user, damage, operation, SiteId::NONE);
                    false
                }
            };
        };
        let mut block = self.describe(user);
        block.free_thread = Some(waiting.thread);
        block.size = Some(size);
        let now = self.operation_site(operation);
        self.deliver(&Finding {
            block: Some(block),
            damage: Some(damage),
            ..Finding::new(Defect::WriteAfterFree, operation, user, now)
        });
        // SAFETY: as above; made whole so that it is reported once.
        unsafe { poison::poison(user, size, most, self.free_byte()) };
        false
    }

    /// Gives a freed block's chunk back to the heap.
    pub(super) fn evict_now(&self, user: usize) {
        let site = registry::word(user).map_or(SiteId::NONE, registry::Word::site);
        registry::set(user, State::Evicted, site);
        self.give_back(user);
    }

    /// Gives the chunk under `user` back to the heap.
    pub(super) fn give_back(&self, user: usize) {
        let Some(payload) = NonNull::new((user - self.lead()) as *mut u8) else { return };
        // SAFETY: the payload came from this arena and no block is in it any more.
        let released = unsafe { self.arenas.of(user).lock().heap.release(payload) };
        if let Err(corrupt) = released {
            self.blame_corruption(corrupt, Operation::Free, capture::full_site());
        }
    }

    pub(super) fn quarantine_limit(&self) -> usize {
        let most = options::number(Name::QuarantineSizeMb) << 20;
        let eighth = self.live.load(Ordering::Relaxed) as usize / 8;
        eighth.max(LEAST_QUARANTINE).min(most)
    }
}
