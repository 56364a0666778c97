//! The stretches of memory a heap is made of, kept outside of them: an address is looked up here
//! before anything is read through it.

use super::pages::Pages;
use super::size::WORD;

/// Most stretches one heap keeps apart. Growth at the end of the last one needs no new entry.
const MAX_SEGMENTS: usize = 256;

/// One stretch: its first chunk is at `start + 8`, its fence is its last word.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Segment {
    pub(super) const fn first_chunk(&self) -> usize {
        self.start + WORD
    }

    pub(super) const fn fence(&self) -> usize {
        self.end - WORD
    }

    /// Is `chunk` an address where a chunk of this segment may start?
    const fn holds(&self, chunk: usize) -> bool {
        chunk >= self.first_chunk() && chunk < self.fence()
    }
}

pub(super) struct Segments {
    all: [Segment; MAX_SEGMENTS],
    count: usize,
}

impl Segments {
    pub(super) const fn new() -> Self {
        Self { all: [Segment { start: 0, end: 0 }; MAX_SEGMENTS], count: 0 }
    }

    pub(super) fn as_slice(&self) -> &[Segment] {
        self.all.get(..self.count).unwrap_or(&[])
    }

    /// The segment that grows; its last chunk is the top.
    pub(super) fn last(&self) -> Option<Segment> {
        self.as_slice().last().copied()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.count == MAX_SEGMENTS
    }

    /// Adds a segment; the caller has asked [`Segments::is_full`].
    pub(super) fn push(&mut self, pages: Pages) {
        let Some(slot) = self.all.get_mut(self.count) else { return };
        *slot = Segment { start: pages.start, end: pages.start + pages.len };
        self.count += 1;
    }

    pub(super) fn set_last_end(&mut self, end: usize) {
        if let Some(last) = self.all.get_mut(..self.count).and_then(<[_]>::last_mut) {
            last.end = end;
        }
    }

    /// The segment in which `chunk` may start.
    pub(super) fn find(&self, chunk: usize) -> Option<Segment> {
        // The last one is the largest and the youngest: look there first.
        self.as_slice().iter().rev().find(|segment| segment.holds(chunk)).copied()
    }
}
