//! The bytes that blocks are filled with: eight that are no address and are the block's own. A
//! program that follows a pointer which it has read from them faults, and its registers say which
//! block that was (`fill_source.rs`). Pure.

use crate::arch::Vector;
use crate::checks::layout::{Canaries, pattern_of};
use crate::heap::size::WORD;
use crate::options::{self, Name};

/// The bytes that the freed block at `user` is filled with: those of its canaries, so that they may
/// run into the one behind. No address: the highest byte is neither 0 nor 0xff.
#[inline(always)]
pub(crate) fn poison_word(canaries: Canaries, user: usize) -> u64 {
    pattern_of(canaries, user)
}

/// The bytes that the new block at `user` is filled with. The low 48 bits are no address either:
/// programs that keep something above a pointer's bits mask them.
#[inline(always)]
pub(crate) fn fill_word(canaries: Canaries, user: usize) -> u64 {
    const KEPT: u64 = 0xffff_00ff_ffff_ffff;
    const ADDED: u64 = 0x0101_bf01_0101_0101;
    pattern_of(canaries, user) & KEPT | ADDED
}

/// The value of a fill byte's option that asks for no byte.
pub(crate) const NO_BYTE: usize = 256;

/// The eight bytes of a block's fill, as they lie in an aligned word.
#[derive(Clone, Copy)]
pub(crate) struct Fill {
    pub(crate) word: u64,
    /// Is it the same that the canary behind the block is made of, so that it may go on there?
    pub(crate) is_canary: bool,
}

impl Fill {
    /// That of the freed block at `user`.
    #[inline(always)]
    pub(crate) fn of_freed(canaries: Canaries, user: usize) -> Self {
        match options::number(Name::FreeFillByte) {
            NO_BYTE => Self { word: poison_word(canaries, user), is_canary: true },
            byte => Self::of_byte(byte as u8),
        }
    }

    /// That of the new block at `user`.
    #[inline(always)]
    pub(crate) fn of_new(canaries: Canaries, user: usize) -> Self {
        match options::number(Name::MallocFillByte) {
            NO_BYTE => Self { word: fill_word(canaries, user), is_canary: false },
            byte => Self::of_byte(byte as u8),
        }
    }

    /// One byte everywhere.
    pub(crate) const fn of_byte(byte: u8) -> Self {
        Self { word: u64::from_ne_bytes([byte; WORD]), is_canary: false }
    }

    /// One that may run on behind the block.
    #[cfg(test)]
    pub(crate) const fn that_runs_on(word: u64) -> Self {
        Self { word, is_canary: true }
    }

    /// Twice the bytes.
    #[inline(always)]
    pub(crate) fn vector(self) -> Vector {
        Vector::of_word(self.word)
    }
}
