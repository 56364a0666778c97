//! A heap over simulated memory that it owns, between two borders.

use std::alloc::{Layout, alloc_zeroed, dealloc};

use mallocop::heap::Heap;
use mallocop::heap::sim::SimPages;
use mallocop::heap::size::PAGE;

use crate::source::LedgerPages;

/// Bytes on either side of the memory that must stay as they are.
const BORDER: usize = PAGE;
const BORDER_BYTE: u8 = 0xc7;
/// The memory starts at a multiple of this, the largest alignment that scripts ask for often: what
/// a script does must not depend on where the system has put the buffer.
const START: usize = 2 << 20;

/// A heap whose memory lives as long as it does.
pub struct Simulated {
    /// The heap under test.
    pub heap: Box<Heap<LedgerPages>>,
    buffer: *mut u8,
    layout: Layout,
    /// Where the borders start.
    borders: [usize; 2],
}

impl Simulated {
    /// Over `bytes` of zeroed memory (whole pages).
    ///
    /// # Panics
    /// If the system has no such memory.
    pub fn new(bytes: usize, key: u64) -> Self {
        // The least alignment, since more would have the allocator clear the memory by hand.
        let layout = Layout::from_size_align(bytes + START + 2 * BORDER, 16).expect("a layout");
        // SAFETY: the layout is not empty.
        let buffer = unsafe { alloc_zeroed(layout) };
        assert!(!buffer.is_null(), "no memory for the simulation");
        let start = (buffer as usize + BORDER).next_multiple_of(START) - buffer as usize;
        let borders = [start - BORDER, start + bytes];
        // SAFETY: `[start - BORDER, start + bytes + BORDER)` lies in the buffer, which is zeroed
        // and ours until the drop; the part between the borders goes to nobody but the source.
        let sim = unsafe {
            for border in borders {
                buffer.add(border).write_bytes(BORDER_BYTE, BORDER);
            }
            SimPages::new(buffer.add(start), bytes)
        };
        Self { heap: Box::new(Heap::new(LedgerPages::new(sim), key)), buffer, layout, borders }
    }

    /// # Panics
    /// If somebody wrote past an end of the memory.
    pub fn demand_borders(&self) {
        for start in self.borders {
            // SAFETY: both borders are in the buffer, and nobody holds a reference into them.
            let border =
                unsafe { std::slice::from_raw_parts(self.buffer.add(start).cast_const(), BORDER) };
            assert!(border.iter().all(|&byte| byte == BORDER_BYTE), "a border was written over");
        }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // SAFETY: the buffer came from `alloc_zeroed` with this layout.
        unsafe { dealloc(self.buffer, self.layout) };
    }
}
