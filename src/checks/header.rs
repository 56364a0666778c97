//! A block's plan, and its head: one word with size, kind, alignment and thread.

use crate::heap::Layout;
use crate::heap::size::{GRANULE, PAGE, WORD, round_up};
use crate::model::finding::{AllocKind, Block};
use crate::sys::thread_number;

/// Bytes from the payload's start to the user's.
pub const LEAD: usize = 16;
/// Least bytes of canary behind the user's.
pub const TAIL: usize = 8;
/// Largest size a head can hold.
pub const MAX_SIZE: usize = crate::heap::size::MAX_PAYLOAD - LEAD - TAIL;
/// Largest alignment a head can hold.
pub const MAX_ALIGN: usize = 1 << 31;

/// Layout of the payload for a checked block of `size` bytes. `None` for more than a head holds.
pub fn plan(size: usize, align: usize) -> Option<Layout> {
    if size > MAX_SIZE || align > MAX_ALIGN {
        return None;
    }
    Some(Layout { size: LEAD + size + TAIL, align: align.max(GRANULE), lead: LEAD })
}

/// The fields of a block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Bytes asked for.
    pub size: usize,
    /// The call it came from.
    pub kind: AllocKind,
    /// Alignment asked for; 16 at least but for Rust's blocks.
    pub align: usize,
    /// Has it a mapping of its own?
    pub mapped: bool,
    /// Number of the allocating thread.
    pub thread: u16,
    /// Is it never a leak, nor what it leads to?
    pub exempt: bool,
}

const KIND_SHIFT: u32 = 40;
const ALIGN_SHIFT: u32 = 43;
const MAPPED_SHIFT: u32 = 48;
const THREAD_SHIFT: u32 = 49;
const EXEMPT_SHIFT: u32 = 63;

/// The alignment that the head of a block notes: Rust is held to the letter of its Layouts, and
/// what else asks for less gets 16 anyway.
#[inline(always)]
pub const fn noted_align(kind: AllocKind, align: usize) -> usize {
    if matches!(kind, AllocKind::Rust) || align > GRANULE { align } else { GRANULE }
}

/// A block's kind and alignment, as its head has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockOrigin(u64);

impl BlockOrigin {
    /// Of a call for blocks on multiples of `align`, a power of two.
    #[inline(always)]
    pub(crate) const fn new(kind: AllocKind, align: usize) -> Self {
        let align = noted_align(kind, align);
        Self(((kind as u64) << KIND_SHIFT) | ((align.trailing_zeros() as u64) << ALIGN_SHIFT))
    }

    /// The call.
    pub(crate) fn kind(self) -> AllocKind {
        BlockHeader::from_bits(self.0).kind
    }

    /// The alignment.
    pub(crate) fn align(self) -> usize {
        BlockHeader::from_bits(self.0).align
    }

    /// The head of a block without a mapping of its own that may be a leak.
    #[inline(always)]
    pub(crate) const fn head_bits(self, size: usize, thread: u16) -> u64 {
        size as u64 | self.0 | ((thread as u64) << THREAD_SHIFT)
    }
}

impl BlockHeader {
    pub(crate) const fn bits(self) -> u64 {
        self.size as u64
            | BlockOrigin::new(self.kind, self.align).0
            | ((self.mapped as u64) << MAPPED_SHIFT)
            | ((self.thread as u64) << THREAD_SHIFT)
            | ((self.exempt as u64) << EXEMPT_SHIFT)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self {
            size: (bits & ((1 << KIND_SHIFT) - 1)) as usize,
            kind: AllocKind::from_code((bits >> KIND_SHIFT) as u8 & 7),
            align: 1 << ((bits >> ALIGN_SHIFT) & 31),
            mapped: (bits >> MAPPED_SHIFT) & 1 != 0,
            thread: (bits >> THREAD_SHIFT) as u16 & (thread_number::MAX_THREADS - 1) as u16,
            exempt: bits >> EXEMPT_SHIFT != 0,
        }
    }

    /// End of the block's chunk: the canary reaches up to there.
    pub(crate) const fn end(self, user: usize) -> usize {
        if self.mapped {
            round_up(user + self.size + TAIL, PAGE)
        } else {
            end_in_chunk(user, self.size)
        }
    }
}

/// As [`BlockHeader::end`] for a block without a mapping of its own. Its tail has 8 to 23 bytes,
/// the last 8 of them at a multiple of 8.
#[inline(always)]
pub(crate) const fn end_in_chunk(user: usize, size: usize) -> usize {
    user + round_up(size, GRANULE) + WORD
}

/// A head as it stands in memory, whole.
#[derive(Clone, Copy)]
pub(crate) struct HeaderWord(pub(crate) u64);

impl HeaderWord {
    /// That of the block at `user`, as it stands there.
    ///
    /// # Safety
    /// A block starts at `user` and is mapped.
    #[inline(always)]
    pub(crate) unsafe fn of(user: usize) -> Self {
        // SAFETY: a head stands in front of each block.
        Self(unsafe { ((user - LEAD) as *const u64).read() })
    }

    /// [`BlockHeader::size`].
    #[inline(always)]
    pub(crate) const fn size(self) -> usize {
        (self.0 & ((1 << KIND_SHIFT) - 1)) as usize
    }

    /// [`BlockHeader::mapped`].
    #[inline(always)]
    pub(crate) const fn is_mapped(self) -> bool {
        (self.0 >> MAPPED_SHIFT) & 1 != 0
    }

    /// [`BlockHeader::align`].
    #[inline(always)]
    pub(crate) const fn align(self) -> usize {
        1 << ((self.0 >> ALIGN_SHIFT) & 31)
    }

    /// Is its kind among these, a bit each?
    #[inline(always)]
    pub(crate) const fn is_any_of(self, kinds: u8) -> bool {
        (kinds >> ((self.0 >> KIND_SHIFT) & 7)) & 1 != 0
    }

    /// All of it.
    pub(crate) fn head(self) -> BlockHeader {
        BlockHeader::from_bits(self.0)
    }
}

/// The block as a finding speaks of it.
pub fn facts(user: usize, head: BlockHeader) -> Block {
    Block {
        user,
        size: Some(head.size),
        kind: Some(head.kind),
        align: head.align,
        thread: Some(head.thread),
        ..Block::at(user)
    }
}

const _: () = assert!(MAX_SIZE < 1 << KIND_SHIFT);
const _: () = assert!(MAX_ALIGN.trailing_zeros() < 32);
const _: () = assert!(thread_number::MAX_THREADS == 1 << (EXEMPT_SHIFT - THREAD_SHIFT));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_round_trip_at_the_extremes() {
        for size in [0, 1, MAX_SIZE] {
            for (align, thread, mapped) in [(16, 0, false), (MAX_ALIGN, 0x3fff, true)] {
                let exempt = mapped;
                let head = BlockHeader {
                    size,
                    kind: AllocKind::AlignedNewArray,
                    align,
                    mapped,
                    thread,
                    exempt,
                };
                assert_eq!(BlockHeader::from_bits(head.bits()), head);
            }
        }
        assert!(plan(MAX_SIZE + 1, 16).is_none() && plan(1, MAX_ALIGN * 2).is_none());
    }
}
