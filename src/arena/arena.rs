//! One arena: a heap behind a lock, and in front of it what its owning thread uses without one: the
//! cache, the outbox, the ledger. Other threads reach it through the inbox, or the lock.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8};

use super::atomic::AtomicUsize;
use super::cache::Cache;
use super::class::Class;
use super::inbox::Inbox;
use super::ledger::Ledger;
use super::outbox::{Lane, Outbox, chunk_of, entry};
use super::stock::Stock;
use super::{ArenaPages, Arenas, ZeroIsEmpty};
use crate::heap::{Corrupt, Heap, Layout, PageSource};
use crate::sys::lock::{Guard, Lock};
use crate::sys::thread;

/// Chunks that wait for an owner who does not come.
const PLACES: usize = 1024;
/// Larger chunks of other arenas go straight to their heap: few of them, and too much to let wait.
const LARGEST_SENT: usize = 4 << 10;
/// Free chunks from this size on lose their pages when a heap is trimmed.
const LEAST_DISCARDED: usize = 8 << 10;
/// Bytes in stock that are coalesced before the heap grows, and those that are when so much comes back.
const MOST_STOCK_TO_GROW: usize = 64 << 10;
const LEAST_MOVED_STOCK: usize = 1 << 20;
/// Bytes that went between cache and heap after which the cache may be emptied again: that costs as
/// much as it holds, and what it held is soon asked for again.
const LEAST_MOVED: usize = 128 << 10;

/// What an arena's lock guards.
pub struct Books<P> {
    /// The chunks.
    pub heap: Heap<P>,
    /// Small free chunks that are not coalesced yet.
    pub(super) stock: Stock,
    /// The counts of those who come by the lock, not being the owner.
    pub ledger: Ledger,
}

impl<P: PageSource> Books<P> {
    const fn new(pages: P) -> Self {
        Self { heap: Heap::new(pages, 0), stock: Stock::new(), ledger: Ledger::new() }
    }

    /// Sets the key of heap and stock, which hold nothing yet.
    pub(super) fn set_key(&mut self, key: u64) {
        self.heap.set_key(key);
        self.stock.set_key(key.rotate_left(23));
    }

    /// Coalesces the stock. To be repeated after `Err`.
    pub(super) fn consolidate(&mut self) -> Result<(), Corrupt> {
        let heap = &mut self.heap;
        for class in Class::all().filter(|class| Stock::takes(*class)) {
            let mut freed = Ok(());
            self.stock.take(class, usize::MAX, |payload| {
                // SAFETY: a stocked chunk is in use to the heap and nobody's.
                freed = unsafe { heap.put_back(payload) };
                freed.is_ok()
            })?;
            freed?;
        }
        Ok(())
    }

    /// Bytes that the program has, as far as the heap can tell.
    const fn in_use(&self) -> usize {
        self.heap.usage().in_use.saturating_sub(self.stock.bytes())
    }
}

/// What only the owner touches.
struct Own {
    cache: Cache,
    outbox: Outbox,
    /// Bytes that went between cache and heap since the cache was emptied.
    moved: usize,
}

/// One heap with one owner at a time. `L` is what the owner keeps beside it.
pub struct Arena<P, L> {
    number: u32,
    books: Lock<Books<P>>,
    inbox: Inbox<PLACES>,
    ledger: Ledger,
    own: UnsafeCell<Own>,
    local: L,
    pub(super) is_owned: AtomicBool,
    /// Level of the fork that holds the lock; 0: none does.
    pub(super) held_at: AtomicU8,
    pub(super) next_orphan: AtomicPtr<Self>,
}

// SAFETY: `own` is touched by the owner alone, in its turns; all else is shared by locks and atomics.
unsafe impl<P: Send, L: Sync> Sync for Arena<P, L> {}

impl<P: PageSource, L> Arena<P, L> {
    /// An arena without an owner, over `pages`.
    pub const fn new(number: u32, pages: P, local: L) -> Self {
        let own = Own { cache: Cache::new(), outbox: Outbox::new(), moved: 0 };
        Self {
            number,
            books: Lock::new(Books::new(pages)),
            inbox: Inbox {
                tail: AtomicUsize::new(0),
                head: AtomicUsize::new(0),
                places: [const { AtomicUsize::new(0) }; PLACES],
            },
            ledger: Ledger::new(),
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
            (*place).books.as_ptr().write(Books::new(pages));
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
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Waits for the heap.
    pub fn lock(&self) -> Guard<'_, Books<P>> {
        self.books.lock()
    }

    pub(super) const fn books(&self) -> &Lock<Books<P>> {
        &self.books
    }

    /// The heap without its lock, to look at a block that is the caller's: for a signal handler
    /// that may have interrupted whoever holds it.
    pub const fn peek(&self) -> &Heap<P> {
        // SAFETY: only a live block's own words and the table of segments are read through it; that
        // table is only ever appended to.
        unsafe { &(*self.books.as_ptr()).heap }
    }

    /// In a forked child: what no sender will finish is given up.
    pub(super) fn repair_inbox(&self) {
        self.inbox.repair();
    }

    /// Takes the owner's turn: until it ends, a signal handler that comes in keeps off.
    ///
    /// # Safety
    /// The calling thread owns the arena and is in no turn of it.
    #[inline]
    pub unsafe fn turn(&self) -> Turn<'_, P, L> {
        thread::enter_critical();
        Turn { arena: self }
    }
}

/// The owner at work in its arena.
pub struct Turn<'a, P, L> {
    arena: &'a Arena<P, L>,
}

impl<P, L> Drop for Turn<'_, P, L> {
    #[inline]
    fn drop(&mut self) {
        thread::leave_critical();
    }
}

impl<'a, P: ArenaPages + 'static, L: ZeroIsEmpty + 'static> Turn<'a, P, L> {
    /// The arena.
    pub const fn arena(&self) -> &'a Arena<P, L> {
        self.arena
    }

    #[inline]
    fn own(&mut self) -> &mut Own {
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

    /// A payload of the class if the cache has one: the common case of [`Turn::allocate`].
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
        if from != self.arena.number {
            // SAFETY: as the caller says.
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

    /// Fills an empty class: from the inbox, from the heap's free chunks, and only then, with the
    /// caches emptied and coalesced, from new memory.
    #[cold]
    #[inline(never)]
    fn refill(&mut self, class: Class) -> Result<Option<NonNull<u8>>, Corrupt> {
        let arena = self.arena;
        let mut books = arena.books.lock();
        self.receive(&mut books)?;
        let cache = &mut self.own().cache;
        if let Some(payload) = cache.pop(class) {
            return Ok(Some(payload));
        }
        let batch = cache.batch(class);
        if !take_stock(cache, &mut books, class, batch)?
            && !get_chunks(cache, &mut books, class, batch, false)?
        {
            if self.is_worth_emptying(&books) {
                self.empty_cache(&mut books)?;
            } else if books.stock.bytes() > MOST_STOCK_TO_GROW.max(books.heap.usage().held / 16) {
                books.consolidate()?;
            }
            get_chunks(&mut self.own().cache, &mut books, class, batch, true)?;
        }
        let own = self.own();
        own.moved += own.cache.count(class) * class.chunk_size();
        Ok(own.cache.pop(class))
    }

    /// The class is full: lets it hold more, or puts half of it back into the heap.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, class: Class, payload: NonNull<u8>) -> Result<(), Corrupt> {
        self.arena.ledger.tell();
        let own = self.own();
        let mut result = Ok(());
        if !own.cache.widen(class) {
            let arena = self.arena;
            let mut books = arena.books.lock();
            result = self.put_back_half(&mut books, class);
        }
        let pushed = self.own().cache.push(class, payload);
        debug_assert!(pushed, "a class that was full has room");
        result
    }

    fn put_back_half(&mut self, books: &mut Books<P>, class: Class) -> Result<(), Corrupt> {
        let own = self.own();
        let half = own.cache.count(class).div_ceil(2);
        own.moved += half * class.chunk_size();
        let result = put_back(&mut own.cache, books, class, half);
        result?;
        let in_use = books.in_use();
        if books.stock.bytes() > LEAST_MOVED_STOCK.max(in_use) {
            books.consolidate()?;
        }
        if books.heap.free_bytes() > LEAST_MOVED.max(in_use / 2) && self.is_worth_emptying(books) {
            self.empty_cache(books)?;
        }
        books.heap.settle();
        Ok(())
    }

    fn is_worth_emptying(&mut self, books: &Books<P>) -> bool {
        self.own().moved > LEAST_MOVED.max(books.in_use())
    }

    /// Puts everything the cache and the inbox hold back into the heap.
    fn empty_cache(&mut self, books: &mut Books<P>) -> Result<(), Corrupt> {
        let own = self.own();
        own.moved = 0;
        for class in Class::all() {
            let count = own.cache.count(class);
            put_back(&mut own.cache, books, class, count)?;
        }
        books.consolidate()?;
        self.arena.receive_into_heap(books)
    }

    /// Takes in what other threads have freed.
    fn receive(&mut self, books: &mut Books<P>) -> Result<(), Corrupt> {
        let arena = self.arena;
        let own = self.own();
        let mut result = Ok(());
        arena.inbox.receive(|entry| {
            if let Some((payload, class)) = chunk_of(entry)
                && !own.cache.push(class, payload)
                && !(own.cache.widen(class) && own.cache.push(class, payload))
            {
                // SAFETY: what is in the inbox is a chunk of this arena that was freed.
                result = unsafe { books.heap.put_back(payload) };
            }
            result.is_ok()
        });
        result
    }

    /// # Safety
    /// As [`Turn::release`].
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
            // SAFETY: as the caller says.
            return unsafe { arena.lock().heap.release(payload) };
        }
        match self.own().outbox.add(from, entry(payload, class)) {
            Some(lane) => {
                self.arena.ledger.tell();
                deliver(&lane, arenas)
            }
            None => Ok(()),
        }
    }

    /// Hands over everything that the thread keeps for itself: what it has collected for others,
    /// its cache, its inbox. To be repeated after `Err`, which is a smashed chunk put out of use.
    pub fn empty(&mut self, arenas: &Arenas<P, L>) -> Result<(), Corrupt> {
        while let Some(lane) = self.own().outbox.take() {
            deliver(&lane, arenas)?;
        }
        let arena = self.arena;
        let mut books = arena.books.lock();
        self.empty_cache(&mut books)?;
        books.heap.settle();
        self.arena.ledger.tell();
        Ok(())
    }

    /// The heap, locked, for a payload that is not cached. Where it would have to grow for that, the
    /// cache is emptied and coalesced first.
    pub fn lock_for(&mut self, layout: Layout) -> Result<Guard<'a, Books<P>>, Corrupt> {
        let mut books = self.arena.books.lock();
        if !books.heap.has_room_for(layout) && self.is_worth_emptying(&books) {
            self.empty_cache(&mut books)?;
        }
        Ok(books)
    }

    /// Bytes in the cache.
    pub fn cached_bytes(&mut self) -> usize {
        self.own().cache.bytes()
    }
}

impl<P: PageSource, L> Arena<P, L> {
    /// Gives what is free back to the source: the top beyond `keep` bytes, pages inside free chunks.
    /// Says whether the heap became smaller. To be repeated after `Err`.
    pub fn trim(&self, keep: usize) -> Result<bool, Corrupt> {
        let mut books = self.lock();
        books.consolidate()?;
        books.heap.discard_free(LEAST_DISCARDED);
        Ok(books.heap.trim(keep))
    }

    /// Frees what is in the inbox. The lock is held.
    pub(super) fn receive_into_heap(&self, books: &mut Books<P>) -> Result<(), Corrupt> {
        let mut result = Ok(());
        self.inbox.receive(|entry| {
            if let Some((payload, _)) = chunk_of(entry) {
                // SAFETY: what is in the inbox is a chunk of this arena that was freed.
                result = unsafe { books.heap.put_back(payload) };
            }
            result.is_ok()
        });
        result
    }
}

/// Fills a class from the stock. `false`: there is none.
fn take_stock<P: PageSource>(
    cache: &mut Cache,
    books: &mut Books<P>,
    class: Class,
    batch: usize,
) -> Result<bool, Corrupt> {
    let taken = books.stock.take(class, batch, |payload| cache.push(class, payload))?;
    Ok(taken != 0)
}

/// Fills a class from the heap. `false`: it has none, or with `grow`, there is no memory.
fn get_chunks<P: PageSource>(
    cache: &mut Cache,
    books: &mut Books<P>,
    class: Class,
    batch: usize,
    grow: bool,
) -> Result<bool, Corrupt> {
    let got = books.heap.allocate_batch(class.capacity(), batch, grow, |payload| {
        cache.push(class, payload);
    })?;
    Ok(got != 0)
}

/// Puts the `count` oldest chunks of a class back: small ones into the stock, others into the heap.
fn put_back<P: PageSource>(
    cache: &mut Cache,
    books: &mut Books<P>,
    class: Class,
    count: usize,
) -> Result<(), Corrupt> {
    let mut result = Ok(());
    cache.drain(class, count, |payload| {
        // SAFETY: a cached chunk is in use to the heap and nobody's.
        unsafe {
            if Stock::takes(class) {
                books.stock.put(class, payload);
            } else {
                result = books.heap.put_back(payload);
            }
        }
        result.is_ok()
    });
    result
}

/// Sends a lane to its arena, or, when that does not empty its inbox, frees all of it there.
fn deliver<P, L>(lane: &Lane, arenas: &Arenas<P, L>) -> Result<(), Corrupt>
where
    P: ArenaPages + 'static,
    L: ZeroIsEmpty + 'static,
{
    let Some(arena) = arenas.get(lane.to) else { return Ok(()) };
    if arena.inbox.send(lane.entries()) {
        return Ok(());
    }
    let mut books = arena.lock();
    let mut result = arena.receive_into_heap(&mut books);
    for (payload, _) in lane.entries().iter().filter_map(|&entry| chunk_of(entry)) {
        // SAFETY: a lane holds freed chunks of its arena.
        let freed = unsafe { books.heap.put_back(payload) };
        result = result.and(freed);
    }
    books.heap.settle();
    result
}
