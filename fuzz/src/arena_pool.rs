//! Simulated memory for many arenas: each has a stretch of its own, found by the arena's number.

use std::cell::RefCell;

use mallocop::arena::ArenaPages;
use mallocop::heap::sim::SimPages;
use mallocop::heap::{PageSource, Pages};

use crate::simulated::Memory;
use crate::source::LedgerPages;

/// Memory of one arena.
const MEMORY: usize = 4 << 20;

thread_local! {
    static POOL: RefCell<Vec<(Memory, LedgerPages)>> = const { RefCell::new(Vec::new()) };
}

/// The source of the arena of that number.
pub(crate) struct PoolPages(usize);

impl PoolPages {
    /// The source of arena `number`, over fresh memory.
    pub(crate) fn new(number: usize) -> Self {
        POOL.with_borrow_mut(|pool| {
            assert_eq!(pool.len(), number, "arenas are made in order");
            let memory = Memory::take(MEMORY);
            // SAFETY: the memory is zero and goes to nobody but the source.
            let sim = unsafe { SimPages::new(memory.start, MEMORY) };
            pool.push((memory, LedgerPages::new(sim)));
        });
        Self(number)
    }
}

/// Looks at the source of an arena.
pub(crate) fn with<T>(number: usize, look: impl FnOnce(&mut LedgerPages) -> T) -> T {
    POOL.with_borrow_mut(|pool| look(&mut pool[number].1))
}

/// Takes all memory back.
///
/// # Safety
/// The arenas over it are gone.
pub(crate) unsafe fn clear() {
    for (memory, pages) in POOL.take() {
        // SAFETY: by the caller's word; what was never handed out was never written.
        unsafe { memory.put_back(&pages.touched()) };
    }
}

/// Drops all memory: who knows what was written where.
pub(crate) fn abandon() {
    POOL.take();
}

impl ArenaPages for PoolPages {
    fn for_arena(number: u32) -> Self {
        Self::new(number as usize)
    }
}

// SAFETY: hands through what the arena's own source gives.
unsafe impl PageSource for PoolPages {
    fn grow(&mut self, end: usize, bytes: usize) -> Option<Pages> {
        with(self.0, |pages| pages.grow(end, bytes))
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        // SAFETY: as the caller says.
        with(self.0, |pages| unsafe { pages.shrink(end, bytes) })
    }

    fn map(&mut self, bytes: usize) -> Option<usize> {
        with(self.0, |pages| pages.map(bytes))
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) {
        // SAFETY: as the caller says.
        with(self.0, |pages| unsafe { pages.unmap(start, bytes) });
    }

    unsafe fn remap(&mut self, start: usize, old: usize, new: usize) -> Option<usize> {
        // SAFETY: as the caller says.
        with(self.0, |pages| unsafe { pages.remap(start, old, new) })
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) {
        // SAFETY: as the caller says.
        with(self.0, |pages| unsafe { pages.discard(start, bytes) });
    }
}
