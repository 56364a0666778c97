//! The stretches of memory a heap is made of, kept outside of them: an address is looked up here
//! before anything is read through it.

use core::cell::Cell;

use super::pages::Pages;
use super::size::{GRANULE, WORD};

/// Most stretches one heap keeps apart. Growth at the end of the last one needs no new entry.
const MAX_SEGMENTS: usize = 256;

/// Places of a segment start at a multiple of this.
pub(super) const PLACES_APART: usize = 64;

/// One stretch: its first chunk is at `start + 8`, its fence is its last word.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Granules of the segments before it, rounded up.
    pub(super) first_place: usize,
}

impl Segment {
    const NONE: Self = Self { start: 0, end: 0, first_place: 0 };

    /// Places up to its end.
    pub(super) const fn end_place(&self) -> usize {
        self.first_place + (self.end - self.start) / GRANULE
    }

    pub(super) const fn first_chunk(&self) -> usize {
        self.start + WORD
    }

    pub(super) const fn fence(&self) -> usize {
        self.end - WORD
    }

    /// Is `chunk` an address where a chunk of this segment may start? Of one that is not in use
    /// none is.
    const fn holds(&self, chunk: usize) -> bool {
        chunk >= self.first_chunk() && chunk < self.end.saturating_sub(WORD)
    }
}

pub(super) struct Segments {
    all: [Segment; MAX_SEGMENTS],
    count: usize,
    /// The one found last: most of what is asked for next is in there, too.
    recent: Cell<usize>,
}

impl Segments {
    pub(super) const fn new() -> Self {
        Self { all: [Segment::NONE; MAX_SEGMENTS], count: 0, recent: Cell::new(0) }
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
        let behind = self.all.get(..self.count).and_then(<[_]>::last).map_or(0, Segment::end_place);
        let first_place = behind.next_multiple_of(PLACES_APART);
        let Some(slot) = self.all.get_mut(self.count) else { return };
        *slot = Segment { start: pages.start, end: pages.start + pages.len, first_place };
        self.count += 1;
    }

    pub(super) fn set_last_end(&mut self, end: usize) {
        if let Some(last) = self.all.get_mut(..self.count).and_then(<[_]>::last_mut) {
            last.end = end;
        }
    }

    /// The segment in which `chunk` may start.
    #[inline]
    pub(super) fn find(&self, chunk: usize) -> Option<&Segment> {
        match self.all.get(self.recent.get()) {
            Some(segment) if segment.holds(chunk) => Some(segment),
            _ => self.search(chunk),
        }
    }

    #[cold]
    fn search(&self, chunk: usize) -> Option<&Segment> {
        let index = self.as_slice().iter().rposition(|segment| segment.holds(chunk))?;
        self.recent.set(index);
        self.all.get(index)
    }
}
