//! The program's heap at the break, as libc's allocators have it, and regions where that cannot be
//! had.

use core::sync::atomic::{AtomicBool, Ordering};

use super::errno;
use super::memory::{drop_contents, map_apart, remap, unmap_apart};
use super::regions::RegionPages;
use crate::heap::size::{PAGE, round_down, round_up};
use crate::heap::{PageSource, Pages};
use crate::sys::huge_pages;
use crate::sys::huge_pages::{HUGE_PAGE, LARGE, MOST_AT_ONCE};

/// Is the break another allocator's?
static LEAVES_BREAK: AtomicBool = AtomicBool::new(false);

/// Leaves the break alone from here on: another allocator of the process, libc's, may use it. To be
/// called before the heap's first growth.
pub fn leave_break() {
    LEAVES_BREAK.store(true, Ordering::Relaxed);
}

/// Where the heap will start: the break as it is now. `None`: nobody knows.
pub fn heap_start() -> Option<usize> {
    if LEAVES_BREAK.load(Ordering::Relaxed) { None } else { sbrk(0) }
}

/// The program's heap: brk while that can be had and nobody else moves it, regions after that.
pub struct BrkPages {
    brk_start: usize,
    brk_end: usize,
    brk_lost: bool,
    /// Is what comes next for chunks of which every page is used?
    is_dense: bool,
    regions: RegionPages,
}

impl BrkPages {
    /// A source that has handed out nothing yet.
    pub const fn new() -> Self {
        Self {
            brk_start: 0,
            brk_end: 0,
            brk_lost: false,
            is_dense: true,
            regions: RegionPages::new(),
        }
    }

    /// Bytes at the ends of which the break stands: huge pages where there is much of it.
    fn brk_step(&self) -> usize {
        let is_large = self.brk_end - self.brk_start >= LARGE;
        if is_large && huge_pages::is_wanted() { HUGE_PAGE } else { PAGE }
    }

    /// Moves the break up by `bytes` or some more, if it is where we left it.
    fn grow_brk(&mut self, bytes: usize) -> Option<Pages> {
        let is_dense = self.is_dense && bytes <= MOST_AT_ONCE;
        let step = if is_dense { self.brk_step() } else { PAGE };
        let pages = self.grow_brk_by(bytes, step);
        if step == PAGE {
            return pages;
        }
        match pages {
            Some(Pages { start, len }) => {
                huge_pages::ask(start, start + len);
                pages
            }
            // Where little is left, what is needed may fit.
            None => self.grow_brk_by(bytes, PAGE),
        }
    }

    /// The same up to a multiple of `step`.
    fn grow_brk_by(&mut self, bytes: usize, step: usize) -> Option<Pages> {
        if self.brk_lost || LEAVES_BREAK.load(Ordering::Relaxed) {
            return None;
        }
        let now = sbrk(0)?;
        if self.brk_end != 0 && now != self.brk_end {
            self.brk_lost = true;
            return None;
        }
        let start = round_up(now, 16);
        // End on a page boundary, so that the next stretch starts on one.
        let end = round_up(start.checked_add(bytes)?, step);
        let got = sbrk(isize::try_from(end - now).ok()?)?;
        if got != now {
            // Somebody moved it between the two calls: what came is not behind what we have.
            self.brk_lost = true;
            sbrk(-isize::try_from(end - now).ok()?);
            return None;
        }
        if self.brk_start == 0 {
            self.brk_start = start;
        }
        self.brk_end = end;
        Some(Pages { start, len: end - start })
    }
}

impl Default for BrkPages {
    fn default() -> Self {
        Self::new()
    }
}

/// libc's sbrk, which the program may call too: the raw system call would leave libc's own idea
/// of the break stale. `None` when it fails.
fn sbrk(by: isize) -> Option<usize> {
    errno::preserve(|| {
        // SAFETY: moves the break only as far as this source moved it before.
        let at = unsafe { libc::sbrk(by) };
        (at as isize != -1).then_some(at as usize)
    })
}

// SAFETY: memory behind the break and of regions is zero and nobody else's.
unsafe impl PageSource for BrkPages {
    fn grow(&mut self, end: usize, bytes: usize) -> Option<Pages> {
        // A heap that has gone on in a region stays there: each change of place costs it a segment.
        if end != 0 && end != self.brk_end {
            return self.regions.grow(end, bytes).or_else(|| self.grow_brk(bytes));
        }
        self.grow_brk(bytes).or_else(|| self.regions.grow(end, bytes))
    }

    fn expect(&mut self, chunk: usize) {
        self.is_dense = huge_pages::are_dense(chunk);
        self.regions.expect(chunk);
    }

    fn step(&self) -> usize {
        self.brk_step().max(self.regions.step())
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        if end == self.brk_end {
            let Ok(by) = isize::try_from(bytes) else { return false };
            if sbrk(0) != Some(end) || sbrk(-by).is_none() {
                return false;
            }
            self.brk_end = end - bytes;
            return true;
        }
        // SAFETY: the caller of this function promises the same.
        unsafe { self.regions.shrink(end, bytes) }
    }

    // Blocks with a mapping of their own come and go by the thousand, and are listed as blocks.
    fn map(&mut self, bytes: usize) -> Option<usize> {
        map_apart(bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) {
        // SAFETY: the caller of this function promises the same.
        unsafe { unmap_apart(start, bytes) };
    }

    unsafe fn remap(&mut self, start: usize, old: usize, new: usize) -> Option<usize> {
        // SAFETY: the caller of this function promises the same.
        unsafe { remap(start, old, new) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) {
        if start < self.brk_start || start >= self.brk_end {
            // SAFETY: the caller of this function promises the same.
            return unsafe { self.regions.discard(start, bytes) };
        }
        // SAFETY: the caller of this function promises the same.
        unsafe { drop_contents(start, bytes) };
        if self.brk_step() != PAGE {
            // From the huge page's start on, so that there are no more mappings than huge pages;
            // but what is below the heap is the program's.
            let from = round_down(start, HUGE_PAGE).max(round_up(self.brk_start, PAGE));
            huge_pages::decline(from, start + bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Growth that is trimmed and asked for again was a mapping of 64 MiB each time, and a segment
    /// of the heap.
    #[test]
    fn without_the_break_growth_goes_on_where_it_was() {
        let mut source = BrkPages { brk_lost: true, ..BrkPages::new() };
        let first = source.grow(0, 4 * PAGE).expect("memory");
        let mut end = first.start + first.len;
        for _ in 0..1000 {
            let more = source.grow(end, 8 * PAGE).expect("memory");
            assert_eq!(more.start, end);
            // SAFETY: nobody uses what came just now.
            assert!(unsafe { source.shrink(end + more.len, 8 * PAGE) });
        }
        let more = source.grow(end, 100 * PAGE).expect("memory");
        assert_eq!(more.start, end);
        end += more.len;
        assert!(source.grow(end, 2 << 20).is_some_and(|far| far.start != end));
    }
}
