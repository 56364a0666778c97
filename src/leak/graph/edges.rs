//! Edges: the words in a block that may lead to others.

use core::ops::ControlFlow;

use crate::leak::mark_bitmap::MarkBitmap;
use crate::leak::reader::MemoryReader;

/// Blocks from this size on are looked at page by page: only what was ever touched.
pub(super) const LARGE: usize = 256 << 10;

/// All live blocks, and what reads them.
#[derive(Clone, Copy)]
pub struct Graph<'a> {
    /// The blocks, and what has been found out about each.
    pub marks: &'a MarkBitmap<'a>,
    /// Reads what is in them.
    pub reader: &'a MemoryReader<'a>,
}

impl Graph<'_> {
    /// Calls `each` with the words in a block that may lead to others, and where each stands.
    #[inline(always)]
    pub fn for_each_word(&self, block: usize, mut each: impl FnMut(usize, usize)) {
        let (window, end) = (self.marks.window(), block + self.marks.heap().extent(block));
        let mut each = |at, word| {
            each(at, word);
            ControlFlow::Continue(())
        };
        if end - block < LARGE && self.reader.memory().sees_all() {
            let _ = self.reader.words_in_place(block, end, window, each);
            return;
        }
        self.reader.memory().for_each_visible(block, end, |start, end, presence| {
            let _ = self.reader.words((start, end, presence), window, &mut each);
        });
    }
}
