//! What of the heap's memory cannot be read, since the program has protected it, and what was never touched.

use crate::heap::size::{PAGE, round_down, round_up};
use crate::sys::pagemap::PageMap;

/// Ranges that cannot be read, by ascending address, and the kernel's word on which pages there are.
pub struct Hidden {
    ranges: Vec<(usize, usize)>,
    pages: Option<PageMap>,
}

impl Hidden {
    /// Of these ranges.
    pub fn new(mut ranges: Vec<(usize, usize)>) -> Self {
        ranges.sort_unstable();
        Self { ranges, pages: PageMap::open() }
    }

    /// Can all be read?
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Calls `each` with the parts of `[start, end)` that can be read and were ever touched.
    pub fn for_each_visible(&self, start: usize, end: usize, mut each: impl FnMut(usize, usize)) {
        let mut at = start;
        let mut rest = self.ranges.iter().skip_while(|&&(_, hidden_end)| hidden_end <= start);
        while at < end {
            let (from, to) = rest.next().copied().unwrap_or((usize::MAX, usize::MAX));
            let until = end.min(from.max(at));
            self.for_each_touched(at, until, &mut each);
            at = to.max(until);
        }
    }

    /// Calls `each` with the parts of `[start, end)` that were ever touched; with all of it where the kernel
    /// does not say.
    pub fn for_each_touched(&self, start: usize, end: usize, mut each: impl FnMut(usize, usize)) {
        if start >= end {
            return;
        }
        let clipped = |from: usize, to: usize| (from.max(start), to.min(end));
        let known = self.pages.as_ref().is_some_and(|pages| {
            pages.for_each_run(round_down(start, PAGE), round_up(end, PAGE), |from, to| {
                let (from, to) = clipped(from, to);
                each(from, to);
            })
        });
        if !known {
            each(start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory;

    #[test]
    fn untouched_and_hidden_parts_are_left_out() {
        let start = memory::map(16 * PAGE).expect("memory");
        for page in [1, 2, 9] {
            // SAFETY: our own fresh pages.
            unsafe { ((start + page * PAGE) as *mut u8).write(1) };
        }
        let parts = |hidden: &Hidden, from: usize, to: usize| {
            let mut parts = Vec::new();
            hidden.for_each_visible(start + from, start + to, |from, to| {
                parts.push((from - start, to - start));
            });
            parts
        };
        let all = Hidden::new(Vec::new());
        assert_eq!(parts(&all, 8, 16 * PAGE), [(PAGE, 3 * PAGE), (9 * PAGE, 10 * PAGE)]);
        assert_eq!(parts(&all, 2 * PAGE + 8, 2 * PAGE + 80), [(2 * PAGE + 8, 2 * PAGE + 80)]);
        let some = Hidden::new(vec![(start + 2 * PAGE, start + 9 * PAGE + 64)]);
        let expected = [(PAGE, 2 * PAGE), (9 * PAGE + 64, 10 * PAGE)];
        assert_eq!(parts(&some, 0, 16 * PAGE), expected);
        assert!(parts(&some, 3 * PAGE, 4 * PAGE).is_empty());
        // SAFETY: our own pages.
        unsafe { memory::unmap(start, 16 * PAGE) };
    }
}
