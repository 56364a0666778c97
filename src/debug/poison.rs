//! Poison: the fill of a freed block, by which a late write shows. Pure.

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

/// Fills `size` bytes. Small ones by a few stores that may overlap: a call costs more.
///
/// # Safety
/// The bytes at `start` are ours.
#[inline(always)]
pub(super) unsafe fn fill(start: usize, size: usize, byte: u8) {
    const HALF: usize = 16;
    let at = |offset: usize| (start + offset) as *mut [u8; HALF];
    // SAFETY: all stores lie in the bytes.
    unsafe {
        if !(HALF..=4 * HALF).contains(&size) {
            return (start as *mut u8).write_bytes(byte, size);
        }
        at(0).write([byte; HALF]);
        at(size - HALF).write([byte; HALF]);
        if size > 2 * HALF {
            at(HALF).write([byte; HALF]);
            at(size - 2 * HALF).write([byte; HALF]);
        }
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

/// Are all bytes of `[start, end)` equal to `byte`? Long ones by comparing them with themselves, one
/// byte on: libc's memcmp is as fast as memory. A byte-wise `all` costs 3 to 30 times as much.
///
/// # Safety
/// The bytes are readable.
#[inline(always)]
unsafe fn is_filled(start: usize, end: usize, byte: u8) -> bool {
    let size = end - start;
    // SAFETY: every read lies in `[start, end)`, by the caller's word.
    let word = |at: usize| unsafe { (at as *const u64).read_unaligned() };
    let pattern = u64::from_ne_bytes([byte; WORD]);
    let two = |at: usize| (word(at) ^ pattern) | (word(at + WORD) ^ pattern);
    if size < 2 * WORD {
        // SAFETY: as above.
        return (start..end).all(|at| unsafe { (at as *const u8).read() } == byte);
    }
    if size > 8 * WORD {
        // SAFETY: as above; nobody writes to a block that waits, but for the bug that is looked for.
        let bytes = unsafe { core::slice::from_raw_parts(start as *const u8, size) };
        return word(start) == pattern && bytes.get(1..) == bytes.get(..size - 1);
    }
    // The looks may overlap.
    let mut wrong = two(start) | two(end - 2 * WORD);
    if size > 4 * WORD {
        wrong |= two(start + 2 * WORD) | two(end - 4 * WORD);
    }
    wrong == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_watched() {
        const MOST: usize = 4096;
        for size in [0, 1, 7, 8, 100, 4096, 8192, 8193, 50_000] {
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
