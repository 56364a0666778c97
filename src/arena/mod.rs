//! Many threads over the heap. One arena behind one lock so far; everything above goes through
//! [`Arenas`], which says for a thread where to allocate and for an address where to free, so that
//! more arenas and thread caches change nothing there.

use crate::heap::{Heap, PageSource};
use crate::sys::lock::{Guard, Lock};

/// Counts of what the program asked for; sizes in bytes as requested.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger {
    /// Blocks handed out so far.
    pub allocations: u64,
    /// Blocks given back so far.
    pub frees: u64,
    /// Bytes handed out so far.
    pub allocated: u64,
    /// Bytes handed out and not given back.
    pub live: u64,
    /// Largest value of `live` so far.
    pub peak: u64,
}

impl Ledger {
    /// A block of `size` bytes goes out.
    pub fn count_allocation(&mut self, size: usize) {
        self.allocations += 1;
        self.allocated += size as u64;
        self.live += size as u64;
        self.peak = self.peak.max(self.live);
    }

    /// A block of `size` bytes came back.
    pub fn count_free(&mut self, size: usize) {
        self.frees += 1;
        self.live = self.live.saturating_sub(size as u64);
    }

    /// A block of `old` bytes has `new` bytes now, in its place.
    pub fn count_resize(&mut self, old: usize, new: usize) {
        self.count_free(old);
        self.count_allocation(new);
    }
}

/// What an arena's lock guards.
pub struct Books<P> {
    /// The chunks.
    pub heap: Heap<P>,
    /// The counts.
    pub ledger: Ledger,
}

/// One heap behind one lock.
pub struct Arena<P> {
    books: Lock<Books<P>>,
}

impl<P: PageSource> Arena<P> {
    /// Waits for the arena.
    pub fn lock(&self) -> Guard<'_, Books<P>> {
        self.books.lock()
    }

    /// The heap without its lock, to look at a block that is the caller's: for a signal handler
    /// that may have interrupted whoever holds it.
    pub const fn peek(&self) -> &Heap<P> {
        // SAFETY: only a live block's own words and the table of segments are read through it; that
        // table is only ever appended to.
        unsafe { &(*self.books.as_ptr()).heap }
    }
}

/// All arenas of the process.
pub struct Arenas<P> {
    main: Arena<P>,
}

impl<P: PageSource> Arenas<P> {
    /// Arenas that hold nothing yet; the main one over `pages`.
    pub const fn new(pages: P) -> Self {
        let ledger = Ledger { allocations: 0, frees: 0, allocated: 0, live: 0, peak: 0 };
        let books = Books { heap: Heap::new(pages, 0), ledger };
        Self { main: Arena { books: Lock::new(books) } }
    }

    /// Where the calling thread allocates.
    pub const fn mine(&self) -> &Arena<P> {
        &self.main
    }

    /// Where the block at `_address`, which one of the arenas gave, goes back.
    pub const fn of(&self, _address: usize) -> &Arena<P> {
        &self.main
    }

    /// Calls `each` with every arena.
    pub fn for_each(&self, mut each: impl FnMut(&Arena<P>)) {
        each(&self.main);
    }

    /// Takes every arena's lock in one fixed order, to hold it over fork.
    pub fn hold_over_fork(&self, interrupted: bool) -> bool {
        self.main.books.hold_over_fork(interrupted)
    }

    /// Gives them back in parent and child.
    ///
    /// # Safety
    /// The calling thread called [`Arenas::hold_over_fork`], which returned true.
    pub unsafe fn release_after_fork(&self) {
        // SAFETY: as the caller says.
        unsafe { self.main.books.release_after_fork() };
    }
}
