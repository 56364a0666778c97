//! Walks a heap and tests its invariants, in place and without allocating:
//!
//! - **I1** every chunk word on the way verifies.
//! - **I2** chunks tile each segment from its start to its fence.
//! - **I3** a chunk's prev-in-use bit is the state of the chunk in front of it.
//! - **I4** no two free chunks are neighbours.
//! - **I5** a free chunk other than the top ends in a footer with its size.
//! - **I6** each free chunk other than the top is in the bin of its size, once; links agree.
//! - **I7** a bin's bit in the map is set exactly when its list is not empty.
//! - **I8** the top is the last chunk of the last segment and has the tracked size.
//! - **I9** the usage counters are what the walk sees.

use super::bins::{bin_of, check_free};
use super::chunk::{ChunkHeader, footer, read_links};
use super::heap::Heap;
use super::pages::PageSource;
use super::segments::Segment;
use super::size::MIN_CHUNK;
use super::usage::Usage;

/// The first invariant found broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Number of the invariant: 1 to 9.
    pub invariant: u8,
    /// Chunk at which it does not hold; 0 where no single one is to blame.
    pub chunk: usize,
}

#[derive(Default)]
struct Seen {
    usage: Usage,
    free: usize,
    top: bool,
}

impl<P: PageSource> Heap<P> {
    /// Tests I1 to I9 and names the first one broken. Costs time in proportion to the chunks.
    pub fn check(&self) -> Result<(), Broken> {
        let mut seen = Seen::default();
        for segment in self.segments.as_slice() {
            self.check_segment(segment, &mut seen)?;
        }
        if !seen.top && self.top != 0 {
            return Err(Broken { invariant: 8, chunk: self.top });
        }
        self.check_bins(seen.free)?;
        let walked = Usage {
            mapped: self.usage.mapped,
            mapped_chunks: self.usage.mapped_chunks,
            ..seen.usage
        };
        if walked == self.usage() { Ok(()) } else { Err(Broken { invariant: 9, chunk: 0 }) }
    }

    fn check_segment(&self, segment: &Segment, seen: &mut Seen) -> Result<(), Broken> {
        seen.usage.held += segment.end - segment.start;
        let mut chunk = segment.first_chunk();
        let mut prev_in_use = true;
        loop {
            let broken = |invariant| Err(Broken { invariant, chunk });
            // SAFETY: `chunk` is at or below the fence of a segment, 8 mod 16.
            let Ok(head) = (unsafe { self.key.read(chunk) }) else { return broken(1) };
            if chunk == segment.fence() {
                let expected = ChunkHeader { prev_in_use: head.prev_in_use, ..ChunkHeader::FENCE };
                return if head == expected { Ok(()) } else { broken(2) };
            }
            if head.size < MIN_CHUNK || head.mapped || head.size > segment.fence() - chunk {
                return broken(2);
            }
            if head.prev_in_use != prev_in_use {
                return broken(3);
            }
            if head.in_use {
                seen.usage.in_use += head.size;
                seen.usage.chunks += 1;
            } else {
                if !prev_in_use {
                    return broken(4);
                }
                self.check_free_chunk(chunk, head, segment, seen)?;
            }
            prev_in_use = head.in_use;
            chunk += head.size;
        }
    }

    fn check_free_chunk(
        &self,
        chunk: usize,
        head: ChunkHeader,
        segment: &Segment,
        seen: &mut Seen,
    ) -> Result<(), Broken> {
        if chunk == self.top {
            seen.top = chunk + head.size == segment.fence() && head.size == self.top_size;
            return if seen.top { Ok(()) } else { Err(Broken { invariant: 8, chunk }) };
        }
        seen.free += 1;
        // SAFETY: the footer lies inside the segment: the size was checked.
        match unsafe { self.key.read(footer(chunk, head.size)) } {
            Ok(foot) if foot.size == head.size => Ok(()),
            _ => Err(Broken { invariant: 5, chunk }),
        }
    }

    fn check_bins(&self, free: usize) -> Result<(), Broken> {
        let mut listed = 0;
        let mut broken = None;
        let mut prev = 0;
        let mut last_bin = usize::MAX;
        self.bins.walk(|chunk, bin| {
            if bin != last_bin {
                (last_bin, prev) = (bin, 0);
            }
            listed += 1;
            // SAFETY: `check_free` looks the address up before it reads; what it accepts has links.
            let sound = unsafe {
                check_free(self.key, &self.segments, chunk)
                    .is_ok_and(|size| bin_of(size) == bin && read_links(chunk).prev == prev)
            };
            prev = chunk;
            if !sound || listed > free {
                broken = Some(Broken { invariant: 6, chunk });
            }
            broken.is_none()
        });
        if let Some(broken) = broken {
            return Err(broken);
        }
        if listed != free {
            return Err(Broken { invariant: 6, chunk: 0 });
        }
        if self.bins.map_agrees() { Ok(()) } else { Err(Broken { invariant: 7, chunk: 0 }) }
    }
}
