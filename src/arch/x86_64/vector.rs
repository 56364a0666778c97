//! Vectors of 16 bytes.

use core::arch::x86_64::{
    __m128i, _mm_add_epi64, _mm_and_si128, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_loadu_si128,
    _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8, _mm_set1_epi64x, _mm_storeu_si128,
    _mm_unpackhi_epi64,
};

/// Bytes of a vector.
pub const VECTOR: usize = size_of::<Vector>();

/// A vector.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Vector(__m128i);

impl Vector {
    /// All bytes the same.
    #[inline(always)]
    pub fn splat(byte: u8) -> Self {
        // SAFETY: every x86-64 processor has SSE2.
        Self(unsafe { _mm_set1_epi8(byte as i8) })
    }

    /// A word, twice.
    #[inline(always)]
    pub fn of_word(word: u64) -> Self {
        // SAFETY: every x86-64 processor has SSE2.
        Self(unsafe { _mm_set1_epi64x(word as i64) })
    }

    /// The bytes from `at` on.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub unsafe fn load(at: usize) -> Self {
        // SAFETY: the caller's bytes; no alignment is asked for.
        Self(unsafe { _mm_loadu_si128(at as *const __m128i) })
    }

    /// Stores it from `at` on.
    ///
    /// # Safety
    /// The bytes there are the caller's.
    #[inline(always)]
    pub unsafe fn store(self, at: usize) {
        // SAFETY: the caller's bytes; no alignment is asked for.
        unsafe { _mm_storeu_si128(at as *mut __m128i, self.0) };
    }

    /// The bits that both have.
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        // SAFETY: every x86-64 processor has SSE2.
        Self(unsafe { _mm_and_si128(self.0, other.0) })
    }

    /// The bits that either has.
    #[inline(always)]
    pub fn or(self, other: Self) -> Self {
        // SAFETY: every x86-64 processor has SSE2.
        Self(unsafe { _mm_or_si128(self.0, other.0) })
    }

    /// All bits set in the bytes in which both are equal.
    #[inline(always)]
    pub fn equal_bytes(self, other: Self) -> Self {
        // SAFETY: every x86-64 processor has SSE2.
        Self(unsafe { _mm_cmpeq_epi8(self.0, other.0) })
    }

    /// The sums of the two words of each, modulo 2^64.
    #[inline(always)]
    pub fn add_words(self, other: Self) -> Self {
        // SAFETY: every x86-64 processor has SSE2.
        Self(unsafe { _mm_add_epi64(self.0, other.0) })
    }

    /// Its two words, the one at the lower address first.
    #[inline(always)]
    pub fn words(self) -> [u64; 2] {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe {
            let high = _mm_unpackhi_epi64(self.0, self.0);
            [_mm_cvtsi128_si64(self.0) as u64, _mm_cvtsi128_si64(high) as u64]
        }
    }

    /// The highest bit of each byte, the first byte's lowest.
    #[inline(always)]
    pub fn high_bits(self) -> i32 {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { _mm_movemask_epi8(self.0) }
    }

    /// Has every byte its highest bit set?
    #[inline(always)]
    pub fn is_full(self) -> bool {
        self.high_bits() == 0xffff
    }
}
