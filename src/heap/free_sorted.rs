//! Many chunks given back at a time, in the order of their addresses: neighbours are joined before
//! anything else is done for them.

use core::ptr::NonNull;

use super::chunk::{ChunkHeader, Corrupt, Corruption};
use super::heap::{Heap, payload_of};
use super::pages::PageSource;
use super::size::MIN_CHUNK;

/// What [`Heap::put_back_sorted`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreedSorted {
    /// Chunks dealt with.
    pub chunks: usize,
    /// Stretches that these were.
    pub runs: usize,
    /// Were that all?
    pub result: Result<(), Corrupt>,
}

impl<P: PageSource> Heap<P> {
    /// As [`Heap::put_back`] for all of `payloads`, which ascend. After an error the last one dealt
    /// with was found smashed or beside something smashed, and with the neighbours it was joined to
    /// it is out of use; go on with the rest. Call [`Heap::settle`] after the last.
    ///
    /// # Safety
    /// As [`Heap::put_back`] for each of them; none is mapped on its own.
    pub unsafe fn put_back_sorted(&mut self, payloads: &[usize]) -> FreedSorted {
        let mut put_back = FreedSorted { chunks: 0, runs: 0, result: Ok(()) };
        while put_back.result.is_ok()
            && let Some(rest) = payloads.get(put_back.chunks..)
            && let Some(first) = rest.first().and_then(|&first| NonNull::new(first as *mut u8))
        {
            // SAFETY: the caller of this function promises the same.
            let (count, result) = unsafe { self.put_back_run(first, rest) };
            put_back.chunks += count;
            put_back.runs += 1;
            put_back.result = result;
        }
        put_back
    }

    /// Gives back the first of `payloads` and those that follow without a gap.
    ///
    /// # Safety
    /// As [`Heap::put_back_sorted`].
    unsafe fn put_back_run(
        &mut self,
        first: NonNull<u8>,
        payloads: &[usize],
    ) -> (usize, Result<(), Corrupt>) {
        // SAFETY: the caller of this function promises the same.
        let (chunk, head) = match unsafe { self.used_chunk(first) } {
            Ok(found) => found,
            Err(corrupt) => return (1, Err(corrupt)),
        };
        let fence = self.segments.find(chunk).map_or(chunk, super::segments::Segment::fence);
        let (mut size, mut count) = (head.size, 1);
        // SAFETY: a word stands behind each chunk: the first one's is verified, and sizes are
        // looked at before they lead on. Joined, the words in between belong to nobody.
        unsafe {
            while payloads.get(count) == Some(&payload_of(chunk + size))
                && let Ok(next) = self.key.read(chunk + size)
                && next.in_use
                && next.prev_in_use
                && !next.mapped
                && (MIN_CHUNK..=fence - (chunk + size)).contains(&next.size)
            {
                self.key.erase(chunk + size);
                size += next.size;
                count += 1;
            }
            let whole = ChunkHeader { size, ..head };
            if count > 1 {
                self.key.write(chunk, whole);
                self.usage.forget_used(0, count - 1);
                match self.key.read(chunk + size) {
                    Ok(behind) if behind.prev_in_use => {}
                    Ok(_) => return (count, Err(Corrupt { chunk, what: Corruption::Next })),
                    Err(corrupt) => return (count, Err(corrupt)),
                }
            }
            (count, self.free_chunk(chunk, whole))
        }
    }
}
