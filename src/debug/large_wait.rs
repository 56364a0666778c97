//! Freed blocks that are too large for the quarantine's first ring: they wait in one of their own.

use super::checked::CheckedHeap;
use super::quarantine::Waiting;
use super::registry::{State, Taken};
use crate::finding::Operation;
use crate::options::{self, Name};

/// How many times as many bytes of large blocks may wait as of all others.
const LARGE_SHARE: usize = 16;

impl CheckedHeap {
    /// Bytes of large blocks that may wait in one thread's quarantine.
    pub(super) fn large_limit(&self) -> usize {
        let all = options::number(Name::QuarantineSizeMb) << 20;
        let each = options::number(Name::ThreadLocalQuarantineSizeKb) << 10;
        (LARGE_SHARE * each).min(all / self.arenas.owners().max(1))
    }

    /// Poisons a verified block that is too large to wait among the others, and keeps it.
    pub(super) fn let_large_wait(&self, waiting: Waiting, taken: &Taken, most: usize) {
        self.count_free(waiting.size);
        let may_sum = |bytes| {
            self.turn().is_some_and(|turn| {
                let arena = turn.arena();
                arena.local().may_sum(bytes, arena.ledger().frees())
            })
        };
        // SAFETY: the block was taken and is ours alone.
        unsafe { self.poison(self.canaries(), waiting, may_sum) };
        taken.set(State::Quarantined);
        self.evict_large_over(most.saturating_sub(waiting.size));
        let is_kept = self.turn().is_some_and(|turn| turn.arena().local().push_large(waiting));
        // Frozen, it stays where it is: nothing may move under a reader's hands.
        if !is_kept && !self.is_frozen() {
            self.evict(waiting);
        }
    }

    /// Evicts the oldest large blocks until at most `limit` bytes of them wait and there is a
    /// place.
    pub(super) fn evict_large_over(&self, limit: usize) {
        let oldest = || {
            let turn = self.turn()?;
            if self.is_frozen() { None } else { turn.arena().local().pop_large_over(limit) }
        };
        while let Some(waiting) = oldest() {
            self.verify_waiting(waiting, Operation::Evict);
            self.evict(waiting);
        }
    }
}
