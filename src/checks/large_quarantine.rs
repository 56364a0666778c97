//! Freed blocks that are too large for the quarantine's first ring: they wait in one of their own.

use crate::checks::heap::CheckedHeap;
use crate::checks::quarantine::Quarantined;
use crate::model::finding::Operation;
use crate::options::{self, Name};
use crate::shadow::block_table::{BlockState, Taken};

/// How many times as many bytes of large blocks may wait as of all others.
const LARGE_SHARE: usize = 16;

impl CheckedHeap {
    /// Bytes of large blocks that may wait in one thread's quarantine.
    pub(crate) fn large_limit(&self) -> usize {
        let all = options::number(Name::QuarantineSizeMb) << 20;
        let each = options::number(Name::ThreadLocalQuarantineSizeKb) << 10;
        (LARGE_SHARE * each).min(all / self.arenas().owners().max(1))
    }

    /// Poisons a verified block that is too large to wait among the others, and keeps it.
    pub(crate) fn quarantine_large_block(&self, waiting: Quarantined, taken: &Taken, most: usize) {
        self.count_free(waiting.size);
        let may_sum = |bytes| {
            self.owner().is_some_and(|owner| {
                let arena = owner.arena();
                arena.local().may_sum(bytes, arena.stats().frees())
            })
        };
        // SAFETY: the block was taken and is ours alone.
        unsafe { self.poison(self.canaries(), waiting, may_sum) };
        taken.set(BlockState::Quarantined);
        self.evict_large_over(most.saturating_sub(waiting.size));
        let is_kept = self.owner().is_some_and(|owner| owner.arena().local().push_large(waiting));
        // Frozen, it stays where it is: nothing may move under a reader's hands.
        if !is_kept && !self.is_frozen() {
            self.evict(waiting);
        }
    }

    /// Evicts the oldest large blocks until at most `limit` bytes of them wait and there is a
    /// place.
    pub(crate) fn evict_large_over(&self, limit: usize) {
        let oldest = || {
            let owner = self.owner()?;
            if self.is_frozen() { None } else { owner.arena().local().pop_large_over(limit) }
        };
        while let Some(waiting) = oldest() {
            self.verify_waiting(waiting, Operation::Evict);
            self.evict(waiting);
        }
    }
}
