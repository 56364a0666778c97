//! A thread and its arena: from its first allocation to its end.

use crate::sys::thread_number;
use core::ptr::NonNull;

use crate::arena::size_class::Class;
use crate::arena::{Arena, Owner};
use crate::checks::heap::{CheckedHeap, Pages};
use crate::checks::quarantine::Quarantine;
use crate::heap::Corrupt;
use crate::model::finding::Operation;
use crate::model::site::ProcessSite;
use crate::stack::capture;
use crate::sys::{thread, thread_exit};

/// What a thread that ends leaves waiting in its quarantine, in bytes: late writes are still seen.
const LEFT_BEHIND: usize = 128 << 10;

impl CheckedHeap {
    /// The calling thread's turn in its arena, which it gets at its first call. `None`: it has
    /// none, and works under the heaps' locks. The thread is in no critical section.
    #[inline]
    pub(crate) fn owner(&self) -> Option<Owner<'_, Pages, Quarantine>> {
        let arena = thread::arena() as *const Arena<Pages, Quarantine>;
        // SAFETY: what the slot names is an arena of ours, which lives for ever.
        let arena = match unsafe { arena.as_ref() } {
            Some(arena) => arena,
            None => self.attach()?,
        };
        // SAFETY: the slot's arena is this thread's own, and a thread in a turn is critical.
        Some(unsafe { arena.owner() })
    }

    #[cold]
    #[inline(never)]
    fn attach(&self) -> Option<&Arena<Pages, Quarantine>> {
        if thread::has_ended() {
            return None;
        }
        let arena = self.arenas().attach()?;
        thread_number::number();
        thread::set_arena(core::ptr::from_ref(arena) as usize, self.has_fast_path());
        self.share_quarantine();
        let _work = thread::ToolWork::begin();
        thread_exit::watch();
        Some(arena)
    }

    /// The calling thread ends: what it kept goes back, its arena to the next thread. What it still
    /// frees and allocates later it does under the heaps' locks.
    pub fn end_thread(&self) {
        if !thread::is_outside() || thread::arena() == 0 {
            return;
        }
        self.do_deferred();
        thread::note_end();
        let limit = self.quarantine_share().bytes();
        self.evict_over(LEFT_BEHIND.max(limit / 16));
        while let Some(mut owner) = self.owner() {
            let emptied = owner.leave(self.arenas());
            let arena = owner.arena();
            drop(owner);
            match emptied {
                Ok(()) => {
                    thread::set_arena(0, false);
                    self.arenas().detach(arena);
                    break;
                }
                Err(corrupt) => self.blame_corruption(corrupt, Operation::Free, ProcessSite::NONE),
            }
        }
        self.share_quarantine();
    }

    /// In a forked child: the arenas of the threads that are not here are orphans.
    pub fn inherit_arenas(&self) {
        // SAFETY: the slot holds 0 or the address of this thread's arena, which lives for ever.
        let mine = unsafe { (thread::arena() as *const Arena<Pages, Quarantine>).as_ref() };
        self.arenas().inherit(mine);
        self.share_quarantine();
    }

    /// Gives a chunk back that no block is in any more. `counted`: bytes of a block that the
    /// program gives back with it.
    #[inline]
    pub(crate) fn put(&self, user: usize, class: Class, from: u32, counted: Option<usize>) {
        let Some(payload) = NonNull::new((user - self.lead()) as *mut u8) else { return };
        let result = match self.owner() {
            Some(mut owner) => {
                if let Some(size) = counted {
                    owner.arena().stats().count_free(size);
                }
                // SAFETY: the shadow gave the block to us, with its class and its arena.
                unsafe { owner.release(payload, class, from, self.arenas()) }
            }
            None => self.put_under_lock(payload, from, counted),
        };
        if let Err(corrupt) = result {
            self.blame_corruption(corrupt, Operation::Free, capture::full_site());
        }
    }

    /// The same by the heap's lock, for a thread without an arena and for what is not cached.
    #[cold]
    pub(crate) fn put_under_lock(
        &self,
        payload: NonNull<u8>,
        from: u32,
        counted: Option<usize>,
    ) -> Result<(), Corrupt> {
        let Some(arena) = self.arenas().get(from) else { return Ok(()) };
        let mut arena_state = arena.lock();
        if let Some(size) = counted {
            arena_state.stats.count_free(size);
        }
        // SAFETY: the payload came from this arena and no block is in it any more.
        unsafe { arena_state.release(payload) }
    }
}
