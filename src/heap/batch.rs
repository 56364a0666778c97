//! Many chunks of one size at a time, for the caches above: one search, one split.

use core::ptr::NonNull;

use super::chunk::{ChunkHeader, Corrupt};
use super::heap::{Heap, payload_of};
use super::pages::PageSource;
use super::size::{Layout, MIN_CHUNK};

impl<P: PageSource> Heap<P> {
    /// Hands up to `most` payloads of `size` bytes each to `each`: what the bins hold, or else a
    /// stretch of the top. With `grow` the heap gets more memory when there is neither. Returns how
    /// many; on `Err` those before it were handed out and the call can be repeated.
    pub fn allocate_batch(
        &mut self,
        size: usize,
        most: usize,
        grow: bool,
        mut each: impl FnMut(NonNull<u8>),
    ) -> Result<usize, Corrupt> {
        let Some(need) = Layout::plain(size).chunk_size() else { return Ok(0) };
        let mut count = 0;
        while count < most {
            let found = self.bins.take(self.key, &self.segments, need)?;
            let Some((chunk, size)) = found else { break };
            let fits = (size / need).min(most - count);
            // SAFETY: `take` verified the chunk and took it out of its bin.
            unsafe { self.occupy_run(chunk, size, need, fits, &mut each) };
            count += fits;
        }
        if count != 0 {
            return Ok(count);
        }
        if grow
            && self.top_size < need + MIN_CHUNK
            && !self.grow(need * most + MIN_CHUNK, need)?
            && !self.grow(need + MIN_CHUNK, need)?
        {
            return Ok(0);
        }
        self.carve_run(need, most, each)
    }

    /// Cuts up to `most` chunks off the top.
    fn carve_run(
        &mut self,
        need: usize,
        most: usize,
        mut each: impl FnMut(NonNull<u8>),
    ) -> Result<usize, Corrupt> {
        let fits = (self.top_size.saturating_sub(MIN_CHUNK) / need).min(most);
        if fits == 0 {
            return Ok(0);
        }
        let run = self.carve_top(fits * need)?;
        self.usage.chunks += fits - 1;
        // SAFETY: the carved chunk is in use and `fits` times as large as each.
        unsafe { self.split_run(run, fits, need, need, &mut each) };
        Ok(fits)
    }

    /// Turns a free chunk into `count` chunks in use and frees what is left of it.
    ///
    /// # Safety
    /// `chunk` is a verified free chunk of `size >= count * need` bytes in no bin.
    unsafe fn occupy_run(
        &mut self,
        chunk: usize,
        size: usize,
        need: usize,
        count: usize,
        each: &mut impl FnMut(NonNull<u8>),
    ) {
        let used = count * need;
        // What is too small for a chunk stays with the last one.
        let rest = size - used;
        let slack = if rest < MIN_CHUNK { rest } else { 0 };
        // SAFETY: as the caller says; all parts lie in the chunk.
        unsafe {
            self.occupy(chunk, size, used);
            self.usage.chunks += count - 1;
            self.split_run(chunk, count, need, need + slack, each);
        }
    }

    /// Splits a chunk in use into `count` of `need` bytes, the last one of `last` bytes. They are
    /// handed out from the last to the first, so that a stack gives them in ascending order.
    ///
    /// # Safety
    /// The chunk at `run` is in use and has exactly that many bytes.
    unsafe fn split_run(
        &mut self,
        run: usize,
        count: usize,
        need: usize,
        last: usize,
        each: &mut impl FnMut(NonNull<u8>),
    ) {
        for index in (0..count).rev() {
            let chunk = run + index * need;
            let size = if index + 1 == count { last } else { need };
            // SAFETY: inside the run; what stands in front of each is in use.
            unsafe { self.key.write(chunk, ChunkHeader::used(size, true)) };
            if let Some(payload) = NonNull::new(payload_of(chunk) as *mut u8) {
                each(payload);
            }
        }
    }
}
