//! Replacements for functions that an IFUNC resolver may call while the loader relocates, when no
//! symbol can be looked up.

/// As memcpy(3) and memmove(3).
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, bytes: usize) {
    let is_behind = (to as usize).wrapping_sub(from as usize) < bytes;
    for step in 0..bytes {
        let at = if is_behind { bytes - 1 - step } else { step };
        // SAFETY: the caller's memory, as for memmove(3).
        unsafe { *to.add(at) = *from.add(at) };
    }
}

/// As memset(3).
pub(crate) unsafe fn fill(to: *mut u8, byte: u8, bytes: usize) {
    for at in 0..bytes {
        // SAFETY: the caller's memory, as for memset(3).
        unsafe { *to.add(at) = byte };
    }
}

/// As memchr(3), with an index as result.
pub(crate) unsafe fn find(start: *const u8, byte: u8, bytes: usize) -> Option<usize> {
    // SAFETY: the caller's memory up to the byte, as for memchr(3).
    (0..bytes).find(|&at| unsafe { *start.add(at) } == byte)
}

/// As strnlen(3).
pub(crate) unsafe fn length(text: *const u8, most: usize) -> usize {
    // SAFETY: the caller's memory up to the end, as for strnlen(3).
    unsafe { find(text, 0, most) }.unwrap_or(most)
}

/// As memcmp(3), or as strncmp(3) if `ends` is set.
pub(crate) unsafe fn compare(one: *const u8, other: *const u8, bytes: usize, ends: bool) -> i32 {
    for at in 0..bytes {
        // SAFETY: the caller's memory up to the first difference, or the end.
        let (a, b) = unsafe { (*one.add(at), *other.add(at)) };
        if a != b || ends && a == 0 {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}
