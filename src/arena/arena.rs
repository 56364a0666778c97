//! One arena: a heap behind a lock, and in front of it what its owning thread uses without one: the
//! cache, the remote-free batches, the counts. Other threads reach it through the remote-free
//! queue, or the lock.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8};

use crate::arena::arena_state::ArenaState;
use crate::arena::remote_free_batch::{RemoteFreeBatches, chunk_of};
use crate::arena::remote_free_queue::RemoteFreeQueue;
use crate::arena::stats::ThreadStats;
use crate::arena::thread_cache::ThreadCache;
use crate::heap::{Corrupt, PageSource};
use crate::sys::atomic::AtomicUsize;
use crate::sys::lock::{Guard, Lock};

/// Chunks that wait for an owner who does not come.
const PLACES: usize = 1024;

/// What only the owner touches.
pub(super) struct OwnerPart {
    pub(super) cache: ThreadCache,
    pub(super) remote_batches: RemoteFreeBatches,
    /// Bytes that went between cache and heap since the cache was emptied.
    pub(super) moved: usize,
}

/// One heap with one owner at a time. `L` is what the owner keeps beside it.
pub struct Arena<P, L> {
    number: u32,
    pub(super) arena_state: Lock<ArenaState<P>>,
    pub(super) remote_queue: RemoteFreeQueue<PLACES>,
    stats: ThreadStats,
    pub(super) own: UnsafeCell<OwnerPart>,
    local: L,
    pub(super) is_owned: AtomicBool,
    /// Level of the fork that holds the lock; 0: none does.
    pub(super) held_at: AtomicU8,
    pub(super) next_orphan: AtomicPtr<Self>,
}

// SAFETY: `own` is touched by the owner alone, in its turns; all else is shared by locks and
// atomics.
unsafe impl<P: Send, L: Sync> Sync for Arena<P, L> {}

impl<P: PageSource, L> Arena<P, L> {
    /// An arena without an owner, over `pages`.
    pub const fn new(number: u32, pages: P, local: L) -> Self {
        let own = OwnerPart {
            cache: ThreadCache::new(),
            remote_batches: RemoteFreeBatches::new(),
            moved: 0,
        };
        Self {
            number,
            arena_state: Lock::new(ArenaState::new(pages)),
            remote_queue: RemoteFreeQueue {
                tail: AtomicUsize::new(0),
                head: AtomicUsize::new(0),
                places: [const { AtomicUsize::new(0) }; PLACES],
            },
            stats: ThreadStats::new(),
            own: UnsafeCell::new(own),
            local,
            is_owned: AtomicBool::new(false),
            held_at: AtomicU8::new(0),
            next_orphan: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Makes all-zero memory an arena, without touching the parts that zero is right for.
    ///
    /// # Safety
    /// `place` is all zero, aligned, large enough and the caller's alone; all-zero is a valid `L`.
    pub(super) unsafe fn prepare(place: *mut Self, number: u32, pages: P) {
        // SAFETY: by the caller's word; the other fields are atomics, counters and a free lock.
        unsafe {
            (&raw mut (*place).number).write(number);
            (*place).arena_state.as_ptr().write(ArenaState::new(pages));
            (*(*place).own.get()).cache.prepare();
        }
    }

    /// Its number; the main arena has 0.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// What the owner keeps beside the heap.
    pub const fn local(&self) -> &L {
        &self.local
    }

    /// The owner's counts.
    pub const fn stats(&self) -> &ThreadStats {
        &self.stats
    }

    /// Waits for the heap.
    pub fn lock(&self) -> Guard<'_, ArenaState<P>> {
        self.arena_state.lock()
    }

    pub(super) const fn arena_state(&self) -> &Lock<ArenaState<P>> {
        &self.arena_state
    }

    /// In a forked child: what no sender will finish is given up.
    pub(super) fn repair_remote_queue(&self) {
        self.remote_queue.repair();
    }
}

impl<P: PageSource, L> Arena<P, L> {
    /// Frees what is in the remote-free queue. The lock is held.
    pub(super) fn receive_into_heap(&self, arena_state: &mut ArenaState<P>) -> Result<(), Corrupt> {
        let mut result = Ok(());
        self.remote_queue.receive(|entry| {
            if let Some((payload, _)) = chunk_of(entry) {
                // SAFETY: what is in the remote-free queue is a chunk of this arena that was freed.
                result = unsafe { arena_state.heap.put_back(payload) };
            }
            result.is_ok()
        });
        result
    }

    /// Takes in what others have freed, and trims the heap: see [`ArenaState::trim`].
    pub fn trim(&self, keep: usize) -> Result<bool, Corrupt> {
        let mut arena_state = self.lock();
        self.receive_into_heap(&mut arena_state)?;
        arena_state.trim(keep)
    }
}
