//! Poison: the fill of a freed block, by which a late write shows. Pure.

use core::arch::x86_64::{
    __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8,
    _mm_storeu_si128,
};

use super::block::describe;
use crate::finding::{Damage, Side};
use crate::heap::size::WORD;

/// Where the poison of a freed block of `size` bytes lies: at both ends, `most` bytes each.
fn poisoned(user: usize, size: usize, most: usize) -> [(usize, usize); 2] {
    if size <= 2 * most {
        [(user, user + size), (user + size, user + size)]
    } else {
        [(user, user + most), (user + size - most, user + size)]
    }
}

/// Fills both ends of a freed block with `byte`, `most` bytes each at most.
///
/// # Safety
/// The `size` bytes at `user` are ours.
#[inline(always)]
pub(super) unsafe fn poison(user: usize, size: usize, most: usize, byte: u8) {
    // SAFETY: inside the block.
    unsafe {
        if size <= 2 * most {
            return fill(user, size, byte);
        }
        fill(user, most, byte);
        fill(user + size - most, most, byte);
    }
}

/// Bytes that one store fills, and that all of [`fill`]'s do.
const STORE: usize = size_of::<__m128i>();
const STORES: usize = 4 * STORE;

/// Where the four stores, or looks, start that cover 16 to 64 bytes. They overlap: to branch on the
/// size would cost more.
#[inline(always)]
fn parts(start: usize, size: usize) -> [usize; 4] {
    let last = size - STORE;
    [start, start + last.min(STORE), start + last.min(2 * STORE), start + last]
}

/// Fills `size` bytes.
///
/// # Safety
/// The bytes at `start` are ours.
#[inline(always)]
pub(super) unsafe fn fill(start: usize, size: usize, byte: u8) {
    // SAFETY: all stores lie in the bytes.
    unsafe {
        if !(STORE..=STORES).contains(&size) {
            return fill_apart(start, size, byte);
        }
        let pattern = _mm_set1_epi8(byte as i8);
        for at in parts(start, size) {
            _mm_storeu_si128(at as *mut __m128i, pattern);
        }
    }
}

/// The same for very small sizes, byte by byte, and for large ones, by libc.
///
/// # Safety
/// As [`fill`].
#[inline(never)]
unsafe fn fill_apart(start: usize, size: usize, byte: u8) {
    let block = start as *mut u8;
    // SAFETY: inside the bytes.
    unsafe {
        if size > STORES {
            return block.write_bytes(byte, size);
        }
        let pattern = u64::from_ne_bytes([byte; WORD]);
        if size >= WORD {
            (start as *mut u64).write_unaligned(pattern);
            return ((start + size - WORD) as *mut u64).write_unaligned(pattern);
        }
        (0..size).for_each(|at| block.add(at).write_volatile(byte));
    }
}

/// Is the poison of a freed block as [`poison`] left it?
///
/// # Safety
/// The `size` bytes at `user` are ours.
#[inline(always)]
pub(super) unsafe fn is_poisoned(user: usize, size: usize, most: usize, byte: u8) -> bool {
    // SAFETY: inside the block.
    unsafe {
        if size <= 2 * most {
            return is_filled(user, user + size, byte);
        }
        is_filled(user, user + most, byte) && is_filled(user + size - most, user + size, byte)
    }
}

/// What was written over the poison of a freed block.
///
/// # Safety
/// The `size` bytes at `user` are ours and were poisoned with the same arguments.
pub(super) unsafe fn poison_damage(
    user: usize,
    size: usize,
    most: usize,
    byte: u8,
) -> Option<Damage> {
    for (start, end) in poisoned(user, size, most) {
        // SAFETY: inside the block.
        unsafe {
            if !is_filled(start, end, byte) {
                return Some(describe(Side::AfterFree, user, start, end, |_| byte));
            }
        }
    }
    None
}

/// Are all bytes of `[start, end)` equal to `byte`?
///
/// # Safety
/// The bytes are readable.
#[inline(always)]
unsafe fn is_filled(start: usize, end: usize, byte: u8) -> bool {
    let size = end - start;
    // SAFETY: every look lies in `[start, end)`, by the caller's word.
    unsafe {
        if !(STORE..=STORES).contains(&size) {
            return is_filled_apart(start, end, byte);
        }
        let pattern = _mm_set1_epi8(byte as i8);
        let equal = |at: usize| _mm_cmpeq_epi8(_mm_loadu_si128(at as *const __m128i), pattern);
        let [a, b, c, d] = parts(start, size).map(equal);
        _mm_movemask_epi8(_mm_and_si128(_mm_and_si128(a, b), _mm_and_si128(c, d))) == 0xffff
    }
}

/// The same for very small sizes, and for large ones, by comparing them with themselves, one byte on:
/// libc's memcmp is as fast as memory.
///
/// # Safety
/// As [`is_filled`].
#[inline(never)]
unsafe fn is_filled_apart(start: usize, end: usize, byte: u8) -> bool {
    let size = end - start;
    let pattern = u64::from_ne_bytes([byte; WORD]);
    // SAFETY: every read lies in `[start, end)`, by the caller's word; nobody writes to a block that
    // waits, but for the bug that is looked for.
    unsafe {
        let word = |at: usize| (at as *const u64).read_unaligned();
        if size < WORD {
            return (start..end).all(|at| (at as *const u8).read_volatile() == byte);
        }
        if size <= STORES {
            return word(start) == pattern && word(end - WORD) == pattern;
        }
        let bytes = core::slice::from_raw_parts(start as *const u8, size);
        word(start) == pattern && bytes.get(1..) == bytes.get(..size - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_watched() {
        const MOST: usize = 4096;
        for size in [0, 1, 7, 8, 15, 16, 17, 33, 63, 64, 65, 100, 4096, 8192, 8193, 50_000] {
            let mut buffer = vec![0u8; size];
            let start = buffer.as_mut_ptr() as usize;
            // SAFETY: the buffer has `size` bytes and is used through `start` alone.
            unsafe {
                poison(start, size, MOST, 0x55);
                assert_eq!(poison_damage(start, size, MOST, 0x55), None);
                for offset in [0, size / 3, size.saturating_sub(1)] {
                    if size == 0 || (offset >= MOST && offset < size - MOST) {
                        continue;
                    }
                    let byte = (start + offset) as *mut u8;
                    byte.write(0x56);
                    let damage = poison_damage(start, size, MOST, 0x55).map(|damage| damage.first);
                    assert_eq!(damage, Some(offset as isize), "size {size}");
                    byte.write(0x55);
                }
            }
        }
    }
}
