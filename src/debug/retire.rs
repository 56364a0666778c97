//! A checked block's way out: verified, poisoned, kept in the quarantine, given back to the heap.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::block::{self, Head};
use super::checked::{CheckedHeap, Pages, Release};
use super::poison;
use super::quarantine::{Quarantine, Waiting};
use super::registry::{self, State, Taken};
use crate::arena::{Turn, ledger};
use crate::finding::{Defect, Finding, Operation};
use crate::options::{self, Name};
use crate::stack::depot::SiteId;
use crate::sys::thread;

/// Least bytes that may wait in the quarantines of a process; beyond it an eighth of what is live.
const LEAST_QUARANTINE: usize = 1024 << 10;
/// Least bytes for one thread.
const LEAST_SHARE: usize = 64 << 10;
/// The shares are looked at again each time that so many blocks have come in.
const SHARE_EVERY: usize = 256;

impl CheckedHeap {
    /// A taken block: verify, poison, let it wait.
    #[inline(always)]
    pub(super) fn retire(&self, user: usize, taken: Taken, release: &Release, now: SiteId) {
        registry::set_free_site(user, now);
        // SAFETY: the registry gave the block to us.
        let Some(head) = (unsafe { self.canaries().whole(user) }).filter(|head| !head.mapped)
        else {
            return self.retire_with_care(user, taken, release, now);
        };
        // realloc has checked the block when it took it.
        if release.operation != Operation::Realloc {
            self.check_release(user, taken.site, head, release);
        }
        self.quarantine_block(user, head, taken);
    }

    /// A damaged block, or a mapped one.
    #[cold]
    #[inline(never)]
    fn retire_with_care(&self, user: usize, taken: Taken, release: &Release, now: SiteId) {
        let Some(head) = self.verify_taken(user, taken, release.operation, now) else {
            return taken.set(State::Quarantined);
        };
        if release.operation != Operation::Realloc {
            self.check_release(user, taken.site, head, release);
        }
        match self.list_of(user, head) {
            Some(mapped) => self.seal(mapped, taken.site, head, now),
            None => self.quarantine_block(user, head, taken),
        }
    }

    /// Verifies a taken block. A damaged one is a finding; `None` if it cannot be used any further.
    pub(super) fn verify_taken(
        &self,
        user: usize,
        taken: Taken,
        operation: Operation,
        now: SiteId,
    ) -> Option<Head> {
        if !self.is_guarded() {
            return self.bare_head(user, taken, operation, now);
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

    #[inline(always)]
    fn quarantine_block(&self, user: usize, head: Head, taken: Taken) {
        let limit = self.quarantine_limit.load(Ordering::Relaxed);
        let thread = thread::number();
        let waiting = Waiting { user, size: head.size, class: taken.class, thread };
        if head.size > limit / 2 {
            return self.pass_by(waiting);
        }
        // SAFETY: the block was taken and is ours alone.
        unsafe { poison::poison(user, head.size, most_poison(), self.free_byte()) };
        taken.set(State::Quarantined);
        let Some(mut turn) = self.turn() else { return self.pass_by(waiting) };
        turn.arena().ledger().count_free(head.size);
        let quarantine = turn.arena().local();
        let kept = quarantine.push(waiting);
        let mut due = if self.is_frozen() { None } else { quarantine.pop_over(limit) };
        while let Some(oldest) = due {
            if !self.evict_in(&mut turn, oldest) {
                drop(turn);
                return self.evict_with_care(oldest);
            }
            due = quarantine.pop_over(limit);
        }
        let (crowd, bytes) = (quarantine.count(), quarantine.bytes());
        drop(turn);
        if bytes > 4 * limit {
            Self::hold_back();
        }
        if !kept {
            self.evict_with_care(waiting);
        } else if crowd.is_multiple_of(SHARE_EVERY) {
            self.share_quarantine();
        }
    }

    /// While the heap is frozen nothing leaves, and a thread that goes on would fill memory: who looks
    /// through the heap gets the processor first.
    #[cold]
    fn hold_back() {
        std::thread::yield_now();
    }

    /// A block that cannot wait.
    #[cold]
    fn pass_by(&self, waiting: Waiting) {
        self.count_free(waiting.size);
        // Frozen, it stays where it is: nothing may move under a reader's hands.
        if self.is_frozen() {
            registry::set(waiting.user, State::Quarantined);
        } else {
            self.evict(waiting);
        }
    }

    /// Evicts a block in the turn that popped it, if nothing is wrong with it and the thread's own cache
    /// has room for it. `false`: nothing was done.
    #[inline(always)]
    fn evict_in(&self, turn: &mut Turn<'_, Pages, Quarantine>, oldest: Waiting) -> bool {
        let payload = NonNull::new((oldest.user - block::LEAD) as *mut u8);
        let (Some(class), Some(payload)) = (oldest.class, payload) else { return false };
        let number = turn.arena().number();
        let Some(evicted) = registry::Evicting::from(oldest.user, number) else { return false };
        if !self.is_untouched(oldest) || !turn.push(class, payload) {
            return false;
        }
        // Nobody gets the chunk before the turn is over.
        evicted.done();
        true
    }

    #[cold]
    #[inline(never)]
    fn evict_with_care(&self, waiting: Waiting) {
        if !self.is_frozen() {
            self.verify_waiting(waiting, Operation::Evict);
            self.evict(waiting);
        }
    }

    fn pop_over(&self, limit: usize) -> Option<Waiting> {
        if self.is_frozen() {
            return None;
        }
        self.turn()?.arena().local().pop_over(limit)
    }

    /// Evicts the oldest blocks of the thread's quarantine until at most `limit` bytes wait. Says
    /// whether any went.
    pub(super) fn evict_over(&self, limit: usize) -> bool {
        let mut any = false;
        while let Some(waiting) = self.pop_over(limit) {
            any = true;
            self.verify_waiting(waiting, Operation::Evict);
            self.evict(waiting);
        }
        any
    }

    /// Is a block that waits as it was when it was freed?
    #[inline(always)]
    pub(super) fn is_untouched(&self, waiting: Waiting) -> bool {
        let Waiting { user, size, .. } = waiting;
        // SAFETY: the block is in the quarantine: ours alone, poisoned with these arguments.
        unsafe {
            poison::is_poisoned(user, size, most_poison(), self.free_byte())
                && self.canaries().whole(user).is_some()
        }
    }

    /// Verifies a block that waits: nobody may have written to it. Says whether that holds.
    pub(super) fn verify_waiting(&self, waiting: Waiting, operation: Operation) -> bool {
        self.is_untouched(waiting) || self.report_waiting(waiting, operation)
    }

    #[cold]
    fn report_waiting(&self, waiting: Waiting, operation: Operation) -> bool {
        let Waiting { user, size, thread, .. } = waiting;
        let (most, byte) = (most_poison(), self.free_byte());
        // SAFETY: the block is in the quarantine: ours alone, poisoned with these arguments.
        let damage = unsafe { poison::poison_damage(user, size, most, byte) };
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
        block.free_thread = Some(thread);
        block.size = Some(size);
        let now = self.operation_site(operation);
        self.deliver(&Finding {
            block: Some(block),
            damage: Some(damage),
            ..Finding::new(Defect::WriteAfterFree, operation, user, now)
        });
        // SAFETY: as above; made whole so that it is reported once.
        unsafe { poison::poison(user, size, most, byte) };
        false
    }

    /// Gives a freed block's chunk back to where it is from.
    #[inline]
    fn evict(&self, waiting: Waiting) {
        let Waiting { user, class, .. } = waiting;
        registry::set(user, State::Evicted);
        match (class, registry::owner(user)) {
            (Some(class), Some(from)) => self.put(user, class, from, None),
            (_, from) => self.give_back(user, from, None),
        }
    }

    /// Counts a free where the thread's turn is not at hand.
    pub(super) fn count_free(&self, size: usize) {
        match self.turn() {
            Some(turn) => {
                turn.arena().ledger().count_free(size);
                turn.arena().ledger().tell();
            }
            None => self.arenas.main().lock().ledger.count_free(size),
        }
    }

    /// Shares out what may wait among the threads that have an arena.
    pub(super) fn share_quarantine(&self) {
        let most = options::number(Name::QuarantineSizeMb) << 20;
        let whole = (ledger::live() / 8).max(LEAST_QUARANTINE).min(most);
        let share = (whole / self.arenas.owners().max(1)).max(LEAST_SHARE.min(most));
        self.quarantine_limit.store(share, Ordering::Relaxed);
    }
}

/// Bytes of poison at both ends of a freed block.
fn most_poison() -> usize {
    options::number(Name::MaxFreeFillSize)
}
