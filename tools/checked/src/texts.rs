//! Checks of texts that end with a NUL, of characters of any size.

use crate::check::{Access, Call, UNKNOWN, check, check_overlap, room, tell};

/// A character of a text.
pub(crate) trait Character: Copy {
    /// Number of characters in front of the NUL, at most `most`.
    ///
    /// # Safety
    /// As for strnlen(3).
    unsafe fn measure(text: *const Self, most: usize) -> usize;
}

/// No limit.
pub(crate) const ANY: usize = usize::MAX;

const fn bytes_of<C: Character>(count: usize) -> usize {
    count.saturating_mul(size_of::<C>())
}

/// Number of characters from `text` to the end of its block, at most `most`; `most` if it is in no
/// block.
pub(crate) fn room_for<C: Character>(text: *const C, most: usize) -> usize {
    match room(text as usize) {
        UNKNOWN => most,
        bytes => (bytes / size_of::<C>()).min(most),
    }
}

/// Length of a text that the call reads, at most `most`. Reports a text that has no end in its
/// block.
///
/// # Safety
/// As the call asks of `text`.
pub(crate) unsafe fn length<C: Character>(call: Call, text: *const C, most: usize) -> usize {
    let here = room_for(text, most);
    // SAFETY: by the caller's promise; no more than the block has is read.
    let length = unsafe { C::measure(text, here) };
    if length < here || here == most {
        return length;
    }
    tell(call, Access::Read, text as usize, bytes_of::<C>(here + 1));
    // SAFETY: by the caller's promise.
    unsafe { C::measure(text, most) }
}

/// Checks `count` characters.
pub(crate) fn check_count<C: Character>(call: Call, access: Access, at: *const C, count: usize) {
    check(call, access, at as usize, bytes_of::<C>(count));
}

/// Checks a copy of a whole text.
///
/// # Safety
/// As the call asks of `from`.
pub(crate) unsafe fn check_copy<C: Character>(call: Call, to: *mut C, from: *const C) {
    // SAFETY: by the caller's promise.
    let count = unsafe { length(call, from, ANY) } + 1;
    check_count(call, Access::Write, to, count);
    check_overlap(call, to as usize, from as usize, bytes_of::<C>(count));
}

/// Checks a copy into a field of `count` characters, which is filled up with NULs.
///
/// # Safety
/// As the call asks of `from`.
pub(crate) unsafe fn check_field<C: Character>(
    call: Call,
    to: *mut C,
    from: *const C,
    count: usize,
) {
    // SAFETY: by the caller's promise.
    let read = unsafe { length(call, from, count) };
    check_count(call, Access::Write, to, count);
    check_overlap(call, to as usize, from as usize, bytes_of::<C>((read + 1).min(count)));
}

/// Checks that a text, at most `most` characters of it, fits behind another one.
///
/// # Safety
/// As the call asks of both.
pub(crate) unsafe fn check_append<C: Character>(
    call: Call,
    to: *mut C,
    from: *const C,
    most: usize,
) {
    // SAFETY: by the caller's promise.
    let (before, count) = unsafe { (length(call, to, ANY), length(call, from, most) + 1) };
    let end = to.wrapping_add(before);
    if before + count > room_for(to, ANY) {
        tell(call, Access::Write, end as usize, bytes_of::<C>(count));
    }
    check_overlap(call, end as usize, from as usize, bytes_of::<C>(count));
}
