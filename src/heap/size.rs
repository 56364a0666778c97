//! Request -> chunk size: checked arithmetic on sizes and alignments. All sizes are in bytes.

/// Every chunk size is a multiple of this, and every payload address too.
pub const GRANULE: usize = 16;
/// Bytes of the word in front of each payload.
pub const WORD: usize = 8;
/// Smallest chunk: its word, two links and the footer a free chunk needs.
pub const MIN_CHUNK: usize = 32;
/// Largest payload: the chunk word has 36 bits for the size in granules.
pub const MAX_PAYLOAD: usize = (1 << 40) - 4 * PAGE;
/// Unit in which memory comes from a page source.
pub const PAGE: usize = 4096;

/// A caller's request to the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes the payload must hold.
    pub size: usize,
    /// Power of two that `payload + lead` must be a multiple of.
    pub align: usize,
    /// Bytes from the payload's start to the address that is aligned: the caller's own head.
    /// A multiple of [`GRANULE`].
    pub lead: usize,
}

impl Layout {
    /// A payload of `size` bytes with the alignment every payload has (16).
    pub const fn plain(size: usize) -> Self {
        Self { size, align: GRANULE, lead: 0 }
    }

    /// Size of the chunk that holds this payload, before any slack for alignment.
    /// `None` when it exceeds [`MAX_PAYLOAD`].
    pub fn chunk_size(&self) -> Option<usize> {
        if self.size > MAX_PAYLOAD {
            return None;
        }
        Some(round_up(self.size + WORD, GRANULE).max(MIN_CHUNK))
    }

    /// Is the alignment more than every payload has anyway?
    pub fn is_aligned(&self) -> bool {
        self.align > GRANULE
    }
}

/// `n` rounded up to a multiple of `to`, a power of two. The caller keeps `n + to` below 2^64.
pub const fn round_up(n: usize, to: usize) -> usize {
    (n + (to - 1)) & !(to - 1)
}

/// `n` rounded down to a multiple of `to`, a power of two.
pub const fn round_down(n: usize, to: usize) -> usize {
    n & !(to - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_hold_word_and_payload() {
        for (payload, chunk) in [(0, 32), (1, 32), (24, 32), (25, 48), (40, 48), (41, 64)] {
            assert_eq!(Layout::plain(payload).chunk_size(), Some(chunk), "payload {payload}");
        }
    }

    #[test]
    fn absurd_sizes_are_refused_not_wrapped() {
        for size in [MAX_PAYLOAD + 1, isize::MAX as usize, usize::MAX - 7, usize::MAX] {
            assert_eq!(Layout::plain(size).chunk_size(), None, "size {size:#x}");
        }
    }
}
