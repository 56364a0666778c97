//! Free lists by size: one bin for each size up to 1 KiB, eight for each doubling above.

use super::chunk::{
    Corrupt, Corruption, Key, Links, footer, is_chunk_address, read_links, write_links,
};
use super::segments::Segments;
use super::size::{GRANULE, MIN_CHUNK, WORD};

const SMALL_LIMIT: usize = 1024;
const SMALL_BINS: usize = SMALL_LIMIT / GRANULE - 1;
const FIRST_EXPONENT: u32 = 10;
const BINS: usize = SMALL_BINS + 31 * 8;
const MAP_WORDS: usize = BINS.div_ceil(64);
/// Chunks of a bin with several sizes that are tried before the next bin, where all fit.
const TRIES: usize = 16;

pub(super) struct Bins {
    heads: [usize; BINS],
    map: [u64; MAP_WORDS],
}

/// Bin of the free chunks of `size` bytes.
pub(super) const fn bin_of(size: usize) -> usize {
    if size <= SMALL_LIMIT {
        return size / GRANULE - MIN_CHUNK / GRANULE;
    }
    let exponent = size.ilog2();
    let eighth = (size >> (exponent - 3)) & 7;
    SMALL_BINS + (exponent - FIRST_EXPONENT) as usize * 8 + eighth
}

impl Bins {
    pub(super) const fn new() -> Self {
        Self { heads: [0; BINS], map: [0; MAP_WORDS] }
    }

    fn head(&self, bin: usize) -> usize {
        self.heads.get(bin).copied().unwrap_or(0)
    }

    fn set_head(&mut self, bin: usize, chunk: usize) {
        if let Some(head) = self.heads.get_mut(bin) {
            *head = chunk;
        }
        if let Some(word) = self.map.get_mut(bin / 64) {
            let bit = 1 << (bin % 64);
            if chunk == 0 { *word &= !bit } else { *word |= bit }
        }
    }

    /// First bin from `bin` on that holds a chunk.
    fn next_filled(&self, bin: usize) -> Option<usize> {
        let mut at = bin / 64;
        let mut word = self.map.get(at)? & (!0 << (bin % 64));
        while word == 0 {
            at += 1;
            word = *self.map.get(at)?;
        }
        Some(at * 64 + word.trailing_zeros() as usize)
    }

    /// Puts the free chunk `chunk` of `size` bytes at the head of its bin. The chunk at the head
    /// so far is checked before it is linked.
    ///
    /// # Safety
    /// `chunk` is a free chunk of the heap, in no list; its payload is the heap's to write.
    #[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_bins_push"))]
    pub(super) unsafe fn push(&mut self, key: Key, segments: &Segments, chunk: usize, size: usize) {
        let bin = bin_of(size);
        let mut next = self.head(bin);
        // SAFETY: `check_word` reads inside a segment only.
        if next != 0 && unsafe { check_word(key, segments, next) }.is_err() {
            // What is left of the list cannot be trusted: it is lost, the new chunk is not.
            next = 0;
        }
        if next != 0 {
            // SAFETY: `next` was just found to be a free chunk of this heap.
            unsafe {
                let links = read_links(next);
                write_links(next, Links { prev: chunk, ..links });
            }
        }
        // SAFETY: the caller says that the payload is the heap's.
        unsafe { write_links(chunk, Links { next, prev: 0 }) };
        self.set_head(bin, chunk);
    }

    /// Takes a chunk of at least `need` bytes out of its bin and returns it with its size. A list
    /// that turns out to be smashed is dropped before the error is returned, so that asking
    /// again makes progress.
    #[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_bins_take"))]
    pub(super) fn take(
        &mut self,
        key: Key,
        segments: &Segments,
        need: usize,
    ) -> Result<Option<(usize, usize)>, Corrupt> {
        let mut bin = bin_of(need);
        while let Some(filled) = self.next_filled(bin) {
            match self.take_from(key, segments, filled, need) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => bin = filled + 1,
                Err(corrupt) => {
                    self.set_head(filled, 0);
                    return Err(corrupt);
                }
            }
        }
        Ok(None)
    }

    fn take_from(
        &mut self,
        key: Key,
        segments: &Segments,
        bin: usize,
        need: usize,
    ) -> Result<Option<(usize, usize)>, Corrupt> {
        let mut chunk = self.head(bin);
        for _ in 0..TRIES {
            if chunk == 0 {
                break;
            }
            // SAFETY: `check_free` reads inside a segment only.
            let size = unsafe { check_free(key, segments, chunk)? };
            if bin_of(size) != bin {
                return Err(Corrupt { chunk, what: Corruption::Size });
            }
            if size >= need {
                // SAFETY: `chunk` was just found to be a free chunk of `size` bytes.
                unsafe { self.unlink(key, segments, chunk, size)? };
                return Ok(Some((chunk, size)));
            }
            // SAFETY: `chunk` was just found to be a free chunk, which has links.
            chunk = unsafe { read_links(chunk) }.next;
        }
        Ok(None)
    }

    /// Is there a chunk in a bin whose chunks are all larger than `need`?
    pub(super) fn has_larger(&self, need: usize) -> bool {
        need < 1 << 40 && self.next_filled(bin_of(need) + 1).is_some()
    }

    /// Takes a given free chunk out of its bin. Both neighbours in the list are checked first;
    /// on an error nothing has changed.
    ///
    /// # Safety
    /// `chunk` is a free chunk of `size` bytes that `check_free` accepted.
    #[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_bins_unlink"))]
    pub(super) unsafe fn unlink(
        &mut self,
        key: Key,
        segments: &Segments,
        chunk: usize,
        size: usize,
    ) -> Result<(), Corrupt> {
        let bin = bin_of(size);
        let broken = Corrupt { chunk, what: Corruption::Link };
        // SAFETY: the caller says that it is a free chunk.
        let links = unsafe { read_links(chunk) };
        if (links.prev == 0) != (self.head(bin) == chunk) {
            return Err(broken);
        }
        // SAFETY: `linked` reads inside a segment only; what it accepts is a free chunk.
        unsafe {
            if links.prev != 0 && linked(key, segments, links.prev, broken)?.next != chunk {
                return Err(broken);
            }
            if links.next != 0 {
                let next = linked(key, segments, links.next, broken)?;
                if next.prev != chunk {
                    return Err(broken);
                }
                write_links(links.next, Links { prev: links.prev, ..next });
            }
        }
        if links.prev == 0 {
            self.set_head(bin, links.next);
        } else {
            // SAFETY: `links.prev` was accepted above.
            unsafe {
                let prev = read_links(links.prev);
                write_links(links.prev, Links { next: links.next, ..prev });
            }
        }
        Ok(())
    }

    /// Calls `visit` with each listed chunk and its bin, as long as it returns true. Follows links
    /// only from chunks that `visit` accepted.
    pub(super) fn walk(&self, visit: impl FnMut(usize, usize) -> bool) {
        self.walk_from(0, visit);
    }

    /// As [`Bins::walk`], from one bin on.
    pub(super) fn walk_from(&self, first: usize, mut visit: impl FnMut(usize, usize) -> bool) {
        for (bin, &head) in self.heads.iter().enumerate().skip(first) {
            let mut chunk = head;
            while chunk != 0 && visit(chunk, bin) {
                // SAFETY: `visit` has accepted the chunk as a free one of this heap.
                chunk = unsafe { read_links(chunk) }.next;
            }
        }
    }

    /// Is the map's bit of each bin set exactly when its list is not empty?
    pub(super) fn map_agrees(&self) -> bool {
        self.heads.iter().enumerate().all(|(bin, &head)| {
            let word = self.map.get(bin / 64).copied().unwrap_or(0);
            (word & (1 << (bin % 64)) != 0) == (head != 0)
        })
    }
}

/// The links of `chunk` if it is a free chunk, `broken` if not.
///
/// # Safety
/// As [`check_word`].
unsafe fn linked(
    key: Key,
    segments: &Segments,
    chunk: usize,
    broken: Corrupt,
) -> Result<Links, Corrupt> {
    // SAFETY: `check_word` reads inside a segment only; what it accepts has links.
    unsafe {
        check_word(key, segments, chunk).map_err(|_| broken)?;
        Ok(read_links(chunk))
    }
}

/// Verifies that a free chunk starts at `chunk`: its word, its footer and the chunk behind all
/// say so. Returns its size.
///
/// # Safety
/// The segments are mapped.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_check_free"))]
pub(super) unsafe fn check_free(
    key: Key,
    segments: &Segments,
    chunk: usize,
) -> Result<usize, Corrupt> {
    let fail = |what| Err(Corrupt { chunk, what });
    // SAFETY: the caller of this function promises the same.
    let size = unsafe { check_word(key, segments, chunk)? };
    // SAFETY: the footer and the next word lie at or below the segment's fence.
    let (foot, next) = unsafe { (key.read(footer(chunk, size)), key.read(chunk + size)) };
    if foot.map(|foot| foot.size) != Ok(size) {
        return fail(Corruption::Footer);
    }
    match next {
        Ok(next) if !next.prev_in_use => Ok(size),
        Ok(_) => fail(Corruption::Next),
        Err(corrupt) => Err(corrupt),
    }
}

/// Verifies that the word at `chunk` is a free chunk's: enough for a neighbour in a list, which
/// links back, and of which nothing but its links is used. Returns its size.
///
/// # Safety
/// The segments are mapped.
#[inline]
unsafe fn check_word(key: Key, segments: &Segments, chunk: usize) -> Result<usize, Corrupt> {
    let fail = |what| Err(Corrupt { chunk, what });
    if !is_chunk_address(chunk) {
        return fail(Corruption::Outside);
    }
    let Some(segment) = segments.find(chunk) else { return fail(Corruption::Outside) };
    // SAFETY: `chunk` is 8-aligned inside a mapped segment.
    let head = unsafe { key.read(chunk)? };
    if head.in_use || head.mapped {
        return fail(Corruption::State);
    }
    if head.size < MIN_CHUNK || head.size > segment.fence() - chunk {
        return fail(Corruption::Size);
    }
    Ok(head.size)
}

const _: () = assert!(bin_of(MIN_CHUNK) == 0);
const _: () = assert!(bin_of(SMALL_LIMIT) == SMALL_BINS - 1);
const _: () = assert!(bin_of(SMALL_LIMIT + GRANULE) == SMALL_BINS);
const _: () = assert!(bin_of((1 << 40) + (1 << 39)) < BINS);
const _: () = assert!(WORD * 2 == GRANULE);
