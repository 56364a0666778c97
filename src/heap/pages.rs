//! Where the heap's memory comes from.

use super::size::PAGE;

/// Memory that a page source handed out: `[start, start + len)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// First byte, a multiple of 16.
    pub start: usize,
    /// Length in bytes, a multiple of 16.
    pub len: usize,
}

/// Supplies a heap with zeroed, readable and writable memory.
///
/// A source never calls back into the heap it serves, nor anything that allocates from it.
///
/// # Safety
/// Memory handed out by `grow` and `map` is zero, 16-byte aligned, used by nobody else, and stays
/// so until it is given back through `shrink` or `unmap`.
pub unsafe trait PageSource {
    /// Says that what [`PageSource::grow`] gives next is for chunks of that size: of smaller ones
    /// than a page all pages are used.
    fn expect(&mut self, _chunk: usize) {}

    /// At least `bytes` more, directly behind `end` if that can be had, elsewhere if not.
    /// `None` when there is no memory.
    fn grow(&mut self, end: usize, bytes: usize) -> Option<Pages>;

    /// Growth ends at multiples of so many bytes, a power of two of pages, and the heap had best
    /// keep to them.
    fn step(&self) -> usize {
        PAGE
    }

    /// Takes back the `bytes` in front of `end`, the end of memory that `grow` gave. `false` when
    /// the source cannot (the heap keeps the memory then).
    ///
    /// # Safety
    /// Nothing in those bytes is used any more.
    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool;

    /// `bytes` (a multiple of the page size) on a page boundary, apart from all other memory.
    fn map(&mut self, bytes: usize) -> Option<usize>;

    /// Takes back `[start, start + bytes)`, whole pages that `map` gave.
    ///
    /// # Safety
    /// Nothing in those bytes is used any more.
    unsafe fn unmap(&mut self, start: usize, bytes: usize);

    /// Makes the mapping at `start` `new` bytes long, moving it where it has to. Contents stay up
    /// to the smaller size. `None`: nothing has changed.
    ///
    /// # Safety
    /// `[start, start + old)` is a whole mapping from `map`; no address into it is used
    /// after the call unless the result is `start`.
    unsafe fn remap(&mut self, start: usize, old: usize, new: usize) -> Option<usize>;

    /// Gives the memory of whole pages back but keeps them usable; what they hold is lost. A source
    /// that cannot does nothing.
    ///
    /// # Safety
    /// The pages are from this source and their contents are not used any more.
    unsafe fn discard(&mut self, _start: usize, _bytes: usize) {}
}
