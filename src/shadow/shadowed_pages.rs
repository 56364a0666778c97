//! Memory that the shadow covers before anybody gets it.

use crate::heap::{PageSource, Pages};
use crate::shadow::block_table::cover_for;

/// A page source whose memory has leaves before anybody gets it.
pub(crate) struct ShadowedPages<P> {
    /// Number of the arena that the memory is for.
    pub(crate) arena: u32,
    /// Where it comes from.
    pub(crate) pages: P,
}

// SAFETY: hands through what the inner source gives.
unsafe impl<P: PageSource> PageSource for ShadowedPages<P> {
    fn grow(&mut self, end: usize, bytes: usize) -> Option<Pages> {
        let pages = self.pages.grow(end, bytes)?;
        if cover_for(self.arena, pages.start, pages.len) {
            return Some(pages);
        }
        // SAFETY: nobody has seen the pages yet.
        unsafe { self.pages.shrink(pages.start + pages.len, pages.len) };
        None
    }

    fn expect(&mut self, chunk: usize) {
        self.pages.expect(chunk);
    }

    fn step(&self) -> usize {
        self.pages.step()
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.pages.shrink(end, bytes) }
    }

    fn map(&mut self, bytes: usize) -> Option<usize> {
        self.pages.map(bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.pages.unmap(start, bytes) };
    }

    unsafe fn remap(&mut self, start: usize, old: usize, new: usize) -> Option<usize> {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.pages.remap(start, old, new) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.pages.discard(start, bytes) };
    }
}
