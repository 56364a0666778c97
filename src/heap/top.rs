//! The heap's top: where memory comes in and where it goes back.

use super::bins::{bin_of, check_free};
use super::chunk::{ChunkHeader, Corrupt, footer, read_links};
use super::heap::Heap;
use super::pages::{PageSource, Pages};
use super::size::{MIN_CHUNK, PAGE, WORD, round_down, round_up};
use super::tuning::{MOST_PAD, TOP_PAD};

impl<P: PageSource> Heap<P> {
    /// Trims the top if it has grown well past the threshold. Not at every page beyond it: what is
    /// freed now is often asked for next. Nor what the heap has just grown by.
    pub fn settle(&mut self) {
        let keep = self.tuning.trim_threshold;
        let step = self.pages.step();
        let slack = (keep / 2).max(self.usage.held / 64).max(step);
        if self.top_size <= keep.saturating_add(slack).saturating_add(self.pad()) {
            return;
        }
        // What stays ends where a step does.
        let end = self.segments.last().map_or(0, |segment| segment.end);
        let spare = self.top_size - keep - MIN_CHUNK;
        let spare = end.saturating_sub(round_up(end - spare, step));
        self.trim(self.top_size - MIN_CHUNK - spare);
    }

    /// Bytes that the heap grows by beyond what is needed: more where it is large, unless its
    /// growth is by large steps anyway.
    fn pad(&self) -> usize {
        let is_stepped = self.pages.step() > PAGE;
        let most = if is_stepped { TOP_PAD } else { MOST_PAD };
        (self.usage.held / 16).clamp(TOP_PAD, most)
    }

    /// Gives the memory of whole pages inside free chunks of at least `least` bytes back to the
    /// source; the chunks stay.
    pub fn discard_free(&mut self, least: usize) {
        let pages = &mut self.pages;
        let (key, segments) = (self.key, &self.segments);
        let (mut last_bin, mut before) = (usize::MAX, 0);
        self.bins.walk_from(bin_of(least), |chunk, bin| {
            // SAFETY: `check_free` looks the address up before it reads.
            let Ok(size) = (unsafe { check_free(key, segments, chunk) }) else { return false };
            if bin != last_bin {
                (last_bin, before) = (bin, 0);
            }
            // Each links back to the one before it, the first to none: then no list leads in a
            // circle.
            // SAFETY: `check_free` has accepted the chunk.
            if unsafe { read_links(chunk) }.prev != before {
                return false;
            }
            before = chunk;
            let start = round_up(chunk + MIN_CHUNK, PAGE);
            let end = round_down(footer(chunk, size), PAGE);
            if start < end {
                // SAFETY: between the links and the footer of a free chunk nothing is kept.
                unsafe { pages.discard(start, end - start) };
            }
            true
        });
    }

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
            self.untouched = self.untouched.min(end - WORD);
            self.key.write(end - WORD, ChunkHeader::FENCE);
        }
        true
    }

    /// Gets memory until the top has `need` bytes, for chunks of a size.
    pub(super) fn grow(&mut self, need: usize, chunk: usize) -> Result<bool, Corrupt> {
        self.pages.expect(chunk);
        for _ in 0..3 {
            if self.top_size >= need {
                return Ok(true);
            }
            let end = self.segments.last().map_or(0, |segment| segment.end);
            let more = need - self.top_size;
            let padded = round_up(more + self.pad() + 2 * WORD, PAGE);
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
                // What was the fence reads as the rest: zero.
                (fence as *mut u64).write(0);
                // Without a top the chunk in front of the fence is in use (a free one is the top).
                self.set_top(top, new_end - WORD - top);
                self.key.write(new_end - WORD, ChunkHeader::FENCE);
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
            self.untouched = first;
            self.set_top(first, new_end - WORD - first);
            self.key.write(new_end - WORD, ChunkHeader::FENCE);
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
            self.key.write(chunk + size, ChunkHeader { prev_in_use: false, ..ChunkHeader::FENCE });
            self.bins.push(self.key, &self.segments, chunk, size);
        }
    }
}
