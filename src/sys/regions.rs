//! Memory for a heap that is not brk's: mapped regions, of which the last one grows in place.

use super::memory::{REGION_ALIGN, drop_contents, map_aligned};
use crate::heap::size::{PAGE, round_down, round_up};
use crate::heap::{PageSource, Pages};
use crate::sys::huge_pages;
use crate::sys::huge_pages::{HUGE_PAGE, LARGE, MOST_AT_ONCE};

/// First region and the largest that is mapped without being asked for so much.
const FIRST: usize = REGION_ALIGN;
const LAST: usize = 64 << 20;

/// Regions of growing size; memory is used as it is touched. Nothing is mapped apart.
pub struct RegionPages {
    /// End of what was handed out of the last region, and the region's.
    end: usize,
    limit: usize,
    next: usize,
    /// Is the last region of huge pages?
    is_huge: bool,
    /// Is what comes next for chunks of which every page is used?
    is_dense: bool,
}

impl RegionPages {
    /// A source that has handed out nothing yet.
    pub const fn new() -> Self {
        Self { end: 0, limit: 0, next: FIRST, is_huge: false, is_dense: true }
    }
}

impl Default for RegionPages {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: regions are fresh private mappings of ours; what comes back has its contents dropped, so
// that it is zero when it is handed out again.
unsafe impl PageSource for RegionPages {
    fn grow(&mut self, _end: usize, bytes: usize) -> Option<Pages> {
        let len = round_up(bytes, PAGE);
        if self.limit - self.end < len {
            let is_huge = self.next >= LARGE && bytes <= MOST_AT_ONCE && huge_pages::is_wanted();
            let align = if is_huge { HUGE_PAGE } else { REGION_ALIGN };
            let map = |bytes: usize| {
                let region = round_up(bytes, align);
                map_aligned(region, align).map(|start| (start, region))
            };
            // Where little is left, what is needed may fit.
            let (start, region) = map(len.max(self.next)).or_else(|| map(len))?;
            self.next = (self.next * 2).min(LAST);
            self.end = start;
            self.limit = start + region;
            self.is_huge = is_huge;
            if is_huge {
                huge_pages::ask(start, self.limit);
            }
        }
        let start = self.end;
        let step = if self.is_dense { self.step() } else { PAGE };
        self.end = round_up(start + len, step).min(self.limit);
        if self.is_huge && (bytes > MOST_AT_ONCE || !self.is_dense) {
            huge_pages::decline(start, self.end);
        }
        Some(Pages { start, len: self.end - start })
    }

    fn expect(&mut self, chunk: usize) {
        self.is_dense = huge_pages::are_dense(chunk);
    }

    fn step(&self) -> usize {
        if self.is_huge { HUGE_PAGE } else { PAGE }
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        if end != self.end {
            return false;
        }
        // SAFETY: the end of our last region, not used any more.
        if !unsafe { drop_contents(end - bytes, bytes) } {
            return false;
        }
        self.end -= bytes;
        true
    }

    fn map(&mut self, _bytes: usize) -> Option<usize> {
        None
    }

    unsafe fn unmap(&mut self, _start: usize, _bytes: usize) {}

    unsafe fn remap(&mut self, _start: usize, _old: usize, _new: usize) -> Option<usize> {
        None
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) {
        // SAFETY: the caller of this function promises the same. Whether they go matters to nobody
        // but the system.
        unsafe { drop_contents(start, bytes) };
        if self.next > LARGE && huge_pages::is_wanted() {
            // As at the break; all regions begin at such a multiple, whatever lies below them.
            huge_pages::decline(round_down(start, REGION_ALIGN), start + bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_grow_in_place_and_read_as_zero_again() {
        let mut source = RegionPages::new();
        let first = source.grow(0, 100_000).expect("memory");
        let second = source.grow(first.start + first.len, 4096).expect("memory");
        assert_eq!(first.start % REGION_ALIGN, 0);
        assert_eq!(second.start, first.start + first.len);
        let byte = second.start as *mut u8;
        // SAFETY: the pages are ours.
        unsafe {
            byte.write(7);
            assert!(source.shrink(second.start + second.len, second.len));
            let again = source.grow(second.start, 4096).expect("memory");
            assert_eq!((again, byte.read()), (second, 0));
        }
        let far = source.grow(second.start + second.len, 3 << 20).expect("memory");
        assert_eq!((far.start % REGION_ALIGN, far.len), (0, 3 << 20));
    }

    #[test]
    fn large_regions_are_of_whole_huge_pages() {
        huge_pages::set_wanted(true);
        let mut source = RegionPages { next: LARGE, ..RegionPages::new() };
        let first = source.grow(0, 4096).expect("memory");
        assert_eq!((first.start % HUGE_PAGE, first.len), (0, HUGE_PAGE));
        let second = source.grow(first.start + first.len, 4096).expect("memory");
        assert_eq!((second.start, second.len), (first.start + HUGE_PAGE, HUGE_PAGE));
        // SAFETY: nobody uses them.
        unsafe {
            assert!(source.shrink(second.start + HUGE_PAGE, HUGE_PAGE));
            source.discard(first.start, 4096);
        }
        // What is for one large block comes without.
        let mut source = RegionPages { next: LARGE, ..RegionPages::new() };
        let large = source.grow(0, MOST_AT_ONCE + 1).expect("memory");
        assert_eq!((large.len, source.step()), (MOST_AT_ONCE + PAGE, PAGE));
    }

    /// Are huge pages declined where `address` is? `None`: the kernel has none.
    fn is_declined(address: usize) -> Option<bool> {
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("smaps");
        let mut is_inside = false;
        for line in smaps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let hex = |digits| usize::from_str_radix(digits, 16).ok();
            if let Some((start, end)) = range.and_then(|(start, end)| hex(start).zip(hex(end))) {
                is_inside = (start..end).contains(&address);
            }
            if is_inside && line.starts_with("VmFlags:") {
                return Some(line.contains(" nh"));
            }
        }
        None
    }

    /// The huge page that is given back of may begin below the region, in the program's memory.
    #[test]
    fn huge_pages_are_not_declined_below_a_region() {
        huge_pages::set_wanted(true);
        let below = map_aligned(2 * REGION_ALIGN, HUGE_PAGE).expect("memory");
        let region = below + REGION_ALIGN;
        let mut source = RegionPages { next: LAST, ..RegionPages::new() };
        // SAFETY: nobody uses the pages.
        unsafe { source.discard(region + PAGE, PAGE) };
        assert_ne!(is_declined(below), Some(true));
        if std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            assert_eq!(is_declined(region + PAGE), Some(true));
        }
    }

    /// Contents of locked pages stay: what was handed back with them came out as fresh memory.
    #[test]
    fn what_cannot_be_emptied_is_not_taken_back() {
        let mut source = RegionPages::new();
        let pages = source.grow(0, 4096).expect("memory");
        let end = pages.start + pages.len;
        // SAFETY: the page is ours.
        unsafe {
            (pages.start as *mut u8).write(7);
            assert_eq!(libc::mlock(pages.start as *const libc::c_void, 4096), 0);
            assert!(!source.shrink(end, 4096));
            assert_eq!(libc::munlock(pages.start as *const libc::c_void, 4096), 0);
        }
        assert_eq!(source.grow(end, 4096).expect("memory").start, end);
    }
}
