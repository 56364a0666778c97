//! The memory of the program's arenas: brk for the main one, regions for the others.

use crate::arena::ArenaPages;
use crate::heap::{PageSource, Pages};
use crate::shadow::shadowed_pages::ShadowedPages;
use crate::sys::brk::BrkPages;
use crate::sys::regions::RegionPages;

/// One arena's source.
pub(crate) enum ProgramPages {
    /// The main arena's: brk, and all that is mapped on its own.
    Brk(BrkPages),
    /// Another arena's.
    Regions(RegionPages),
}

impl ProgramPages {
    /// The main arena's source.
    pub(crate) const fn main() -> Self {
        Self::Brk(BrkPages::new())
    }
}

impl ArenaPages for ShadowedPages<ProgramPages> {
    fn for_arena(number: u32) -> Self {
        Self { arena: number, pages: ProgramPages::Regions(RegionPages::new()) }
    }
}

// SAFETY: hands through what the chosen source gives.
unsafe impl PageSource for ProgramPages {
    fn grow(&mut self, end: usize, bytes: usize) -> Option<Pages> {
        match self {
            Self::Brk(pages) => pages.grow(end, bytes),
            Self::Regions(pages) => pages.grow(end, bytes),
        }
    }

    fn expect(&mut self, chunk: usize) {
        match self {
            Self::Brk(pages) => pages.expect(chunk),
            Self::Regions(pages) => pages.expect(chunk),
        }
    }

    fn step(&self) -> usize {
        match self {
            Self::Brk(pages) => pages.step(),
            Self::Regions(pages) => pages.step(),
        }
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        // SAFETY: the caller of this function promises the same.
        unsafe {
            match self {
                Self::Brk(pages) => pages.shrink(end, bytes),
                Self::Regions(pages) => pages.shrink(end, bytes),
            }
        }
    }

    fn map(&mut self, bytes: usize) -> Option<usize> {
        match self {
            Self::Brk(pages) => pages.map(bytes),
            Self::Regions(pages) => pages.map(bytes),
        }
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) {
        // SAFETY: the caller of this function promises the same.
        unsafe {
            match self {
                Self::Brk(pages) => pages.unmap(start, bytes),
                Self::Regions(pages) => pages.unmap(start, bytes),
            }
        }
    }

    unsafe fn remap(&mut self, start: usize, old: usize, new: usize) -> Option<usize> {
        // SAFETY: the caller of this function promises the same.
        unsafe {
            match self {
                Self::Brk(pages) => pages.remap(start, old, new),
                Self::Regions(pages) => pages.remap(start, old, new),
            }
        }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) {
        // SAFETY: the caller of this function promises the same.
        unsafe {
            match self {
                Self::Brk(pages) => pages.discard(start, bytes),
                Self::Regions(pages) => pages.discard(start, bytes),
            }
        }
    }
}
