//! The heap's top: where memory comes in and where it goes back.

use super::chunk::{Corrupt, Head};
use super::heap::Heap;
use super::pages::{PageSource, Pages};
use super::size::{MIN_CHUNK, PAGE, WORD, round_down, round_up};
use super::tuning::TOP_PAD;

impl<P: PageSource> Heap<P> {
    /// Returns free memory at the top beyond `keep` bytes to the source. Says whether any went.
    pub fn trim(&mut self, keep: usize) -> bool {
        let Some(segment) = self.segments.last() else { return false };
        let spare = round_down(self.top_size.saturating_sub(keep.saturating_add(MIN_CHUNK)), PAGE);
        if self.top == 0 || spare == 0 || !self.tuning.may_trim {
            return false;
        }
        let end = segment.end - spare;
        // SAFETY: the top is free and reaches to the segment's end; the part behind `end` goes,
        // the part before keeps room for its word and the fence.
        unsafe {
            if !self.pages.shrink(segment.end, spare) {
                return false;
            }
            self.segments.set_last_end(end);
            self.usage.held -= spare;
            self.set_top(self.top, self.top_size - spare);
            self.key.write(end - WORD, Head::FENCE);
        }
        true
    }

    /// Gets memory until the top has `need` bytes.
    pub(super) fn grow(&mut self, need: usize) -> Result<bool, Corrupt> {
        for _ in 0..3 {
            if self.top_size >= need {
                return Ok(true);
            }
            let end = self.segments.last().map_or(0, |segment| segment.end);
            let more = need - self.top_size;
            let padded = round_up(more + TOP_PAD + 2 * WORD, PAGE);
            let pages = match self.pages.grow(end, padded) {
                Some(pages) => pages,
                None => match self.pages.grow(end, round_up(more + 2 * WORD, PAGE)) {
                    Some(pages) => pages,
                    None => return Ok(false),
                },
            };
            self.usage.held += pages.len;
            if !self.adopt(end, pages) {
                return Ok(false);
            }
        }
        Ok(self.top_size >= need)
    }

    /// Adds new memory: as more top, or as a segment of its own.
    pub(super) fn adopt(&mut self, end: usize, pages: Pages) -> bool {
        let fence = end.wrapping_sub(WORD);
        let new_end = pages.start + pages.len;
        // SAFETY: the old fence is the last word of a segment; the new memory is ours.
        unsafe {
            if pages.start == end && self.key.read(fence).is_ok_and(|head| head.size == 0) {
                self.segments.set_last_end(new_end);
                let top = if self.top == 0 { fence } else { self.top };
                // Without a top the chunk in front of the fence is in use (a free one is the top).
                self.set_top(top, new_end - WORD - top);
                self.key.write(new_end - WORD, Head::FENCE);
                return true;
            }
            if self.segments.is_full() {
                // The top stays what it is: growth behind it may still come.
                self.usage.held -= pages.len;
                self.pages.shrink(new_end, pages.len);
                return false;
            }
            self.bin_top();
            self.segments.push(pages);
            let first = pages.start + WORD;
            self.set_top(first, new_end - WORD - first);
            self.key.write(new_end - WORD, Head::FENCE);
        }
        true
    }

    /// Turns the top into an ordinary free chunk: growth goes on elsewhere.
    pub(super) fn bin_top(&mut self) {
        let (chunk, size) = (self.top, self.top_size);
        self.top = 0;
        self.top_size = 0;
        if size < MIN_CHUNK {
            return;
        }
        // SAFETY: the top is a free chunk in no bin; behind it is the segment's fence.
        unsafe {
            self.set_free(chunk, size);
            self.key.write(chunk + size, Head { prev_in_use: false, ..Head::FENCE });
            self.bins.push(self.key, &self.segments, chunk, size);
        }
    }
}
