//! Poison: the fill of a freed block, by which a late write shows. Pure.

use crate::arch::VECTOR;
use crate::arch::Vector;
use crate::arch::fill_with;
use crate::checks::body_checksum;
use crate::checks::damaged_bytes::describe;
use crate::checks::fill::Fill;
use crate::checks::layout::{pattern_at, pattern_byte};
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

/// Fills both ends of a freed block, `most` bytes each at most, and sums what lies between, all of
/// it if `may_sum` allows so many bytes. Fill that is the canary's goes on behind the block to the
/// end of its last word, and to [`STORE`] bytes.
///
/// # Safety
/// The `size` bytes at `user`, a multiple of 16, are ours, and if there is one, [`STORE`]
/// from there on.
#[inline(always)]
pub(crate) unsafe fn poison(
    user: usize,
    size: usize,
    most: usize,
    fill: Fill,
    may_sum: impl FnOnce(usize) -> bool,
) {
    // SAFETY: inside the block, or by the caller's word behind it.
    unsafe {
        if !fill.is_canary {
            poison_rarely(user, size, most, fill, may_sum);
        } else if is_small(size, most) {
            fill_small(user, size, fill);
        } else if has_long_spans(size, most) {
            fill_spans::<LONG>(user, size, fill);
        } else if has_short_spans(size, most) {
            fill_spans::<SHORT>(user, size, fill);
        } else {
            poison_rarely(user, size, most, fill, may_sum);
        }
    }
}

/// [`poison_exactly`], out of the way of small blocks.
///
/// # Safety
/// The `size` bytes at `user`, a multiple of 16, are the caller's, and nobody else uses them.
#[inline(never)]
unsafe fn poison_rarely(
    user: usize,
    size: usize,
    most: usize,
    fill: Fill,
    may_sum: impl FnOnce(usize) -> bool,
) {
    let mut may_sum = Some(may_sum);
    let mut ask = |bytes| may_sum.take().is_some_and(|may_sum| may_sum(bytes));
    // SAFETY: the caller of this function promises the same.
    unsafe { poison_exactly(user, size, most, fill, &mut ask) };
}

/// As [`poison`] for a block that lies alone, at any address: not a byte further than it goes, and
/// what lies between its ends is summed.
///
/// # Safety
/// The `size` bytes at `user` are the caller's, and nobody else uses them.
pub(crate) unsafe fn poison_apart(user: usize, size: usize, most: usize, fill: Fill) {
    // SAFETY: the caller of this function promises the same; a multiple of 16 is not needed where
    // the fill is not to run on.
    unsafe { poison_exactly(user, size, most, fill, &mut |_| true) };
}

/// Poisons a block of any size with any fill, not a byte further than the block goes.
///
/// # Safety
/// The `size` bytes at `user`, a multiple of 16, are the caller's, and nobody else uses them.
#[inline(never)]
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_poison_exactly"))]
unsafe fn poison_exactly(
    user: usize,
    size: usize,
    most: usize,
    fill: Fill,
    may_sum: &mut dyn FnMut(usize) -> bool,
) {
    // SAFETY: inside the block.
    unsafe {
        for (start, end) in poisoned(user, size, most) {
            fill_exactly(start, end, fill);
        }
        if let Some((start, end)) = middle(user, size, most) {
            let all = body_checksum::is_affordable(end - start) && may_sum(end - start);
            (start as *mut u64).write(body_checksum::sum(start + WORD, end, all));
        }
    }
}

/// Bytes that one store fills, the least that is filled, and four of them.
const STORE: usize = VECTOR;
const STORES: usize = 4 * STORE;

/// Where the four stores, or looks, start that cover a block of 1 to 64 bytes, up to the end of its
/// last word. They overlap: to branch on the size would cost more.
#[inline(always)]
const fn parts(start: usize, size: usize) -> [usize; 4] {
    let whole = round_up(size, WORD);
    let last = whole.saturating_sub(STORE);
    let second = if last < STORE { last } else { STORE };
    let third = if last < 2 * STORE { last } else { 2 * STORE };
    [start, start + second, start + third, start + last]
}

/// Are four stores, or looks, enough for all of a freed block?
#[inline(always)]
const fn is_small(size: usize, most: usize) -> bool {
    size.wrapping_sub(1) < STORES && size <= 2 * most
}

/// Fills `size` bytes, up to 64, and on to the end of the last word and to [`STORE`] bytes.
///
/// # Safety
/// The bytes at `start`, a multiple of 8, are ours.
#[inline(always)]
unsafe fn fill_small(start: usize, size: usize, fill: Fill) {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        let pattern = fill.vector();
        for at in parts(start, size) {
            pattern.store(at);
        }
    }
}

/// Fills `size` bytes, and on to the end of the last word and to [`STORE`] bytes; none if the size
/// is 0.
///
/// # Safety
/// The bytes at `start`, a multiple of 8, are ours.
#[inline(always)]
pub(crate) unsafe fn fill(start: usize, size: usize, fill: Fill) {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        if size.wrapping_sub(1) < STORES {
            fill_small(start, size, fill);
        } else {
            fill_with(start, size.div_ceil(WORD), fill.word);
        }
    }
}

/// Fills `[start, end)`, no byte more: up to 1 KiB by stores of 16 bytes, of which the last two
/// overlap, beyond that by an instruction whose start costs more.
///
/// # Safety
/// The bytes are ours.
pub(crate) unsafe fn fill_exactly(start: usize, end: usize, fill: Fill) {
    const MOST: usize = 1 << 10;
    let store = |at: usize| Vector::of_word(pattern_at(fill.word, at));
    // SAFETY: the caller of this function promises the same; a store of 16 bytes ends at `end` or
    // in front of it.
    unsafe {
        if end - start < STORE {
            for at in start..end {
                (at as *mut u8).write(pattern_byte(fill.word, at));
            }
            return;
        }
        let last = end - STORE;
        if end - start > MOST {
            fill_with(start, (end - start) / WORD, pattern_at(fill.word, start));
        } else {
            let pattern = store(start);
            for at in (start..last).step_by(STORE) {
                pattern.store(at);
            }
        }
        store(last).store(last);
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
    [user, user + round_up(size, WORD) - PARTS * STORE]
}

/// Fills both spans.
///
/// # Safety
/// The `size` bytes at `user`, no fewer than a span has, are ours, up to the end of the last word.
#[inline(always)]
unsafe fn fill_spans<const PARTS: usize>(user: usize, size: usize, fill: Fill) {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        let pattern = fill.vector();
        for span in spans::<PARTS>(user, size) {
            for part in 0..PARTS {
                pattern.store(span + part * STORE);
            }
        }
    }
}

/// Are all bytes of both spans as they were filled?
///
/// # Safety
/// As [`fill_spans`].
#[inline(always)]
unsafe fn are_spans_filled<const PARTS: usize>(user: usize, size: usize, fill: Fill) -> bool {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        let pattern = fill.vector();
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
pub(crate) unsafe fn is_poisoned(user: usize, size: usize, most: usize, fill: Fill) -> bool {
    // SAFETY: inside the block.
    unsafe {
        if !fill.is_canary {
            is_poisoned_exactly(user, size, most, fill)
        } else if is_small(size, most) {
            is_small_filled(user, size, fill)
        } else if has_long_spans(size, most) {
            are_spans_filled::<LONG>(user, size, fill)
        } else if has_short_spans(size, most) {
            are_spans_filled::<SHORT>(user, size, fill)
        } else {
            is_poisoned_exactly(user, size, most, fill)
        }
    }
}

/// # Safety
/// As [`is_poisoned`].
#[inline(never)]
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_is_poisoned_exactly"))]
unsafe fn is_poisoned_exactly(user: usize, size: usize, most: usize, fill: Fill) -> bool {
    // SAFETY: inside the block.
    let is_whole = |(start, end): (usize, usize)| unsafe { is_filled(start, end, fill) };
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
    fill: Fill,
) -> Option<Damage> {
    for (start, end) in poisoned(user, size, most) {
        // SAFETY: inside the block.
        unsafe {
            if !is_filled(start, end, fill) {
                let was = |at| pattern_byte(fill.word, at);
                return Some(describe(Side::AfterFree, user, start, end, was));
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

/// Are all of up to 64 bytes as they were filled, up to the end of the last word?
///
/// # Safety
/// The bytes are readable, and 16 from `start` on.
#[inline(always)]
unsafe fn is_small_filled(start: usize, size: usize, fill: Fill) -> bool {
    // SAFETY: the looks lie where the stores of `fill_small` do.
    unsafe {
        let pattern = fill.vector();
        let equal = |at: usize| Vector::load(at).equal_bytes(pattern);
        let [a, b, c, d] = parts(start, size).map(equal);
        a.and(b).and(c.and(d)).is_full()
    }
}

/// Are all bytes of `[start, end)` as they were filled? By comparing them with themselves, a word
/// on: libc's memcmp is as fast as memory.
///
/// # Safety
/// The bytes are readable; nobody writes to them but for the bug that is looked for.
pub(crate) unsafe fn is_filled(start: usize, end: usize, fill: Fill) -> bool {
    // SAFETY: the caller of this function promises the same.
    let bytes = unsafe { core::slice::from_raw_parts(start as *const u8, end - start) };
    let first = pattern_at(fill.word, start).to_ne_bytes();
    match bytes.split_first_chunk::<WORD>() {
        Some((word, rest)) => *word == first && bytes.get(..rest.len()) == Some(rest),
        None => first.starts_with(bytes),
    }
}

#[cfg(test)]
#[path = "poison_tests.rs"]
mod tests;
