//! What concerns the heap as a whole: tuning, counts, fork, and the freeze under which it is looked
//! through.

use crate::checks::heap::CheckedHeap;
use crate::checks::unmapped_blocks;
use crate::heap::Usage;
use crate::model::finding::Operation;
use crate::model::site::HeapStats;
use crate::model::site::ProcessSite;
use crate::own;
use crate::sys::lock::Hold;

impl CheckedHeap {
    /// Sets glibc's two tunables (mallopt); `None` leaves one as it is.
    pub fn tune(&self, mmap_threshold: Option<usize>, trim_threshold: Option<usize>) {
        self.arenas().tune(|tuning| {
            tuning.dynamic = false;
            tuning.mmap_threshold = mmap_threshold.unwrap_or(tuning.mmap_threshold);
            tuning.trim_threshold = trim_threshold.unwrap_or(tuning.trim_threshold);
        });
    }

    /// Gives free memory back to the system (malloc_trim): what waits in this thread's quarantine
    /// and cache goes, too. Says whether any went.
    pub fn trim(&self, keep: usize) -> bool {
        self.evict_over(0);
        let mut any = self.unmap_over_budget(true);
        if let Some(mut owner) = self.owner()
            && let Err(corrupt) = owner.empty(self.arenas())
        {
            drop(owner);
            self.blame_corruption(corrupt, Operation::Free, ProcessSite::NONE);
        }
        let mut smashed = None;
        self.arenas().for_each(|arena| match arena.trim(keep) {
            Ok(trimmed) => any |= trimmed,
            Err(corrupt) => smashed = Some(corrupt),
        });
        if let Some(corrupt) = smashed {
            self.blame_corruption(corrupt, Operation::Free, ProcessSite::NONE);
        }
        any
    }

    /// The counts over all arenas.
    pub fn totals(&self) -> (HeapStats, Usage) {
        let (mut totals, mut usage) = (HeapStats::default(), Usage::default());
        self.arenas().for_each(|arena| {
            arena.stats().add_to(&mut totals);
            let arena_state = arena.lock();
            arena_state.stats.add_to(&mut totals);
            usage += arena_state.heap.usage();
        });
        let guarded = self.guards().pool().try_lock().map_or(0, |pool| pool.open_bytes());
        usage.held += guarded;
        usage.in_use += guarded;
        (totals, usage)
    }

    /// About how many blocks are live, by the owners' own counts: no lock is taken.
    pub(crate) fn live_blocks(&self) -> u64 {
        let mut totals = HeapStats::default();
        self.arenas().for_each(|arena| arena.stats().add_to(&mut totals));
        totals.allocations.saturating_sub(totals.frees)
    }

    /// Takes all locks of the malloc path in their order, before fork. The first of the result goes
    /// to
    /// [`CheckedHeap::release_after_fork`]; the second says whether other threads are outside of
    /// all of them.
    pub fn hold_over_fork(&self) -> ([bool; 3], bool) {
        let guards = self.guards().pool().hold_over_fork();
        let mapped = self.mapped().hold_over_fork();
        let arenas = self.arenas().hold_over_fork();
        let own = own::heap::hold_over_fork();
        let all = arenas && [guards, mapped, own].iter().all(|&hold| hold != Hold::Busy);
        ([guards, mapped, own].map(|hold| hold == Hold::Taken), all)
    }

    /// Gives them back, in the parent and in the child.
    ///
    /// # Safety
    /// `held` is what `hold_over_fork` returned to this thread.
    pub unsafe fn release_after_fork(&self, held: [bool; 3]) {
        let [guards, mapped, own] = held;
        // SAFETY: each lock is given back only if it was taken, by the caller's word.
        unsafe {
            if own {
                own::heap::release_after_fork();
            }
            self.arenas().release_after_fork();
            if mapped {
                self.mapped().release_after_fork();
            }
            if guards {
                self.guards().pool().release_after_fork();
            }
        }
    }

    /// In a forked child, after [`CheckedHeap::release_after_fork`]: every lock of the malloc path
    /// is free, but for those that the child's thread held when a signal handler of it forked.
    pub fn renew_locks(&self) {
        own::heap::renew_lock();
        self.arenas().renew_locks();
        self.mapped().renew();
        self.guards().pool().renew();
        self.renew_guards();
    }

    /// From here on no memory goes away under a reader's hands: nothing is unmapped, trimmed or
    /// evicted. For good at exit; else until [`CheckedHeap::thaw`].
    pub fn freeze(&self) {
        self.freeze_count().begin();
        // Mappings only go away under this lock, and only when nothing is frozen: who saw that is
        // done.
        drop(self.mapped().lock());
        self.arenas().tune(|tuning| tuning.may_trim = false);
    }

    /// In a forked child, which looks at nothing: whoever did is not there.
    pub fn thaw_after_fork(&self) {
        unmapped_blocks::renew_after_fork();
        if self.is_frozen() {
            self.freeze_count().renew();
            self.thaw();
        }
    }

    /// Ends one [`CheckedHeap::freeze`].
    pub fn thaw(&self) {
        if self.freeze_count().end() {
            self.arenas().tune(|tuning| tuning.may_trim = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What another thread of the parent had frozen stayed so in the child for ever.
    #[test]
    fn a_forked_child_is_not_frozen() {
        static HEAP: CheckedHeap = CheckedHeap::new(|_| {});
        HEAP.thaw_after_fork();
        assert!(!HEAP.is_frozen());
        HEAP.freeze();
        HEAP.freeze();
        HEAP.thaw_after_fork();
        assert!(!HEAP.is_frozen());
        HEAP.freeze();
        assert!(HEAP.is_frozen());
        HEAP.thaw();
        assert!(!HEAP.is_frozen());
    }
}
