//! Large blocks: each in a mapping of its own, with the threshold that decides which are large.
//!
//! A mapped chunk's word gives its payload's size (up to the end of the mapping); the word in
//! front of it, in the same form, how far into the mapping that word lies.

use core::ptr::NonNull;

use super::chunk::{ChunkHeader, Corrupt, Corruption, Key, is_chunk_address};
use super::heap::Heap;
use super::pages::PageSource;
use super::size::{GRANULE, Layout, MAX_PAYLOAD, PAGE, WORD, round_up};

/// Bytes in front of a mapped payload: the offset word and the chunk word.
const FRONT: usize = 2 * WORD;

/// A mapping with one block in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte, page-aligned.
    pub start: usize,
    /// Length in bytes, whole pages.
    pub len: usize,
}

impl Span {
    /// First byte behind the mapping.
    pub const fn end(&self) -> usize {
        self.start + self.len
    }
}

impl<P: PageSource> Heap<P> {
    /// Maps a chunk of its own for `layout`.
    pub(super) fn allocate_mapped(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let align = layout.align.max(GRANULE);
        let slack = if align > PAGE { align } else { 0 };
        let offset_in_page = first_offset(align.min(PAGE), layout.lead);
        let len = offset_in_page
            .checked_add(FRONT + layout.size)?
            .checked_add(slack)
            .filter(|&len| len <= MAX_PAYLOAD)?;
        let len = round_up(len, PAGE);
        let start = self.pages.map(len)?;
        let payload = round_up(start + offset_in_page + FRONT + layout.lead, align) - layout.lead;
        let span = Span { start, len };
        // SAFETY: the mapping is new and ours; the payload lies at least FRONT bytes into it.
        unsafe { write_words(self.key, payload, span) };
        self.usage.mapped += len;
        self.usage.mapped_chunks += 1;
        self.last_is_zero = true;
        NonNull::new(payload as *mut u8)
    }

    /// The mapping round a payload, if it has one. `Ok(None)`: it is an ordinary chunk.
    ///
    /// # Safety
    /// `payload` came from this heap and was not released.
    pub unsafe fn span_of(&self, payload: NonNull<u8>) -> Result<Option<Span>, Corrupt> {
        let chunk = payload.as_ptr() as usize - WORD;
        if !is_chunk_address(chunk) {
            return Err(Corrupt { chunk, what: Corruption::Outside });
        }
        // SAFETY: the caller says that a chunk of this heap is there.
        let head = unsafe { self.key.read(chunk)? };
        if !head.mapped {
            return Ok(None);
        }
        // SAFETY: a mapped chunk has the offset word in front of it.
        let front = unsafe { self.key.read(chunk - WORD)? };
        let span = Span {
            start: (chunk - WORD).wrapping_sub(front.size),
            len: front.size + FRONT + head.size,
        };
        if !front.mapped || !span.start.is_multiple_of(PAGE) || !span.len.is_multiple_of(PAGE) {
            return Err(Corrupt { chunk, what: Corruption::Size });
        }
        Ok(Some(span))
    }

    /// Takes a mapped payload out of the heap's books and raises the threshold. The mapping
    /// itself stays: give it to [`Heap::unmap`] or do something better with it.
    pub fn retire(&mut self, span: Span) {
        self.usage.forget_mapped(span.len);
        self.tuning.follow(span.len);
    }

    /// Unmaps a retired mapping.
    ///
    /// # Safety
    /// `span` was retired from this heap and nothing in it is used any more.
    pub unsafe fn unmap(&mut self, span: Span) {
        // SAFETY: the caller says so.
        unsafe { self.pages.unmap(span.start, span.len) };
    }

    /// Makes the mapping of a payload large enough for `size` bytes, or smaller, moving it where
    /// it has to. Returns the payload's new address; `None`: nothing has changed.
    ///
    /// # Safety
    /// `payload` came from this heap, was not released, and `span` is its mapping. No address in
    /// the old place is used after a move.
    pub unsafe fn remap(
        &mut self,
        payload: NonNull<u8>,
        span: Span,
        size: usize,
    ) -> Option<NonNull<u8>> {
        let offset = payload.as_ptr() as usize - span.start;
        let len = offset.checked_add(size).filter(|&len| len <= MAX_PAYLOAD)?;
        let len = round_up(len, PAGE);
        // SAFETY: `span` is a whole mapping, by the caller's word.
        let start = unsafe { self.pages.remap(span.start, span.len, len)? };
        // SAFETY: the mapping is ours and starts with the same words as before.
        unsafe { write_words(self.key, start + offset, Span { start, len }) };
        self.usage.mapped = self.usage.mapped.saturating_sub(span.len) + len;
        NonNull::new((start + offset) as *mut u8)
    }
}

/// Bytes to skip at the start of a page so that, behind the two words, `lead` bytes on is aligned.
fn first_offset(align: usize, lead: usize) -> usize {
    round_up(FRONT + lead, align) - lead - FRONT
}

/// # Safety
/// `payload` is in `span`, FRONT bytes or more behind its start, and the span is the heap's.
unsafe fn write_words(key: Key, payload: usize, span: Span) {
    let chunk = payload - WORD;
    let reach = ChunkHeader { mapped: true, ..ChunkHeader::used(span.end() - payload, true) };
    let front = ChunkHeader { mapped: true, ..ChunkHeader::used(chunk - WORD - span.start, true) };
    // SAFETY: both words lie in the span, by the caller's word.
    unsafe {
        key.write(chunk, reach);
        key.write(chunk - WORD, front);
    }
}
