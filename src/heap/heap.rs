//! `Heap`: allocate, release, resize; split, coalesce, grow, trim.

use super::usage::Usage;
use core::ptr::NonNull;

use super::bins::Bins;
use super::chunk::{ChunkHeader, Corrupt, Corruption, Key, footer, is_chunk_address};
use super::pages::PageSource;
use super::segments::Segments;
use super::size::{Layout, MIN_CHUNK, WORD, round_up};
use super::tuning::Tuning;

/// A chunk heap over the memory of `P`. See the [module](super) for what it promises.
pub struct Heap<P> {
    pub(super) pages: P,
    pub(super) key: Key,
    pub(super) segments: Segments,
    pub(super) bins: Bins,
    /// The free chunk at the end of the last segment; in no bin, without a footer. 0: none.
    pub(super) top: usize,
    pub(super) top_size: usize,
    /// From here to the last segment's fence nobody has written anything: it reads as zero.
    pub(super) untouched: usize,
    /// Is what was handed out last such memory?
    pub(super) last_is_zero: bool,
    /// Thresholds; may be set at any time.
    pub tuning: Tuning,
    pub(super) usage: Usage,
}

/// Chunks are named by their word's address, payloads by what the user of the heap gets.
pub(super) const fn payload_of(chunk: usize) -> usize {
    chunk + WORD
}

impl<P: PageSource> Heap<P> {
    /// An empty heap. `key` seeds the checksums: take it from where an attacker cannot see.
    pub const fn new(pages: P, key: u64) -> Self {
        Self {
            pages,
            key: Key(key),
            segments: Segments::new(),
            bins: Bins::new(),
            top: 0,
            top_size: 0,
            untouched: 0,
            last_is_zero: false,
            tuning: Tuning::DEFAULT,
            usage: Usage { held: 0, in_use: 0, chunks: 0, mapped: 0, mapped_chunks: 0 },
        }
    }

    /// Replaces the key of a heap that holds nothing yet.
    pub fn set_key(&mut self, key: u64) {
        if self.usage == Usage::default() {
            self.key = Key(key);
        }
    }

    /// The stretches of memory that the heap is made of, mapped blocks apart: first byte and first
    /// byte behind.
    pub fn stretches(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.segments.as_slice().iter().map(|segment| (segment.start, segment.end))
    }

    /// Usage of the heap.
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// Can a payload for `layout` be had without more memory?
    pub fn has_room_for(&self, layout: Layout) -> bool {
        let slack = if layout.is_aligned() { layout.align + MIN_CHUNK } else { 0 };
        let Some(need) = layout.chunk_size().and_then(|need| need.checked_add(slack)) else {
            return false;
        };
        self.top_size >= need + MIN_CHUNK || self.bins.has_larger(need)
    }

    /// Free bytes that the heap holds, the top included.
    pub const fn free_bytes(&self) -> usize {
        self.usage.held.saturating_sub(self.usage.in_use)
    }

    /// Does the payload that `allocate` returned last read as zero throughout?
    pub const fn last_is_zero(&self) -> bool {
        self.last_is_zero
    }

    /// The source the memory comes from.
    pub const fn pages(&mut self) -> &mut P {
        &mut self.pages
    }

    /// A payload for `layout`, contents undefined. `Ok(None)`: no memory, or more than
    /// [`MAX_PAYLOAD`](super::size::MAX_PAYLOAD). After `Err` the smashed part is out of use and
    /// the call can be repeated.
    pub fn allocate(&mut self, layout: Layout) -> Result<Option<NonNull<u8>>, Corrupt> {
        let Some(need) = layout.chunk_size() else { return Ok(None) };
        let slack = if layout.is_aligned() { layout.align } else { 0 };
        self.last_is_zero = false;
        if need.saturating_add(slack) >= self.tuning.mmap_threshold
            && let Some(payload) = self.allocate_mapped(layout)
        {
            return Ok(Some(payload));
        }
        let chunk =
            if layout.is_aligned() { self.take_aligned(need, layout)? } else { self.take(need)? };
        match chunk {
            Some(chunk) => Ok(NonNull::new(payload_of(chunk) as *mut u8)),
            None if self.segments.is_full() => Ok(self.allocate_mapped(layout)),
            None => Ok(None),
        }
    }

    /// Bytes a payload can hold.
    ///
    /// # Safety
    /// `payload` came from this heap and was not released.
    pub unsafe fn capacity(&self, payload: NonNull<u8>) -> Result<usize, Corrupt> {
        // SAFETY: the caller of this function promises the same.
        unsafe {
            if let Some(span) = self.span_of(payload)? {
                return Ok(span.end() - payload.as_ptr() as usize);
            }
            let (_, head) = self.used_chunk(payload)?;
            Ok(head.size - WORD)
        }
    }

    /// Gives a payload back; a mapped one is unmapped. Free memory at the top goes back to the
    /// source. On `Err` nothing has changed.
    ///
    /// # Safety
    /// `payload` came from this heap and was not released; it is used no more.
    pub unsafe fn release(&mut self, payload: NonNull<u8>) -> Result<(), Corrupt> {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.put_back(payload)? };
        self.settle();
        Ok(())
    }

    /// As [`Heap::release`], one of many: call [`Heap::settle`] after the last.
    ///
    /// # Safety
    /// As [`Heap::release`].
    pub unsafe fn put_back(&mut self, payload: NonNull<u8>) -> Result<(), Corrupt> {
        // SAFETY: the caller of this function promises the same.
        unsafe {
            if let Some(span) = self.span_of(payload)? {
                self.retire(span);
                self.unmap(span);
                return Ok(());
            }
            let (chunk, head) = self.used_chunk(payload)?;
            self.free_chunk(chunk, head)
        }
    }

    /// Makes an ordinary payload hold `size` bytes without moving it. `false`: there is no room;
    /// nothing has changed. On `Err` the payload is as it was.
    ///
    /// # Safety
    /// `payload` came from this heap, is not mapped and was not released.
    pub unsafe fn resize(&mut self, payload: NonNull<u8>, size: usize) -> Result<bool, Corrupt> {
        let Some(need) = Layout::plain(size).chunk_size() else { return Ok(false) };
        // SAFETY: the caller of this function promises the same.
        let (chunk, head) = unsafe { self.used_chunk(payload)? };
        if need > head.size {
            // SAFETY: `used_chunk` has accepted the chunk.
            let Some(size) = (unsafe { self.extend(chunk, head, need)? }) else {
                return Ok(false);
            };
            let head = ChunkHeader { size, ..head };
            // SAFETY: the chunk is ours and reaches that far now.
            unsafe { self.shorten(chunk, head, need)? };
            return Ok(true);
        }
        // SAFETY: `used_chunk` has accepted the chunk.
        unsafe { self.shorten(chunk, head, need)? };
        self.settle();
        Ok(true)
    }

    /// The chunk of a payload, its word and the word behind it verified.
    ///
    /// # Safety
    /// The segments are mapped.
    pub(super) unsafe fn used_chunk(
        &self,
        payload: NonNull<u8>,
    ) -> Result<(usize, ChunkHeader), Corrupt> {
        let chunk = payload.as_ptr() as usize - WORD;
        let fail = |what| Err(Corrupt { chunk, what });
        let Some(segment) = self.segments.find(chunk).filter(|_| is_chunk_address(chunk)) else {
            return fail(Corruption::Outside);
        };
        // SAFETY: `chunk` is 8-aligned inside a segment.
        let head = unsafe { self.key.read(chunk)? };
        if !head.in_use || head.mapped {
            return fail(Corruption::State);
        }
        if head.size < MIN_CHUNK || head.size > segment.fence() - chunk {
            return fail(Corruption::Size);
        }
        // SAFETY: the word behind lies at or below the segment's fence.
        let next = unsafe { self.key.read(chunk + head.size)? };
        if !next.prev_in_use {
            return fail(Corruption::Next);
        }
        Ok((chunk, head))
    }

    /// A chunk in use of at least `need` bytes: from a bin, the top, or new memory.
    pub(super) fn take(&mut self, need: usize) -> Result<Option<usize>, Corrupt> {
        if let Some((chunk, size)) = self.bins.take(self.key, &self.segments, need)? {
            // SAFETY: `take` verified the chunk and took it out of its bin.
            unsafe { self.occupy(chunk, size, need) };
            return Ok(Some(chunk));
        }
        if self.top_size < need + MIN_CHUNK && !self.grow(need + MIN_CHUNK, need)? {
            return Ok(None);
        }
        self.carve_top(need).map(Some)
    }

    /// Cuts `need` bytes off the front of the top, which is larger.
    pub(super) fn carve_top(&mut self, need: usize) -> Result<usize, Corrupt> {
        let chunk = self.top;
        // SAFETY: the top lies in the last segment.
        let found = unsafe { self.key.read(chunk) };
        if found != Ok(ChunkHeader::free(self.top_size)) {
            // What lies behind cannot be trusted to be ours any more: start anew elsewhere.
            self.top = 0;
            self.top_size = 0;
            self.untouched = usize::MAX;
            return Err(Corrupt { chunk, what: Corruption::Word });
        }
        // SAFETY: the top reaches from `chunk` on for more than `need` bytes.
        unsafe {
            self.set_top(chunk + need, self.top_size - need);
            self.key.write(chunk, ChunkHeader::used(need, true));
        }
        self.count_used(need);
        self.last_is_zero = chunk >= self.untouched;
        self.untouched = self.untouched.max(chunk + need);
        Ok(chunk)
    }

    /// A chunk of `need` bytes whose payload plus `lead` has the asked alignment.
    fn take_aligned(&mut self, need: usize, layout: Layout) -> Result<Option<usize>, Corrupt> {
        let slack = layout.align + MIN_CHUNK;
        let Some(whole) = need.checked_add(slack).filter(|&n| n < 1 << 40) else {
            return Ok(None);
        };
        let Some(chunk) = self.take(whole)? else { return Ok(None) };
        let at = payload_of(chunk) + layout.lead;
        let mut gap = round_up(at, layout.align) - at;
        if gap != 0 && gap < MIN_CHUNK {
            gap += layout.align;
        }
        // SAFETY: `take` made this chunk, at least `whole` bytes, so that the gap and the aligned
        // chunk behind it fit.
        unsafe {
            let head = self.key.read(chunk)?;
            if gap == 0 {
                self.shorten(chunk, head, need)?;
                return Ok(Some(chunk));
            }
            let aligned = chunk + gap;
            let rest = ChunkHeader::used(head.size - gap, true);
            self.key.write(aligned, rest);
            let front = ChunkHeader { size: gap, ..head };
            self.key.write(chunk, front);
            self.usage.chunks += 1;
            self.free_chunk(chunk, front)?;
            let rest = self.key.read(aligned)?;
            self.shorten(aligned, rest, need)?;
            Ok(Some(aligned))
        }
    }

    /// Marks a free chunk of `size` bytes as in use and frees what is beyond `need`.
    ///
    /// # Safety
    /// `chunk` is a verified free chunk of `size >= need` bytes in no bin.
    pub(super) unsafe fn occupy(&mut self, chunk: usize, size: usize, need: usize) {
        let rest = size - need;
        // SAFETY: all words written lie in the chunk, or are the verified word behind it.
        unsafe {
            if rest >= MIN_CHUNK {
                self.key.write(chunk, ChunkHeader::used(need, true));
                self.set_free(chunk + need, rest);
                self.bins.push(self.key, &self.segments, chunk + need, rest);
                self.count_used(need);
            } else {
                self.key.write(chunk, ChunkHeader::used(size, true));
                self.set_prev_in_use(chunk + size, true);
                self.count_used(size);
            }
        }
    }

    /// Cuts a chunk in use down to `need` bytes where the rest is worth a chunk, and frees that.
    /// On an error nothing has changed.
    ///
    /// # Safety
    /// `chunk` is a chunk in use with the word `head`, the one behind it verified.
    unsafe fn shorten(
        &mut self,
        chunk: usize,
        head: ChunkHeader,
        need: usize,
    ) -> Result<(), Corrupt> {
        let rest = head.size - need;
        if rest < MIN_CHUNK {
            return Ok(());
        }
        let next = chunk + head.size;
        // SAFETY: the rest lies in the chunk, and what is free behind is unlinked by then.
        unsafe {
            let behind = self.unlink_behind(next)?;
            self.key.write(chunk, ChunkHeader { size: need, ..head });
            self.usage.forget_used(rest, 0);
            self.join(chunk + need, next, behind);
        }
        Ok(())
    }

    /// # Safety
    /// `[chunk, chunk + size)` is free memory up to the last segment's fence.
    pub(super) unsafe fn set_top(&mut self, chunk: usize, size: usize) {
        self.top = chunk;
        self.top_size = size;
        // SAFETY: the caller says that it is ours.
        unsafe { self.key.write(chunk, ChunkHeader::free(size)) };
    }

    /// Writes word and footer of a free chunk.
    ///
    /// # Safety
    /// `[chunk, chunk + size)` is free memory of the heap.
    pub(super) unsafe fn set_free(&mut self, chunk: usize, size: usize) {
        // SAFETY: the caller says that it is ours.
        unsafe {
            self.key.write(chunk, ChunkHeader::free(size));
            self.key.write(footer(chunk, size), ChunkHeader::free(size));
        }
    }

    /// # Safety
    /// A chunk's word is at `chunk`; if it is smashed it is left alone.
    pub(super) unsafe fn set_prev_in_use(&mut self, chunk: usize, prev_in_use: bool) {
        // SAFETY: the caller says that a word is there.
        unsafe {
            if let Ok(head) = self.key.read(chunk) {
                self.key.write(chunk, ChunkHeader { prev_in_use, ..head });
            }
        }
    }

    pub(super) fn count_used(&mut self, size: usize) {
        self.usage.in_use += size;
        self.usage.chunks += 1;
    }
}
