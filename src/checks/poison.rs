//! Poison: the fill of a freed block, by which a late write shows. Pure.

use crate::arch::VECTOR;
use crate::arch::Vector;
use crate::arch::fill_bytes;
use crate::checks::body_checksum;
use crate::checks::damaged_bytes::describe;
use crate::heap::size::{WORD, round_up};
use crate::model::finding::{Damage, Side};

/// Where the poison of a freed block of `size` bytes lies: everywhere in one of up to twice `most`
/// bytes, else at both ends.
fn poisoned(user: usize, size: usize, most: usize) -> [(usize, usize); 2] {
    if size <= 2 * most || most >= STORE && size - 2 * most < LEAST_MIDDLE {
        [(user, user + size), (user + size, user + size)]
    } else {
        let end = end_of(most);
        [(user, user + end), (user + size - end, user + size)]
    }
}

/// Bytes that are filled at each end of a block that is not filled whole.
const fn end_of(most: usize) -> usize {
    if most < MOST_OF_END { most } else { MOST_OF_END }
}

const MOST_OF_END: usize = 256;

/// Less than so many bytes between the ends are filled, too.
const LEAST_MIDDLE: usize = 8 * WORD;

/// What lies between the ends of a freed block and is summed, the sum in its first word. `None`:
/// nothing, or so little poison is wanted that nothing is to be watched.
#[inline]
const fn middle(user: usize, size: usize, most: usize) -> Option<(usize, usize)> {
    let start = round_up(user + end_of(most), WORD);
    let end = (user + size).saturating_sub(end_of(most));
    if most >= STORE && size >= 2 * most + LEAST_MIDDLE { Some((start, end)) } else { None }
}

/// Fills both ends of a freed block with `byte`, `most` bytes each at most, and sums what lies
/// between, all of it if `may_sum` allows so many bytes. A block of fewer than [`LEAST`] bytes is
/// filled up to that many.
///
/// # Safety
/// The `size` bytes at `user` are ours, and if there is one, [`LEAST`] from there on.
#[inline(always)]
pub(crate) unsafe fn poison(
    user: usize,
    size: usize,
    most: usize,
    byte: u8,
    may_sum: impl FnOnce(usize) -> bool,
) {
    // SAFETY: inside the block, or by the caller's word behind it.
    unsafe {
        if is_small(size, most) {
            fill_small(user, size, byte);
        } else if has_long_spans(size, most) {
            fill_spans::<LONG>(user, size, byte);
        } else if has_short_spans(size, most) {
            fill_spans::<SHORT>(user, size, byte);
        } else {
            for (start, end) in poisoned(user, size, most) {
                fill_whole(start, end, byte);
            }
            if let Some((start, end)) = middle(user, size, most) {
                let all = body_checksum::is_affordable(end - start) && may_sum(end - start);
                (start as *mut u64).write(body_checksum::sum(start + WORD, end, all));
            }
        }
    }
}

/// Bytes that one store fills, the least that is filled, and four of them.
const STORE: usize = VECTOR;
pub(crate) const LEAST: usize = STORE;
const STORES: usize = 4 * STORE;

/// Where the four stores, or looks, start that cover 16 to 64 bytes. They overlap: to branch on the
/// size would cost more.
#[inline(always)]
fn parts(start: usize, size: usize) -> [usize; 4] {
    let last = size - STORE;
    [start, start + last.min(STORE), start + last.min(2 * STORE), start + last]
}

/// Are four stores, or looks, enough for all of a freed block?
#[inline(always)]
const fn is_small(size: usize, most: usize) -> bool {
    size.wrapping_sub(1) < STORES && size <= 2 * most
}

/// Fills `size` bytes, up to 64; fewer than [`LEAST`] up to that many.
///
/// # Safety
/// The bytes at `start` are ours, and [`LEAST`] of them.
#[inline(always)]
unsafe fn fill_small(start: usize, size: usize, byte: u8) {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        let pattern = Vector::splat(byte);
        for at in parts(start, size.max(STORE)) {
            pattern.store(at);
        }
    }
}

/// Fills `size` bytes; fewer than [`LEAST`] up to that many, but none is none.
///
/// # Safety
/// The bytes at `start` are ours, and if there is one, [`LEAST`] of them.
#[inline(always)]
pub(crate) unsafe fn fill(start: usize, size: usize, byte: u8) {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        if size.wrapping_sub(1) < STORES {
            fill_small(start, size, byte);
        } else {
            fill_bytes(start, size, byte);
        }
    }
}

/// Fills `[start, end)`: up to 1 KiB by stores of 16 bytes, of which the last two overlap, beyond
/// that by an instruction whose start costs more.
///
/// # Safety
/// The bytes are ours, 16 at least or none.
#[inline(always)]
unsafe fn fill_whole(start: usize, end: usize, byte: u8) {
    const MOST: usize = 1 << 10;
    // SAFETY: the caller of this function promises the same.
    unsafe {
        if end - start > MOST || end - start < STORE {
            return fill_bytes(start, end - start, byte);
        }
        let pattern = Vector::splat(byte);
        let last = end - STORE;
        for at in (start..last).step_by(STORE) {
            pattern.store(at);
        }
        pattern.store(last);
    }
}

/// Stores to a span, that is to each end of a freed block: few enough to do without a loop.
const LONG: usize = 8;
const SHORT: usize = 4;

/// Is a block filled by two long spans, which cover all of it?
#[inline(always)]
const fn has_long_spans(size: usize, most: usize) -> bool {
    size >= LONG * STORE && size <= 2 * LONG * STORE && size <= 2 * most
}

/// Is it by two short ones, which cover all of it?
#[inline(always)]
const fn has_short_spans(size: usize, most: usize) -> bool {
    size >= SHORT * STORE && size <= 2 * SHORT * STORE && size <= 2 * most
}

#[inline(always)]
const fn spans<const PARTS: usize>(user: usize, size: usize) -> [usize; 2] {
    [user, user + size - PARTS * STORE]
}

/// Fills both spans.
///
/// # Safety
/// The `size` bytes at `user` are ours, no fewer than a span has.
#[inline(always)]
unsafe fn fill_spans<const PARTS: usize>(user: usize, size: usize, byte: u8) {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        let pattern = Vector::splat(byte);
        for span in spans::<PARTS>(user, size) {
            for part in 0..PARTS {
                pattern.store(span + part * STORE);
            }
        }
    }
}

/// Are all bytes of both spans equal to `byte`?
///
/// # Safety
/// As [`fill_spans`].
#[inline(always)]
unsafe fn are_spans_filled<const PARTS: usize>(user: usize, size: usize, byte: u8) -> bool {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        let pattern = Vector::splat(byte);
        // Bits that are set in all bytes, and in any: each time the same two operations.
        let (mut all, mut any) = (pattern, pattern);
        for span in spans::<PARTS>(user, size) {
            for part in 0..PARTS {
                let bytes = Vector::load(span + part * STORE);
                (all, any) = (all.and(bytes), any.or(bytes));
            }
        }
        all.equal_bytes(any).is_full()
    }
}

/// Is the poison of a freed block as [`poison`] left it?
///
/// # Safety
/// The `size` bytes at `user` are ours, and 16 from there on readable.
#[inline(always)]
pub(crate) unsafe fn is_poisoned(user: usize, size: usize, most: usize, byte: u8) -> bool {
    // SAFETY: inside the block.
    unsafe {
        if is_small(size, most) {
            is_small_filled(user, size, byte)
        } else if has_long_spans(size, most) {
            are_spans_filled::<LONG>(user, size, byte)
        } else if has_short_spans(size, most) {
            are_spans_filled::<SHORT>(user, size, byte)
        } else {
            is_poisoned_apart(user, size, most, byte)
        }
    }
}

/// # Safety
/// As [`is_poisoned`].
#[inline(never)]
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_is_poisoned_apart"))]
unsafe fn is_poisoned_apart(user: usize, size: usize, most: usize, byte: u8) -> bool {
    // SAFETY: inside the block.
    let is_whole = |(start, end): (usize, usize)| unsafe { is_filled(start, end, byte) };
    poisoned(user, size, most).into_iter().all(is_whole)
        // SAFETY: inside the block.
        && middle(user, size, most).is_none_or(|(start, end)| unsafe {
            body_checksum::holds((start as *const u64).read(), start + WORD, end)
        })
}

/// What was written over the poison of a freed block.
///
/// # Safety
/// The `size` bytes at `user` are ours and were poisoned with the same arguments; 16 from there on
/// are readable.
pub(crate) unsafe fn poison_damage(
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
    let (start, end) = middle(user, size, most)?;
    // SAFETY: inside the block.
    let is_whole = unsafe { body_checksum::holds((start as *const u64).read(), start + WORD, end) };
    (!is_whole).then(|| {
        let (first, last) = ((start - user) as isize, (end - user) as isize - 1);
        Damage { first, last, changed: 1, certain: false, ..Damage::none(Side::AfterFree) }
    })
}

/// Are all of up to 64 bytes equal to `byte`?
///
/// # Safety
/// The bytes are readable, and 16 from `start` on.
#[inline(always)]
unsafe fn is_small_filled(start: usize, size: usize, byte: u8) -> bool {
    // SAFETY: the looks lie within `size` bytes, or for a small size in the 16 bytes from `start`
    // on.
    unsafe {
        let pattern = Vector::splat(byte);
        let equal = |at: usize| Vector::load(at).equal_bytes(pattern);
        let [a, b, c, d] = parts(start, size.max(STORE)).map(equal);
        let equal = a.and(b).and(c.and(d)).high_bits();
        // A bit for each byte; those beyond a small size do not count.
        let counted = 0xffff >> (STORE - size.min(STORE));
        equal & counted == counted
    }
}

/// Are all bytes of `[start, end)` equal to `byte`? By comparing them with themselves, one byte on:
/// libc's memcmp is as fast as memory.
///
/// # Safety
/// The bytes are readable; nobody writes to them but for the bug that is looked for.
unsafe fn is_filled(start: usize, end: usize, byte: u8) -> bool {
    // SAFETY: the caller of this function promises the same.
    let bytes = unsafe { core::slice::from_raw_parts(start as *const u8, end - start) };
    match bytes.split_last() {
        Some((last, rest)) => *last == byte && bytes.get(1..) == Some(rest),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_round_a_block_is_not_filled() {
        for most in [0, 1, 4, 15, 16, 64, 100, 128, 1000] {
            for size in [0, 1, 15, 16, 17, 31, 64, 65, 128, 200, 256, 257, 300, 513] {
                let mut buffer = vec![0u8; size + 64];
                let start = buffer.as_mut_ptr() as usize + 16;
                // SAFETY: the buffer has `size` bytes from there on, and more.
                unsafe { poison(start, size, most, 0x55, |_| true) };
                let filled = |at: usize| buffer[at + 16] == 0x55;
                let is_whole = most >= STORE && size < 2 * most + LEAST_MIDDLE;
                for at in 0..size {
                    let end = end_of(most);
                    let is_end = at < end || size - at <= end || size <= 2 * most || is_whole;
                    // In the middle there may be the sum.
                    assert!(filled(at) || !is_end, "{at} of {size}");
                    let is_odd = filled(at) && !is_end && size >= LEAST;
                    assert!(!is_odd || most >= STORE, "{at} of {size}");
                }
                let is_rounded = size != 0 && (size <= 2 * most || is_whole);
                let behind = if is_rounded { size.max(LEAST) } else { size };
                assert!(buffer[..16].iter().all(|&byte| byte == 0), "in front of {size}");
                assert!((behind..size + 48).all(|at| !filled(at)), "behind {size}, {most} filled");
            }
        }
    }

    #[test]
    fn both_ends_are_watched() {
        for most in [LONG * STORE, 4096] {
            watched(most);
        }
    }

    fn watched(most: usize) {
        for size in [
            0, 1, 7, 8, 15, 16, 17, 33, 63, 64, 65, 100, 128, 129, 255, 256, 257, 4096, 8192, 8193,
            50_000,
        ] {
            let mut buffer = vec![0u8; size + 16];
            let start = buffer.as_mut_ptr() as usize;
            // SAFETY: the buffer has `size` bytes and is used through `start` alone.
            unsafe {
                poison(start, size, most, 0x55, |_| true);
                assert_eq!(poison_damage(start, size, most, 0x55), None);
                assert!(is_poisoned(start, size, most, 0x55));
                for offset in [0, size / 3, size / 2, size.saturating_sub(1)] {
                    if size == 0 {
                        continue;
                    }
                    let byte = (start + offset) as *mut u8;
                    let before = byte.read();
                    byte.write(before ^ 3);
                    let damage = poison_damage(start, size, most, 0x55).expect("damage");
                    let found = damage.first..=damage.last;
                    assert!(found.contains(&(offset as isize)), "{offset} of {size}: {found:?}");
                    assert!(damage.certain || size >= 2 * most + LEAST_MIDDLE, "size {size}");
                    assert!(!is_poisoned(start, size, most, 0x55), "size {size}");
                    byte.write(before);
                }
            }
        }
    }
}
