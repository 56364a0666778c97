//! Free neighbours: joined when a chunk is freed, taken in when one grows.

use super::bins::check_free;
use super::chunk::{ChunkHeader, Corrupt, Corruption};
use super::heap::Heap;
use super::pages::PageSource;
use super::size::{MIN_CHUNK, WORD};

impl<P: PageSource> Heap<P> {
    /// Joins what is free behind `chunk` to it until it has `need` bytes; returns its new size.
    ///
    /// # Safety
    /// `chunk` is a chunk in use with the word `head`, the one behind it verified.
    pub(super) unsafe fn extend(
        &mut self,
        chunk: usize,
        head: ChunkHeader,
        need: usize,
    ) -> Result<Option<usize>, Corrupt> {
        let next = chunk + head.size;
        if next == self.top {
            if head.size + self.top_size < need + MIN_CHUNK
                && (!self.grow(need - head.size + MIN_CHUNK, need)? || self.top != next)
            {
                return Ok(None);
            }
            let more = need - head.size;
            self.carve_top(more)?;
            self.usage.chunks -= 1;
            // SAFETY: the carved chunk lies directly behind and becomes part of this one.
            unsafe {
                self.key.write(chunk, ChunkHeader { size: need, ..head });
                self.key.erase(next);
            }
            return Ok(Some(need));
        }
        // SAFETY: the caller verified the word behind; `check_free` stays inside the segments.
        unsafe {
            if self.key.read(next)?.in_use {
                return Ok(None);
            }
            let more = check_free(self.key, &self.segments, next)?;
            if head.size + more < need {
                return Ok(None);
            }
            self.bins.unlink(self.key, &self.segments, next, more)?;
            let size = head.size + more;
            self.key.write(chunk, ChunkHeader { size, ..head });
            self.key.erase(next);
            self.set_prev_in_use(chunk + size, true);
            self.usage.in_use += more;
            Ok(Some(size))
        }
    }

    /// Frees a chunk and joins it with its free neighbours. On an error nothing has changed.
    ///
    /// # Safety
    /// `chunk` is a chunk in use with the word `head`, the one behind it verified.
    pub(super) unsafe fn free_chunk(
        &mut self,
        chunk: usize,
        head: ChunkHeader,
    ) -> Result<(), Corrupt> {
        let next = chunk + head.size;
        let mut start = chunk;
        // SAFETY: every address read is in a segment: the neighbours of a verified chunk, and
        // `check_free` looks before it reads. What is unlinked and pushed was accepted by it.
        unsafe {
            let in_front = self.free_in_front(chunk, head)?;
            let behind = self.unlink_behind(next)?;
            if let Some((prev, prev_size)) = in_front {
                if let Err(corrupt) = self.bins.unlink(self.key, &self.segments, prev, prev_size) {
                    if let Some(more) = behind {
                        self.bins.push(self.key, &self.segments, next, more);
                    }
                    return Err(corrupt);
                }
                start = prev;
                self.key.erase(chunk);
            }
            self.usage.forget_used(head.size, 1);
            self.join(start, next, behind);
        }
        Ok(())
    }

    /// Makes `[start, next)` free, together with what is free behind: the top, or the `behind`
    /// bytes of a chunk that is in no bin any more.
    ///
    /// # Safety
    /// `[start, next)` is memory of the heap behind a chunk in use, `behind` from
    /// [`Heap::unlink_behind`].
    pub(super) unsafe fn join(&mut self, start: usize, next: usize, behind: Option<usize>) {
        let mut size = next - start;
        // SAFETY: the caller says that it is ours, up to `next` or the end of what is free there.
        unsafe {
            if next == self.top {
                self.key.erase(next);
                self.set_top(start, size + self.top_size);
                return;
            }
            if let Some(more) = behind {
                self.key.erase(next);
                size += more;
            }
            self.set_free(start, size);
            self.set_prev_in_use(start + size, false);
            self.bins.push(self.key, &self.segments, start, size);
        }
    }

    /// The free chunk in front of `chunk` and its size, verified from both sides.
    ///
    /// # Safety
    /// As [`Heap::free_chunk`].
    unsafe fn free_in_front(
        &self,
        chunk: usize,
        head: ChunkHeader,
    ) -> Result<Option<(usize, usize)>, Corrupt> {
        if head.prev_in_use {
            return Ok(None);
        }
        // SAFETY: the footer of the chunk in front is the word before this one.
        let foot = unsafe { self.key.read(chunk - WORD) }
            .map_err(|_| Corrupt { chunk, what: Corruption::Footer })?;
        let prev = chunk.wrapping_sub(foot.size);
        // SAFETY: `check_free` looks the address up before it reads.
        let size = unsafe { check_free(self.key, &self.segments, prev)? };
        if size != foot.size {
            return Err(Corrupt { chunk: prev, what: Corruption::Footer });
        }
        Ok(Some((prev, size)))
    }

    /// Takes the free chunk at `next` out of its bin and returns its size; `None` if `next` is in
    /// use, the fence or the top. On an error nothing has changed.
    ///
    /// # Safety
    /// A chunk's word is at `next`.
    pub(super) unsafe fn unlink_behind(&mut self, next: usize) -> Result<Option<usize>, Corrupt> {
        // SAFETY: as the caller says; `check_free` looks before it reads.
        unsafe {
            if next == self.top || self.key.read(next)?.in_use {
                return Ok(None);
            }
            let more = check_free(self.key, &self.segments, next)?;
            self.bins.unlink(self.key, &self.segments, next, more)?;
            Ok(Some(more))
        }
    }
}
