//! The chunk word: the only file that turns addresses into heads.
//!
//! A chunk at address `c` (8 below a multiple of 16) starts with its word, 8 bytes; the payload
//! follows at `c + 8`. The word holds
//!
//! | bits   | what |
//! |--------|------|
//! | 0      | this chunk is in use |
//! | 1      | the chunk in front of it is in use |
//! | 2      | this chunk is mapped on its own |
//! | 3      | zero |
//! | 4..40  | size in granules of 16 bytes, word included |
//! | 40..64 | checksum over the bits below, the address and the heap's key |
//!
//! A free chunk also has two links in the first 16 bytes of its payload and a copy of its size in
//! the last 8 (the footer), written as a word of its own. A segment ends with a fence: a word that
//! says in use, size 0.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use super::size::{MIN_CHUNK, WORD};

/// The broken invariant of a smashed chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// The word's checksum is wrong.
    Word,
    /// The word is sound but says "free" where a chunk in use was expected, or the other way.
    State,
    /// The size leads out of the heap.
    Size,
    /// The chunk behind does not agree with this one.
    Next,
    /// The footer of the free chunk in front does not agree with its word.
    Footer,
    /// A link of a free chunk leads to no free chunk that links back.
    Link,
    /// The address is in no memory of this heap.
    Outside,
}

/// A chunk whose words were overwritten: it was left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Address of the word that does not hold.
    pub chunk: usize,
    /// The broken invariant.
    pub what: Corruption,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Word => "its checksum is wrong",
            Self::State => "its state is not the expected one",
            Self::Size => "its size leads out of the heap",
            Self::Next => "it does not agree with the chunk behind it",
            Self::Footer => "it does not agree with the chunk in front of it",
            Self::Link => "its links are broken",
            Self::Outside => "it is in no memory of the heap",
        })
    }
}

/// A decoded chunk word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkHeader {
    pub(super) size: usize,
    pub(super) in_use: bool,
    pub(super) prev_in_use: bool,
    pub(super) mapped: bool,
}

const IN_USE: u64 = 1;
const PREV_IN_USE: u64 = 2;
const MAPPED: u64 = 4;
const SPARE: u64 = 8;
const CHECK_SHIFT: u32 = 40;
const LOW: u64 = (1 << CHECK_SHIFT) - 1;

impl ChunkHeader {
    pub(super) const FENCE: ChunkHeader =
        ChunkHeader { size: 0, in_use: true, prev_in_use: false, mapped: false };

    pub(super) const fn used(size: usize, prev_in_use: bool) -> ChunkHeader {
        ChunkHeader { size, in_use: true, prev_in_use, mapped: false }
    }

    pub(super) const fn free(size: usize) -> ChunkHeader {
        // Free neighbours coalesce at once (I4), so the chunk in front is in use.
        ChunkHeader { size, in_use: false, prev_in_use: true, mapped: false }
    }

    const fn bits(self) -> u64 {
        self.size as u64
            | if self.in_use { IN_USE } else { 0 }
            | if self.prev_in_use { PREV_IN_USE } else { 0 }
            | if self.mapped { MAPPED } else { 0 }
    }

    const fn from_bits(low: u64) -> ChunkHeader {
        ChunkHeader {
            size: (low & !0xf) as usize,
            in_use: low & IN_USE != 0,
            prev_in_use: low & PREV_IN_USE != 0,
            mapped: low & MAPPED != 0,
        }
    }
}

/// The secret that chunk words are summed with.
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) u64);

impl Key {
    /// 24 bits over an address and the low 40 bits of the word there.
    const fn checksum(self, chunk: usize, low: u64) -> u64 {
        let mixed = (low ^ self.0)
            .wrapping_add((chunk as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_mul(0xd6e8_feb8_6659_fd93);
        (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) & !LOW
    }

    /// Reads the word at `chunk` and verifies it.
    ///
    /// # Safety
    /// `chunk` is 8-aligned and 8 bytes there are readable.
    #[inline]
    pub(super) unsafe fn read(self, chunk: usize) -> Result<ChunkHeader, Corrupt> {
        // SAFETY: the caller says the word is readable and aligned.
        let word = unsafe { word_at(chunk) }.load(Ordering::Relaxed);
        let low = word & LOW;
        if word & !LOW != self.checksum(chunk, low) || low & SPARE != 0 {
            return Err(Corrupt { chunk, what: Corruption::Word });
        }
        Ok(ChunkHeader::from_bits(low))
    }

    /// Writes the word at `chunk`.
    ///
    /// # Safety
    /// `chunk` is 8-aligned and 8 bytes there are the heap's to write.
    #[inline]
    pub(super) unsafe fn write(self, chunk: usize, head: ChunkHeader) {
        let low = head.bits();
        // SAFETY: the caller says the word is writable and aligned.
        unsafe { word_at(chunk) }.store(low | self.checksum(chunk, low), Ordering::Relaxed);
    }

    /// Erases the word of a chunk that became part of another: left as it is it would still
    /// verify, and a smashed link could lead to it.
    ///
    /// # Safety
    /// As [`Key::write`].
    pub(super) unsafe fn erase(self, chunk: usize) {
        // SAFETY: the caller says the word is writable and aligned.
        unsafe { (chunk as *mut u64).write(0) };
    }
}

/// The word at `chunk`. It is changed under the heap's lock, and looked at without.
///
/// # Safety
/// `chunk` is 8-aligned, and 8 bytes there stay mapped while the result lives.
#[inline(always)]
unsafe fn word_at<'a>(chunk: usize) -> &'a AtomicU64 {
    // SAFETY: as the caller says; an atomic word has the layout of a plain one.
    unsafe { AtomicU64::from_ptr(chunk as *mut u64) }
}

/// Is the word at `chunk` one that the heap with that key has written?
///
/// # Safety
/// `chunk` is 8-aligned and 8 bytes there are readable.
#[inline(always)]
pub unsafe fn is_sound(key: u64, chunk: usize) -> bool {
    // SAFETY: the caller of this function promises the same.
    let word = unsafe { word_at(chunk) }.load(Ordering::Relaxed);
    word & !LOW == Key(key).checksum(chunk, word & LOW)
}

/// Bytes of the chunk at `chunk` by its word, which may be overwritten.
///
/// # Safety
/// As [`is_sound`].
#[inline(always)]
pub unsafe fn size_unverified(chunk: usize) -> usize {
    // SAFETY: the caller of this function promises the same.
    let word = unsafe { word_at(chunk) }.load(Ordering::Relaxed);
    (word & LOW & !0xf) as usize
}

/// Bytes that the payload of the chunk in use at `chunk` holds, by the chunk's word alone: without
/// the heap, so without its lock. `None`: the word is not one that the heap with that key has
/// written.
///
/// # Safety
/// As [`is_sound`].
pub unsafe fn capacity_by_word(key: u64, chunk: usize) -> Option<usize> {
    // SAFETY: the caller of this function promises the same.
    let head = unsafe { Key(key).read(chunk) }.ok()?;
    // The word of a mapped chunk gives its payload's size, any other's that of the whole chunk.
    Some(if head.mapped { head.size } else { head.size.saturating_sub(WORD) })
}

/// Links of a free chunk: neighbours in its bin's list, 0 at the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Links {
    pub(super) next: usize,
    pub(super) prev: usize,
}

/// # Safety
/// `chunk` is a free chunk of the heap (at least [`MIN_CHUNK`] bytes).
pub(super) unsafe fn read_links(chunk: usize) -> Links {
    let at = (chunk + WORD) as *const usize;
    // SAFETY: a chunk has at least 32 bytes: the word, both links, the footer.
    unsafe { Links { next: at.read(), prev: at.add(1).read() } }
}

/// # Safety
/// As [`read_links`]; the payload is the heap's to write.
pub(super) unsafe fn write_links(chunk: usize, links: Links) {
    let at = (chunk + WORD) as *mut usize;
    // SAFETY: a chunk has at least 32 bytes: the word, both links, the footer.
    unsafe {
        at.write(links.next);
        at.add(1).write(links.prev);
    }
}

/// Address of the footer of a free chunk: its last word.
pub(super) const fn footer(chunk: usize, size: usize) -> usize {
    chunk + size - WORD
}

/// Could `address` be a chunk, by its low bits alone?
pub(super) const fn is_chunk_address(address: usize) -> bool {
    address % 16 == 8
}

const _: () = assert!(MIN_CHUNK == WORD + 2 * WORD + WORD);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_at_the_extremes() {
        let key = Key(0x1234_5678_9abc_def0);
        let mut slot = 0u64;
        let at = core::ptr::from_mut(&mut slot) as usize;
        for size in [0, 32, 4096, (1 << 40) - 16] {
            for flags in 0..8 {
                let head = ChunkHeader {
                    size,
                    in_use: flags & 1 != 0,
                    prev_in_use: flags & 2 != 0,
                    mapped: flags & 4 != 0,
                };
                // SAFETY: `slot` is a local word.
                let back = unsafe {
                    key.write(at, head);
                    key.read(at)
                };
                assert_eq!(back, Ok(head));
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let key = Key(7);
        let mut slot = 0u64;
        let at = core::ptr::from_mut(&mut slot) as usize;
        for bit in 0..64 {
            // SAFETY: `slot` is a local word.
            let result = unsafe {
                key.write(at, ChunkHeader::used(96, true));
                (at as *mut u64).write((at as *const u64).read() ^ (1 << bit));
                key.read(at)
            };
            assert_eq!(result, Err(Corrupt { chunk: at, what: Corruption::Word }), "bit {bit}");
        }
    }
}
