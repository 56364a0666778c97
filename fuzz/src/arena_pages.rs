//! Simulated memory for many arenas: each has a buffer of its own out of a pool that lives as long
//! as its thread, and refuses requests on demand.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;

use mallocop::arena::ArenaPages;
use mallocop::heap::test_source::TestPages;
use mallocop::heap::{PageSource, Pages};

/// Memory of each arena.
pub const BUFFER: usize = 2 << 20;

thread_local! {
    /// Buffers that no arena has.
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare(Vec::new())) };
}

/// Where they start.
struct Spare(Vec<usize>);

const fn layout() -> Layout {
    match Layout::from_size_align(BUFFER, 4096) {
        Ok(layout) => layout,
        Err(_) => panic!("a sound layout"),
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        for start in self.0.drain(..) {
            // SAFETY: allocated below with that layout, and nobody has it.
            unsafe { dealloc(start as *mut u8, layout()) };
        }
    }
}

/// One arena's source.
pub struct PoolPages {
    /// What it hands out.
    pub sim: TestPages,
    start: usize,
}

impl PoolPages {
    /// A source over a buffer of the pool.
    pub fn new() -> Self {
        let start = SPARE.with_borrow_mut(|spare| spare.0.pop()).unwrap_or_else(|| {
            // SAFETY: the layout is not empty.
            unsafe { alloc_zeroed(layout()) as usize }
        });
        // SAFETY: the buffer is nobody else's; the source makes zero what it hands out.
        Self { sim: unsafe { TestPages::new(start as *mut u8, BUFFER) }, start }
    }

    /// First byte of its memory, and first byte behind.
    pub const fn range(&self) -> (usize, usize) {
        (self.start, self.start + BUFFER)
    }
}

impl Default for PoolPages {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for PoolPages {
    fn drop(&mut self) {
        SPARE.with_borrow_mut(|spare| spare.0.push(self.start));
    }
}

impl ArenaPages for PoolPages {
    fn for_arena(_number: u32) -> Self {
        Self::new()
    }
}

// SAFETY: hands through what the simulation gives.
unsafe impl PageSource for PoolPages {
    fn grow(&mut self, end: usize, bytes: usize) -> Option<Pages> {
        self.sim.grow(end, bytes)
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.sim.shrink(end, bytes) }
    }

    fn map(&mut self, bytes: usize) -> Option<usize> {
        self.sim.map(bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.sim.unmap(start, bytes) };
    }

    unsafe fn remap(&mut self, start: usize, old: usize, new: usize) -> Option<usize> {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.sim.remap(start, old, new) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) {
        // SAFETY: the pages are in the buffer, and what they hold is not used any more.
        unsafe { (start as *mut u8).write_bytes(0xdd, bytes) };
    }
}
