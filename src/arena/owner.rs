//! The owner's turn in its arena: allocating and freeing by the cache, and what happens when that
//! is empty or full.

use core::ptr::NonNull;

use super::arena::{Arena, OwnerPart};
use super::arenas::{ArenaPages, Arenas, ZeroIsEmpty};
use crate::arena::arena_state::ArenaState;
use crate::arena::central_free_list::CentralFreeList;
use crate::arena::remote_free_batch::{RemoteFreeBatch, chunk_of, entry};
use crate::arena::size_class::Class;
use crate::arena::thread_cache::ThreadCache;
use crate::heap::{Corrupt, Layout, PageSource};
use crate::sys::lock::Guard;
use crate::sys::thread;

/// Larger chunks of other arenas go straight to their heap: few of them, and too much to let wait.
const LARGEST_SENT: usize = 4 << 10;
/// Bytes that a thread may leave in its cache for the next one.
const MOST_LEFT: usize = 512 << 10;
/// Bytes that went between cache and heap after which the cache may be emptied again: that costs as
/// much as it holds, and what it held is soon asked for again.
const LEAST_MOVED: usize = 2 << 20;
/// Free bytes of a heap that are many, whatever it holds besides.
const MUCH_FREE: usize = 512 << 10;

/// The owner at work in its arena.
pub struct Owner<'a, P, L> {
    arena: &'a Arena<P, L>,
}

impl<P: PageSource, L> Arena<P, L> {
    /// Takes the owner's turn: until it ends, a signal handler that comes in keeps off.
    ///
    /// # Safety
    /// The calling thread owns the arena and is in no turn of it.
    #[inline]
    pub unsafe fn owner(&self) -> Owner<'_, P, L> {
        thread::enter_critical();
        Owner { arena: self }
    }
}

impl<P, L> Drop for Owner<'_, P, L> {
    #[inline(always)]
    fn drop(&mut self) {
        thread::leave_critical();
    }
}

impl<'a, P: ArenaPages + 'static, L: ZeroIsEmpty + 'static> Owner<'a, P, L> {
    /// The arena.
    pub const fn arena(&self) -> &'a Arena<P, L> {
        self.arena
    }

    #[inline]
    fn own(&mut self) -> &mut OwnerPart {
        // SAFETY: there is one turn at a time, the owner's, and `self` is borrowed for as long as
        // the reference lives.
        unsafe { &mut *self.arena.own.get() }
    }

    /// A payload of the class; contents undefined. `Ok(None)`: no memory. After `Err` the smashed
    /// part is out of use and the call can be repeated.
    pub fn allocate(&mut self, class: Class) -> Result<Option<NonNull<u8>>, Corrupt> {
        match self.pop(class) {
            Some(payload) => Ok(Some(payload)),
            None => self.refill(class),
        }
    }

    /// A payload of the class if the cache has one: the common case of [`Owner::allocate`].
    #[inline]
    pub fn pop(&mut self, class: Class) -> Option<NonNull<u8>> {
        self.own().cache.pop(class)
    }

    /// Takes back a payload of the class that arena `from` gave; it is used no more. `Err`: another
    /// chunk was found smashed on the way and is out of use; this one is back.
    ///
    /// # Safety
    /// The payload came from arena `from` of `arenas`, has that class, and is the caller's to give.
    #[inline]
    pub unsafe fn release(
        &mut self,
        payload: NonNull<u8>,
        class: Class,
        from: u32,
        arenas: &Arenas<P, L>,
    ) -> Result<(), Corrupt> {
        if from != self.arena.number() {
            // SAFETY: the caller of this function promises the same.
            return unsafe { self.send(payload, class, from, arenas) };
        }
        if self.own().cache.push(class, payload) {
            return Ok(());
        }
        self.make_room(class, payload)
    }

    /// Puts a chunk of this very arena into the cache. `false`: there is no room.
    #[inline]
    pub fn push(&mut self, class: Class, payload: NonNull<u8>) -> bool {
        self.own().cache.push(class, payload)
    }

    /// Fills an empty class: from the remote-free queue, from the heap's free chunks, and only
    /// then, with the caches emptied and coalesced, from new memory.
    // In a fuzz target it is to be part of a function that coverage leaves out, which no generic
    // one can be.
    #[cfg_attr(not(feature = "libfuzzer"), cold, inline(never))]
    #[cfg_attr(feature = "libfuzzer", inline(always))]
    fn refill(&mut self, class: Class) -> Result<Option<NonNull<u8>>, Corrupt> {
        let arena = self.arena;
        let mut arena_state = arena.arena_state.lock();
        self.receive(&mut arena_state)?;
        let cache = &mut self.own().cache;
        if let Some(payload) = cache.pop(class) {
            return Ok(Some(payload));
        }
        let batch = cache.batch(class);
        if !take_from_central_list(cache, &mut arena_state, class, batch)?
            && !take_from_heap(cache, &mut arena_state, class, batch, false)?
        {
            if self.own().moved > LEAST_MOVED.max(arena_state.in_use() / 4) {
                self.empty_cache(&mut arena_state)?;
            } else if arena_state.has_long_central_list() {
                arena_state.consolidate()?;
            }
            take_from_heap(&mut self.own().cache, &mut arena_state, class, batch, true)?;
        }
        arena_state.note_use();
        let own = self.own();
        own.moved += own.cache.count(class) * class.chunk_size();
        Ok(own.cache.pop(class))
    }

    /// The class is full: lets it hold more, or puts half of it back into the heap.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, class: Class, payload: NonNull<u8>) -> Result<(), Corrupt> {
        self.arena.stats().tell();
        let own = self.own();
        let mut result = Ok(());
        if !own.cache.widen(class) {
            let arena = self.arena;
            let mut arena_state = arena.arena_state.lock();
            result = self.put_back_half(&mut arena_state, class);
        }
        let pushed = self.own().cache.push(class, payload);
        debug_assert!(pushed, "a class that was full has room");
        result
    }

    fn put_back_half(
        &mut self,
        arena_state: &mut ArenaState<P>,
        class: Class,
    ) -> Result<(), Corrupt> {
        let own = self.own();
        let half = own.cache.count(class).div_ceil(2);
        own.moved += half * class.chunk_size();
        let result = put_back(&mut own.cache, arena_state, class, half);
        result?;
        if arena_state.has_long_lists() {
            arena_state.consolidate()?;
        }
        let in_use = arena_state.in_use();
        if arena_state.heap.free_bytes() > MUCH_FREE.max(in_use / 2)
            && self.is_worth_emptying(arena_state)
        {
            self.empty_cache(arena_state)?;
        }
        arena_state.settle();
        Ok(())
    }

    fn is_worth_emptying(&mut self, arena_state: &ArenaState<P>) -> bool {
        self.own().moved > LEAST_MOVED.max(arena_state.in_use())
    }

    /// Puts everything the cache and the remote-free queue hold back into the heap.
    fn empty_cache(&mut self, arena_state: &mut ArenaState<P>) -> Result<(), Corrupt> {
        let own = self.own();
        own.moved = 0;
        for class in Class::all() {
            let count = own.cache.count(class);
            put_back(&mut own.cache, arena_state, class, count)?;
        }
        arena_state.consolidate()?;
        self.arena.receive_into_heap(arena_state)
    }

    /// Takes in what other threads have freed.
    fn receive(&mut self, arena_state: &mut ArenaState<P>) -> Result<(), Corrupt> {
        let arena = self.arena;
        let own = self.own();
        let mut result = Ok(());
        arena.remote_queue.receive(|entry| {
            if let Some((payload, class)) = chunk_of(entry)
                && !own.cache.push(class, payload)
                && !(own.cache.widen(class) && own.cache.push(class, payload))
            {
                // SAFETY: what is in the remote-free queue is a chunk of this arena that was freed.
                result = unsafe { arena_state.heap.put_back(payload) };
            }
            result.is_ok()
        });
        result
    }

    /// # Safety
    /// As [`Owner::release`].
    #[cold]
    #[inline(never)]
    unsafe fn send(
        &mut self,
        payload: NonNull<u8>,
        class: Class,
        from: u32,
        arenas: &Arenas<P, L>,
    ) -> Result<(), Corrupt> {
        if class.chunk_size() > LARGEST_SENT {
            let Some(arena) = arenas.get(from) else { return Ok(()) };
            // SAFETY: the caller of this function promises the same.
            return unsafe { arena.lock().release(payload) };
        }
        match self.own().remote_batches.add(from, entry(payload, class)) {
            Some(lane) => {
                self.arena.stats().tell();
                deliver(&lane, arenas)
            }
            None => Ok(()),
        }
    }

    /// Leaves the arena to the next owner: what was collected for others goes to them, and a cache
    /// that holds much is emptied and coalesced. To be repeated after `Err`.
    pub fn leave(&mut self, arenas: &Arenas<P, L>) -> Result<(), Corrupt> {
        if self.cached_bytes() > MOST_LEFT {
            return self.empty(arenas);
        }
        self.send_all(arenas)?;
        self.arena.stats().tell();
        Ok(())
    }

    fn send_all(&mut self, arenas: &Arenas<P, L>) -> Result<(), Corrupt> {
        while let Some(lane) = self.own().remote_batches.take() {
            deliver(&lane, arenas)?;
        }
        Ok(())
    }

    /// Hands over everything that the thread keeps for itself: what it has collected for others,
    /// its cache, its remote-free queue. To be repeated after `Err`, which is a smashed chunk put
    /// out of use.
    pub fn empty(&mut self, arenas: &Arenas<P, L>) -> Result<(), Corrupt> {
        self.send_all(arenas)?;
        let arena = self.arena;
        let mut arena_state = arena.arena_state.lock();
        self.empty_cache(&mut arena_state)?;
        arena_state.settle();
        self.arena.stats().tell();
        Ok(())
    }

    /// The heap, locked, for a payload that is not cached. Where it would have to grow for that,
    /// stock and cache are emptied and coalesced first.
    pub fn lock_for(&mut self, layout: Layout) -> Result<Guard<'a, ArenaState<P>>, Corrupt> {
        let mut arena_state = self.arena.arena_state.lock();
        if !arena_state.heap.has_room_for(layout) && arena_state.has_long_central_list() {
            arena_state.consolidate()?;
        }
        if !arena_state.heap.has_room_for(layout) && self.is_worth_emptying(&arena_state) {
            self.empty_cache(&mut arena_state)?;
        }
        Ok(arena_state)
    }

    /// Bytes in the cache.
    pub fn cached_bytes(&mut self) -> usize {
        self.own().cache.bytes()
    }
}

/// Fills a class from the central free list. `false`: it has no chunk of that class.
fn take_from_central_list<P: PageSource>(
    cache: &mut ThreadCache,
    arena_state: &mut ArenaState<P>,
    class: Class,
    batch: usize,
) -> Result<bool, Corrupt> {
    let taken =
        arena_state.central_list.take(class, batch, |payload| cache.push(class, payload))?;
    Ok(taken != 0)
}

/// Fills a class from the heap. `false`: it has none, or with `grow`, there is no memory.
fn take_from_heap<P: PageSource>(
    cache: &mut ThreadCache,
    arena_state: &mut ArenaState<P>,
    class: Class,
    batch: usize,
    grow: bool,
) -> Result<bool, Corrupt> {
    let got = arena_state.heap.allocate_batch(class.capacity(), batch, grow, |payload| {
        cache.push(class, payload);
    })?;
    Ok(got != 0)
}

/// Puts the `count` oldest chunks of a class back: small ones into the central free list, others
/// into the heap.
fn put_back<P: PageSource>(
    cache: &mut ThreadCache,
    arena_state: &mut ArenaState<P>,
    class: Class,
    count: usize,
) -> Result<(), Corrupt> {
    let mut result = Ok(());
    cache.drain(class, count, |oldest| {
        // SAFETY: a cached chunk is in use to the heap and nobody's.
        unsafe {
            if CentralFreeList::takes(class) {
                arena_state.central_list.put(class, oldest);
                return oldest.len();
            }
            let sound =
                oldest.iter().filter_map(|&at| NonNull::new(at as *mut u8)).position(|payload| {
                    result = arena_state.heap.put_back(payload);
                    result.is_err()
                });
            sound.map_or(oldest.len(), |smashed| smashed + 1)
        }
    });
    result
}

/// Sends a lane to its arena, or, when that does not empty its remote-free queue, frees all of it
/// there.
fn deliver<P, L>(lane: &RemoteFreeBatch, arenas: &Arenas<P, L>) -> Result<(), Corrupt>
where
    P: ArenaPages + 'static,
    L: ZeroIsEmpty + 'static,
{
    let Some(arena) = arenas.get(lane.to) else { return Ok(()) };
    if arena.remote_queue.send(lane.entries()) {
        return Ok(());
    }
    let mut arena_state = arena.lock();
    let mut result = arena.receive_into_heap(&mut arena_state);
    for (payload, _) in lane.entries().iter().filter_map(|&entry| chunk_of(entry)) {
        // SAFETY: a lane holds freed chunks of its arena.
        let freed = unsafe { arena_state.heap.put_back(payload) };
        result = result.and(freed);
    }
    arena_state.settle();
    result
}
