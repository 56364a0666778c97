//! The simulated page source with a ledger beside it: any set of requests can be refused, and what
//! the heap gives back must be what it was given.

use std::ops::Range;

use arbitrary::Arbitrary;
use mallocop::heap::size::PAGE;
use mallocop::heap::test_source::TestPages;
use mallocop::heap::{PageSource, Pages};

/// What discarded pages hold.
const LOST: u8 = 0xd5;

/// Which requests (`grow`, `shrink`, `map` and `remap`, counted from 0) are refused.
#[derive(Clone, Copy, Debug, Default, Arbitrary)]
pub struct Refusals {
    /// One bit for each of the first 64 requests.
    pub first: u64,
    /// Of those after, every n-th. 0: none.
    pub every: u8,
}

impl Refusals {
    fn refuses(&self, request: usize) -> bool {
        match request {
            0..64 => self.first & (1 << request) != 0,
            _ => self.every != 0 && request.is_multiple_of(usize::from(self.every)),
        }
    }
}

/// [`TestPages`] that refuses what it is told to and remembers what is handed out.
pub struct LedgerPages {
    sim: TestPages,
    /// What is refused from now on.
    pub refusals: Refusals,
    /// Number of one more request to refuse.
    pub refuse_one: Option<usize>,
    /// Requests so far.
    pub requests: usize,
    /// Requests that were refused by order.
    pub refused: usize,
    /// Bytes that somebody else may still take: the rest is enough for the heap to go on.
    foreign_left: usize,
    grown: Vec<Range<usize>>,
    mapped: Vec<Range<usize>>,
    /// What lies between these was never handed out.
    untouched: Range<usize>,
    /// Pages whose contents were given up since somebody last asked.
    discarded: Vec<Range<usize>>,
    misused: bool,
}

impl LedgerPages {
    /// Over the memory of `sim`, refusing nothing.
    pub fn new(sim: TestPages) -> Self {
        let (start, end) = sim.range();
        Self {
            sim,
            foreign_left: (end - start) / 4,
            refusals: Refusals::default(),
            refuse_one: None,
            requests: 0,
            refused: 0,
            grown: Vec::new(),
            mapped: Vec::new(),
            untouched: start..end,
            discarded: Vec::new(),
            misused: false,
        }
    }

    /// The whole simulated memory.
    pub const fn range(&self) -> (usize, usize) {
        self.sim.range()
    }

    /// Somebody else takes `bytes` at the break before the next `grow`; a quarter of the memory at
    /// most, all in all.
    pub fn move_break(&mut self, bytes: usize) {
        self.foreign_left += self.sim.foreign;
        self.sim.foreign = bytes.min(self.foreign_left);
        self.foreign_left -= self.sim.foreign;
    }

    /// Was something given back that was never handed out?
    pub const fn is_misused(&self) -> bool {
        self.misused || self.sim.misused
    }

    /// Everything that was ever handed out, with what lies between.
    pub const fn touched(&self) -> [Range<usize>; 2] {
        let (start, end) = self.sim.range();
        [start..self.untouched.start, self.untouched.end..end]
    }

    /// Does `[start, end)` lie in one stretch that is handed out?
    pub fn holds(&self, start: usize, end: usize) -> bool {
        self.grown.iter().chain(&self.mapped).any(|part| part.start <= start && end <= part.end)
    }

    /// The pages that were given up since the last call.
    pub fn take_discarded(&mut self) -> Vec<Range<usize>> {
        std::mem::take(&mut self.discarded)
    }

    fn refuses(&mut self) -> bool {
        let refuses =
            self.refusals.refuses(self.requests) || self.refuse_one == Some(self.requests);
        self.requests += 1;
        self.refused += usize::from(refuses);
        refuses
    }

    fn take_mapping(&mut self, start: usize, len: usize) -> bool {
        let found = self.mapped.iter().position(|map| *map == (start..start + len));
        found.map(|index| self.mapped.swap_remove(index)).is_some()
    }
}

// SAFETY: the memory is what `TestPages` hands out, which keeps the trait's promise.
unsafe impl PageSource for LedgerPages {
    fn grow(&mut self, end: usize, bytes: usize) -> Option<Pages> {
        if self.refuses() {
            return None;
        }
        let pages = self.sim.grow(end, bytes)?;
        self.untouched.start = self.untouched.start.max(pages.start + pages.len);
        match self.grown.iter_mut().find(|part| part.end == pages.start) {
            Some(part) => part.end += pages.len,
            None => self.grown.push(pages.start..pages.start + pages.len),
        }
        Some(pages)
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        if self.refuses() {
            return false;
        }
        let Some(part) = self.grown.iter_mut().find(|part| part.end == end) else {
            self.misused = true;
            return false;
        };
        if bytes > part.len() {
            self.misused = true;
            return false;
        }
        // SAFETY: the heap gives back the end of a stretch that it got.
        let shrunk = unsafe { self.sim.shrink(end, bytes) };
        if shrunk {
            part.end -= bytes;
            self.grown.retain(|part| !part.is_empty());
        }
        shrunk
    }

    fn map(&mut self, bytes: usize) -> Option<usize> {
        if self.refuses() {
            return None;
        }
        let start = self.sim.map(bytes)?;
        self.untouched.end = self.untouched.end.min(start);
        self.mapped.push(start..start + bytes);
        Some(start)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) {
        if !self.take_mapping(start, bytes) {
            self.misused = true;
            return;
        }
        // SAFETY: that is a whole mapping that the heap got.
        unsafe { self.sim.unmap(start, bytes) };
    }

    unsafe fn remap(&mut self, start: usize, old: usize, new: usize) -> Option<usize> {
        if self.refuses() {
            return None;
        }
        if !self.take_mapping(start, old) {
            self.misused = true;
            return None;
        }
        // SAFETY: that is a whole mapping that the heap got.
        let moved = unsafe { self.sim.remap(start, old, new) };
        self.untouched.end = self.untouched.end.min(moved.unwrap_or(start));
        self.mapped.push(moved.map_or(start..start + old, |at| at..at + new));
        moved
    }

    /// What was in the pages is lost at once, and not for zeros.
    unsafe fn discard(&mut self, start: usize, bytes: usize) {
        let whole = start.is_multiple_of(PAGE) && bytes.is_multiple_of(PAGE);
        if !whole || !self.holds(start, start + bytes) {
            self.misused = true;
            return;
        }
        // SAFETY: memory that was handed out, which its user gives up.
        unsafe { (start as *mut u8).write_bytes(LOST, bytes) };
        self.discarded.push(start..start + bytes);
    }
}
