//! A heap over a simulated page source that owns its buffer, and a seeded generator.

use std::alloc::{Layout, alloc_zeroed, dealloc};

use mallocop::heap::Heap;
use mallocop::heap::sim::SimPages;

/// A heap whose memory lives as long as it does.
pub(crate) struct SimHeap {
    /// The heap under test.
    pub(crate) heap: Box<Heap<SimPages>>,
    buffer: *mut u8,
    layout: Layout,
}

impl SimHeap {
    /// Over `bytes` of zeroed memory.
    pub(crate) fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, 4096).expect("a sound layout");
        // SAFETY: the layout is not empty; the buffer is zeroed and ours until the drop.
        let (buffer, pages) = unsafe {
            let buffer = alloc_zeroed(layout);
            assert!(!buffer.is_null());
            (buffer, SimPages::new(buffer, bytes))
        };
        Self { heap: Box::new(Heap::new(pages, 0x1bad_b002_cafe_f00d)), buffer, layout }
    }
}

impl Drop for SimHeap {
    fn drop(&mut self) {
        // SAFETY: the buffer came from `alloc_zeroed` with this layout.
        unsafe { dealloc(self.buffer, self.layout) };
    }
}

/// Marsaglia's xorshift: the same scripts on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}
