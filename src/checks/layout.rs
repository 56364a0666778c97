//! What a block looks like inside its chunk: write, verify, describe. Pure arithmetic and memory.
//!
//! ```text
//! chunk word | head 8 | canary 8 | user bytes | canary, >= 8 bytes, to the chunk's end
//! ```
//!
//! The head holds size, kind, alignment and thread. The front canary is a pattern of the block's
//! own (keyed by its address, so that bytes copied from another block do not pass), its low 16 bits
//! mixed with a checksum of the head. Pattern bytes have their top bit set and their lowest clear:
//! no 0, no 0xff and no ASCII text passes for one.

use crate::checks::damaged_bytes::describe;
pub(crate) use crate::checks::header::HeaderWord;
use crate::checks::header::end_in_chunk;
pub use crate::checks::header::{
    BlockHeader, LEAD, MAX_ALIGN, MAX_SIZE, TAIL, facts, noted_align, plan,
};
use crate::heap::size::{WORD, round_up};
use crate::model::finding::{Damage, Side};
use crate::sys::thread_number;

/// The secret that patterns are made with.
#[derive(Clone, Copy)]
pub struct Canaries {
    /// Any number, unknown to the program.
    pub key: u64,
}

impl Canaries {
    #[inline(always)]
    fn pattern(self, user: usize) -> u64 {
        let mixed = u128::from(user as u64 ^ self.key) * 0x9e37_79b9_7f4a_7c15;
        // Low and high: blocks whose addresses differ in high bits alone differ in each byte, too.
        // No byte is one that programs write past ends: 0, 0xff, a letter.
        let spread = mixed as u64 ^ (mixed >> u64::BITS) as u64;
        (spread | 0x8080_8080_8080_8080) & !0x0101_0101_0101_0101
    }

    #[inline(always)]
    fn front(self, user: usize, head: u64) -> u64 {
        let sum = (head ^ self.key).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 48;
        self.pattern(user) ^ sum
    }

    /// Writes head and canaries of a new block.
    ///
    /// # Safety
    /// The payload at `user - 16` is ours and was planned for this head.
    #[inline(always)]
    pub unsafe fn write(self, user: usize, head: BlockHeader) {
        // SAFETY: head and front canary are the payload's first 16 bytes, the tail lies in it by
        // the plan.
        unsafe {
            self.write_head(user, head);
            self.write_tail(user, head);
        }
    }

    /// Writes the head and the canary behind it.
    ///
    /// # Safety
    /// As [`Canaries::write`], or the block is live and its owner is not at it.
    #[inline(always)]
    pub(crate) unsafe fn write_head(self, user: usize, head: BlockHeader) {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.write_head_bits(user, head.bits()) };
    }

    /// # Safety
    /// As [`Canaries::write_head`].
    #[inline(always)]
    unsafe fn write_head_bits(self, user: usize, bits: u64) {
        // SAFETY: the caller of this function promises the same.
        unsafe {
            ((user - LEAD) as *mut u64).write(bits);
            ((user - WORD) as *mut u64).write(self.front(user, bits));
        }
    }

    /// Writes head and canaries of a new block of `size` bytes without a mapping of its own.
    ///
    /// # Safety
    /// As [`Canaries::write`].
    #[inline(always)]
    pub(crate) unsafe fn write_small(self, user: usize, size: usize, bits: u64) {
        // SAFETY: the caller of this function promises the same.
        unsafe {
            self.write_head_bits(user, bits);
            self.write_small_tail(user, size);
        }
    }

    /// # Safety
    /// As [`Canaries::write`].
    #[inline(always)]
    unsafe fn write_tail(self, user: usize, head: BlockHeader) {
        let (start, end) = (user + head.size, head.end(user));
        let pattern = self.pattern(user);
        // SAFETY: `[start, end)` is the tail, by the caller's word: 8 bytes at least, and `end` is
        // a multiple of 8.
        unsafe {
            if !head.mapped {
                return self.write_small_tail(user, head.size);
            }
            (start as *mut u64).write_unaligned(pattern_at(pattern, start));
            for at in (round_up(start, WORD)..end).step_by(WORD) {
                (at as *mut u64).write(pattern);
            }
        }
    }

    /// Writes the tail of a block of `size` bytes without a mapping of its own.
    ///
    /// # Safety
    /// As [`Canaries::write`].
    #[inline(always)]
    pub(crate) unsafe fn write_small_tail(self, user: usize, size: usize) {
        let (start, end) = (user + size, end_in_chunk(user, size));
        let pattern = self.pattern(user);
        // SAFETY: the three words lie in `[start, end)`, which is the tail by the caller's word.
        unsafe {
            (start as *mut u64).write_unaligned(pattern_at(pattern, start));
            ((end - WORD) as *mut u64).write(pattern);
            (middle(start, end) as *mut u64).write(pattern);
        }
    }

    /// The head of a block if it and the front canary are whole.
    ///
    /// # Safety
    /// A block starts at `user` and is mapped.
    pub unsafe fn read_head(self, user: usize) -> Option<BlockHeader> {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.head_word(user) }.map(HeaderWord::head)
    }

    /// The head of a block whose front canary may be damaged, if the head's own checksum holds.
    ///
    /// # Safety
    /// As [`Canaries::read_head`].
    pub unsafe fn salvage_head(self, user: usize) -> Option<BlockHeader> {
        // SAFETY: head and canary stand in front of each block.
        let (bits, front) =
            unsafe { (((user - LEAD) as *const u64).read(), ((user - WORD) as *const u64).read()) };
        // A write over many blocks makes 16 bits agree somewhere: what they vouch for must make
        // sense.
        let head = BlockHeader::from_bits(bits);
        let agrees = (front ^ self.front(user, bits)) & 0xffff == 0;
        (agrees && user.is_multiple_of(head.align) && thread_number::is_numbered(head.thread))
            .then_some(head)
    }

    /// Verifies head and canaries. The head comes with the damage where it is whole.
    ///
    /// # Safety
    /// As [`Canaries::read_head`].
    #[inline]
    pub unsafe fn verify(self, user: usize) -> Result<BlockHeader, (Option<BlockHeader>, Damage)> {
        // SAFETY: the caller of this function promises the same.
        unsafe {
            let Some(head) = self.read_head(user) else {
                return Err((self.salvage_head(user), self.front_damage(user)));
            };
            match self.tail_damage(user, head) {
                Some(damage) => Err((Some(head), damage)),
                None => Ok(head),
            }
        }
    }

    /// The head of a block whose head and canaries are whole, or of one with a mapping of its own
    /// whose head is: [`Canaries::verify`] without the reasons, for the paths that everything
    /// takes.
    ///
    /// # Safety
    /// As [`Canaries::read_head`].
    #[inline(always)]
    pub(crate) unsafe fn whole(self, user: usize) -> Option<HeaderWord> {
        // SAFETY: as the caller says; the tail is where the whole head says.
        unsafe {
            let word = self.head_word(user)?;
            (word.is_mapped() || self.tail_holds(user, word.size())).then_some(word)
        }
    }

    /// The head of a block if it and the front canary are whole.
    ///
    /// # Safety
    /// As [`Canaries::read_head`].
    #[inline(always)]
    pub(crate) unsafe fn head_word(self, user: usize) -> Option<HeaderWord> {
        // SAFETY: head and canary stand in front of each block.
        let (bits, front) =
            unsafe { (((user - LEAD) as *const u64).read(), ((user - WORD) as *const u64).read()) };
        (front == self.front(user, bits)).then_some(HeaderWord(bits))
    }

    /// Is the tail of a block of `size` bytes, without a mapping of its own, as written?
    ///
    /// # Safety
    /// As [`Canaries::read_head`]; the block has that size.
    #[inline(always)]
    unsafe fn tail_holds(self, user: usize, size: usize) -> bool {
        let (start, end) = (user + size, end_in_chunk(user, size));
        let pattern = self.pattern(user);
        // SAFETY: the three words lie in `[start, end)`, the block's tail.
        unsafe {
            let first = (start as *const u64).read_unaligned() ^ pattern_at(pattern, start);
            let middle = (middle(start, end) as *const u64).read() ^ pattern;
            let last = ((end - WORD) as *const u64).read() ^ pattern;
            first | middle | last == 0
        }
    }

    /// Are the canaries of a block of `size` bytes, without a mapping of its own, whole, and is its
    /// head?
    ///
    /// # Safety
    /// As [`Canaries::read_head`]; the block was written with that size.
    #[inline(always)]
    pub(crate) unsafe fn are_whole(self, user: usize, size: usize) -> bool {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.head_word(user).is_some() && self.tail_holds(user, size) }
    }

    /// Not 0 if a byte of the tail is not as written.
    ///
    /// # Safety
    /// As [`Canaries::read_head`]; `head` is the block's.
    unsafe fn tail_difference(self, user: usize, head: BlockHeader) -> u64 {
        let (start, end) = (user + head.size, head.end(user));
        let pattern = self.pattern(user);
        // SAFETY: `[start, end)` is the block's tail: 8 bytes at least, and `end` is a multiple of
        // 8.
        unsafe {
            let first = (start as *const u64).read_unaligned() ^ pattern_at(pattern, start);
            let aligned = (round_up(start, WORD)..end).step_by(WORD);
            aligned.fold(first, |wrong, at| wrong | ((at as *const u64).read() ^ pattern))
        }
    }

    /// # Safety
    /// As [`Canaries::read_head`]; `head` is the block's.
    unsafe fn tail_damage(self, user: usize, head: BlockHeader) -> Option<Damage> {
        let (start, end) = (user + head.size, head.end(user));
        let pattern = self.pattern(user);
        // SAFETY: the caller of this function promises the same.
        if unsafe { self.tail_difference(user, head) } == 0 {
            return None;
        }
        // SAFETY: the head is the block's and its tail is readable, by the caller's word.
        Some(unsafe { describe(Side::Past, user, start, end, |at| pattern_byte(pattern, at)) })
    }

    /// What is wrong in front of a block whose head or front canary does not hold.
    ///
    /// # Safety
    /// As [`Canaries::read_head`].
    unsafe fn front_damage(self, user: usize) -> Damage {
        let pattern = self.pattern(user);
        // The low two bytes depend on the head: they count as changed if nothing above did.
        // SAFETY: the front canary's upper six bytes, then all in front of them.
        unsafe {
            let mut damage =
                describe(Side::Before, user, user - 6, user, |at| pattern_byte(pattern, at));
            if damage.is_empty() {
                damage = describe(Side::Before, user, user - LEAD, user - 6, |_| 0);
                damage.certain = false;
            }
            damage
        }
    }

    /// Are the canary bytes directly in front of the block whole?
    ///
    /// # Safety
    /// As [`Canaries::read_head`].
    pub unsafe fn last_front_byte_holds(self, user: usize) -> bool {
        let at = user - 1;
        // SAFETY: the front canary's last byte.
        unsafe { (at as *const u8).read() == pattern_byte(self.pattern(user), at) }
    }

    /// Makes the canaries of a damaged block whole again, to go on with it.
    ///
    /// # Safety
    /// As [`Canaries::read_head`]; the block is ours alone.
    pub unsafe fn mend(self, user: usize, head: BlockHeader) {
        // SAFETY: the block was planned for this head.
        unsafe { self.write(user, head) };
    }
}

/// The pattern of the block at `user`, an aligned word of its canaries.
#[inline(always)]
pub(crate) fn pattern_of(canaries: Canaries, user: usize) -> u64 {
    canaries.pattern(user)
}

/// Address of the word in front of a tail's last one where the tail reaches that far, else of the
/// last: with the first eight bytes these two are all of a tail of up to 23.
#[inline(always)]
const fn middle(start: usize, end: usize) -> usize {
    if end - 2 * WORD > start { end - 2 * WORD } else { end - WORD }
}

/// The eight bytes of a pattern from an address on.
#[inline(always)]
pub(crate) const fn pattern_at(pattern: u64, at: usize) -> u64 {
    pattern.rotate_right(8 * (at % WORD) as u32)
}

/// Byte of a pattern at an address: patterns are laid out in aligned words.
pub(crate) fn pattern_byte(pattern: u64, at: usize) -> u8 {
    (pattern >> (8 * (at % WORD))) as u8
}

const _: () = assert!(WORD + LEAD + TAIL == crate::heap::size::MIN_CHUNK);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::size::GRANULE;
    use crate::model::finding::AllocKind;

    const CANARIES: Canaries = Canaries { key: 0x1234_5678_9abc_def1 };

    /// A planned block of `size` bytes in a buffer of its own.
    fn with_block(size: usize, test: impl FnOnce(usize, BlockHeader)) {
        let mut buffer = vec![0u128; (size + 80) / 16];
        let user = buffer.as_mut_ptr() as usize + LEAD;
        let head = BlockHeader {
            size,
            kind: AllocKind::New,
            align: 16,
            mapped: false,
            thread: 3,
            exempt: false,
        };
        // SAFETY: the buffer holds the block and its canaries.
        unsafe { CANARIES.write(user, head) };
        test(user, head);
    }

    fn poke(at: usize, byte: u8) {
        // SAFETY: tests poke into their own buffers.
        unsafe { (at as *mut u8).write(byte) };
    }

    /// A write over thousands of blocks makes the checksum agree at some of them.
    #[test]
    fn a_head_that_makes_no_sense_is_not_salvaged() {
        let memory = vec![0x7878_7878_7878_7878u64; 1 << 18];
        let start = memory.as_ptr() as usize + LEAD;
        for user in (start..start + (1 << 21) - LEAD).step_by(GRANULE) {
            // SAFETY: head and canary lie in the test's memory.
            assert_eq!(unsafe { CANARIES.salvage_head(user) }, None, "at {user:#x}");
        }
    }

    #[test]
    fn every_byte_round_a_block_is_watched() {
        for size in 0..40 {
            with_block(size, |user, head| {
                // SAFETY: the block is in the test's buffer.
                assert_eq!(unsafe { CANARIES.verify(user) }, Ok(head));
            });
            for offset in (-16..0).chain(size as isize..size as isize + 8) {
                for byte in [0, b'A', 0xff] {
                    with_block(size, |user, _| {
                        let at = user.wrapping_add_signed(offset);
                        // SAFETY: the block is in the test's buffer.
                        if unsafe { (at as *const u8).read() } == byte {
                            return;
                        }
                        poke(at, byte);
                        // SAFETY: the block is in the test's buffer, head and tail included.
                        let Err((_, damage)) = (unsafe { CANARIES.verify(user) }) else {
                            panic!("byte {offset} of a {size}-byte block is not watched")
                        };
                        let side = if offset < 0 { Side::Before } else { Side::Past };
                        assert_eq!(damage.side, side);
                        if damage.certain {
                            assert_eq!(
                                (damage.first, damage.last, damage.changed),
                                (offset, offset, 1)
                            );
                        }
                    });
                }
            }
        }
    }
}
