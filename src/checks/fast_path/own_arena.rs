//! The calling thread's arena, if the thread may take the fast path.

use crate::arena::size_class::LARGEST;
use crate::arena::{Arena, Owner};
use crate::checks::deferred_free;
use crate::checks::heap::{CheckedHeap, Pages};
use crate::checks::layout::{LEAD, TAIL};
use crate::checks::quarantine::Quarantine;
use crate::heap::size::{GRANULE, WORD};
use crate::options::{self, Name};
use crate::sys::thread;

/// An arena with what its owner keeps beside its heap.
pub(crate) type OwnArena = Arena<Pages, Quarantine>;

/// Largest request that goes this way.
const LARGEST_REQUEST: usize = LARGEST - WORD - LEAD - TAIL;

/// Is a request for a class that caches have?
#[inline(always)]
pub(crate) const fn is_cached(size: usize, align: usize) -> bool {
    align <= GRANULE && size <= LARGEST_REQUEST
}

impl CheckedHeap {
    /// May threads go this way? Not without checks but with stacks: nobody needs that to be fast.
    pub(crate) fn has_fast_path(&self) -> bool {
        !thread::is_hooked() && self.has_fast_path_if_hooked()
    }

    /// As [`Self::has_fast_path`] for threads with a hook or a refusal plan.
    pub(crate) fn has_fast_path_if_hooked(&self) -> bool {
        self.is_checked() || options::number(Name::MallocContextSize) == 0
    }
}

/// The thread's arena, if it may go this way and is outside of everything of ours.
#[inline(always)]
pub(super) fn mine() -> Option<&'static OwnArena> {
    let arena = thread::fast_arena() as *const OwnArena;
    // SAFETY: what the slot names is the thread's own arena, which lives for ever.
    unsafe { arena.as_ref() }
}

/// That, unless frees of a signal handler's wait: they come first.
#[inline(always)]
pub(super) fn undisturbed(mine: Option<&'static OwnArena>) -> Option<&'static OwnArena> {
    mine.filter(|_| !deferred_free::is_waiting())
}

/// As [`mine`] for a thread whose calls a hook or a plan attends to: its slot names no arena for
/// the fast path.
pub(super) fn mine_hooked() -> Option<&'static OwnArena> {
    let may = thread::is_outside() && !thread::is_blind();
    // SAFETY: the slot holds 0 or the address of this thread's arena, which lives for ever.
    may.then(|| unsafe { (thread::arena() as *const OwnArena).as_ref() }).flatten()
}

/// The owner's turn in its arena.
#[inline]
pub(super) fn owner(mine: &'static OwnArena) -> Owner<'static, Pages, Quarantine> {
    // SAFETY: the arena is this thread's own, and it is outside, so that it has no turn.
    unsafe { mine.owner() }
}
