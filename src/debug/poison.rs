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
pub(super) unsafe fn poison(user: usize, size: usize, most: usize, byte: u8) {
    for (start, end) in poisoned(user, size, most) {
        // SAFETY: inside the block.
        unsafe { (start as *mut u8).write_bytes(byte, end - start) };
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

/// Are all bytes of `[start, end)` equal to `byte`? Eight words at a time are collected without a branch
/// between, so that the loop is vectorised; a byte-wise `all` costs 3 to 30 times as much.
///
/// # Safety
/// The bytes are readable.
unsafe fn is_filled(start: usize, end: usize, byte: u8) -> bool {
    let pattern = u64::from_ne_bytes([byte; 8]);
    if end - start < WORD {
        // SAFETY: every read lies in `[start, end)`.
        return (start..end).all(|at| unsafe { (at as *const u8).read() } == byte);
    }
    // SAFETY: every read lies in `[start, end)`, by the caller's word.
    let word = |at: usize| unsafe { (at as *const u64).read_unaligned() } ^ pattern;
    let mut wrong = 0;
    let mut at = start;
    while at + 8 * WORD <= end {
        for step in 0..8 {
            wrong |= word(at + step * WORD);
        }
        at += 8 * WORD;
    }
    while at + WORD <= end {
        wrong |= word(at);
        at += WORD;
    }
    // The last word may overlap what was looked at.
    wrong | word(end - WORD) == 0
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
