//! strcpy, strlen and the like.

use core::ffi::{c_char, c_int};

use crate::check::{Access, Call, check, room, tell};
use crate::memory::{early, find, fixed};
use crate::original::originals;
use crate::plain;
use crate::texts::{ANY, Character, check_append, check_copy, check_field, length};

type Out = *mut c_char;
type In = *const c_char;

originals! {
    strlen: (In) -> usize;
    strnlen: (In, usize) -> usize;
    strcpy: (Out, In) -> Out;
    stpcpy: (Out, In) -> Out;
    strncpy: (Out, In, usize) -> Out;
    stpncpy: (Out, In, usize) -> Out;
    strcat: (Out, In) -> Out;
    strncat: (Out, In, usize) -> Out;
    strchr: (In, c_int) -> Out;
    strchrnul: (In, c_int) -> Out;
    strrchr: (In, c_int) -> Out;
    strstr: (In, In) -> Out;
    strcasestr: (In, In) -> Out;
    strspn: (In, In) -> usize;
    strcspn: (In, In) -> usize;
    strpbrk: (In, In) -> Out;
    strdup: (In) -> Out;
    __strdup: (In) -> Out;
    strndup: (In, usize) -> Out;
    __strndup: (In, usize) -> Out;
    strcoll: (In, In) -> c_int;
    strxfrm: (Out, In, usize) -> usize;
    __strcpy_chk: (Out, In, usize) -> Out;
    __stpcpy_chk: (Out, In, usize) -> Out;
    __strncpy_chk: (Out, In, usize, usize) -> Out;
    __stpncpy_chk: (Out, In, usize, usize) -> Out;
    __strcat_chk: (Out, In, usize) -> Out;
    __strncat_chk: (Out, In, usize, usize) -> Out;
}

impl Character for c_char {
    unsafe fn measure(text: In, most: usize) -> usize {
        // SAFETY: the caller of this function says so.
        unsafe {
            match real::strnlen() {
                Some(real) => real(text, most),
                None => plain::length(text.cast(), most),
            }
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn strlen(text: In) -> usize {
    let here = room(text as usize);
    if here == crate::check::UNKNOWN {
        // SAFETY: as the caller of strlen(3) says.
        return unsafe {
            match real::strlen() {
                Some(real) => real(text),
                None => plain::length(text.cast(), ANY),
            }
        };
    }
    // SAFETY: as the caller of strlen(3) says.
    unsafe { length(Call::Strlen, text, ANY) }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn strnlen(text: In, most: usize) -> usize {
    // SAFETY: as the caller of strnlen(3) says.
    unsafe { length(Call::Strnlen, text, most) }
}

/// Checks a text that the call reads up to `byte` or to its end.
unsafe fn check_up_to(call: Call, text: In, byte: c_int) {
    let here = room(text as usize);
    if here == crate::check::UNKNOWN {
        return;
    }
    // SAFETY: not more than what is there is looked at.
    let ends =
        unsafe { c_char::measure(text, here) < here || find(text.cast(), byte, here).is_some() };
    if !ends {
        tell(call, Access::Read, text as usize, here + 1);
    }
}

/// Checks a text that the call reads up to the first byte that is in `set`, or, if `is_in` is not
/// set, up to the first that is not.
unsafe fn check_span(call: Call, text: In, set: In, is_in: bool) {
    // SAFETY: as the caller of the call says.
    let bytes = unsafe { length(call, set, ANY) };
    let here = room(text as usize);
    if here == crate::check::UNKNOWN {
        return;
    }
    // SAFETY: not more than what is there is looked at.
    let ends = |at| unsafe {
        let byte = *text.add(at);
        byte == 0 || find(set.cast(), c_int::from(byte), bytes).is_some() == is_in
    };
    if !(0..here).any(ends) {
        tell(call, Access::Read, text as usize, here + 1);
    }
}

/// Checks a text in which the call looks for another one.
unsafe fn check_search(call: Call, text: In, part: In) {
    // SAFETY: as the caller of the call says.
    let bytes = unsafe { length(call, part, ANY) };
    let here = room(text as usize);
    // SAFETY: not more than what is there is looked at.
    if here == crate::check::UNKNOWN || unsafe { c_char::measure(text, here) } < here {
        return;
    }
    // SAFETY: the part has so many bytes, and not more than what is there is looked at.
    let is_found =
        |at| unsafe { plain::compare(text.add(at).cast(), part.cast(), bytes, false) == 0 };
    if bytes > here || !(0..=here - bytes).any(is_found) {
        tell(call, Access::Read, text as usize, here + 1);
    }
}

early! {
    strcpy(to: Out, from: In) -> Out, |_| check_copy(Call::Strcpy, to, from), || {
        plain::copy(to.cast(), from.cast(), plain::length(from.cast(), ANY) + 1);
        to
    };
    strchr(text: In, byte: c_int) -> Out, |_| check_up_to(Call::Strchr, text, byte), || {
        let end = plain::length(text.cast(), ANY) + 1;
        match plain::find(text.cast(), byte as u8, end) {
            Some(at) => text.add(at).cast_mut(),
            None => core::ptr::null_mut(),
        }
    };
    strstr(text: In, part: In) -> Out, |_| check_search(Call::Strstr, text, part), || {
        let bytes = plain::length(part.cast(), ANY);
        let end = plain::length(text.cast(), ANY);
        let is_found =
            |at: &usize| plain::compare(text.add(*at).cast(), part.cast(), bytes, false) == 0;
        match (0..(end + 1).saturating_sub(bytes)).find(is_found) {
            Some(at) => text.add(at).cast_mut(),
            None => core::ptr::null_mut(),
        }
    };
}

fixed! {
    stpcpy(to: Out, from: In) -> Out, |_| check_copy(Call::Stpcpy, to, from);
    strncpy(to: Out, from: In, bytes: usize) -> Out,
        |_| check_field(Call::Strncpy, to, from, bytes);
    stpncpy(to: Out, from: In, bytes: usize) -> Out,
        |_| check_field(Call::Stpncpy, to, from, bytes);
    strcat(to: Out, from: In) -> Out, |_| check_append(Call::Strcat, to, from, ANY);
    strncat(to: Out, from: In, most: usize) -> Out,
        |_| check_append(Call::Strncat, to, from, most);
    strchrnul(text: In, byte: c_int) -> Out,
        |_| check_up_to(Call::Strchrnul, text, byte);
    strrchr(text: In, byte: c_int) -> Out,
        |_| length(Call::Strrchr, text, ANY);
    strcasestr(text: In, part: In) -> Out, |_| {
        length(Call::Strcasestr, part, ANY);
        length(Call::Strcasestr, text, ANY);
    };
    strspn(text: In, set: In) -> usize, |_| check_span(Call::Strspn, text, set, false);
    strcspn(text: In, set: In) -> usize, |_| check_span(Call::Strcspn, text, set, true);
    strpbrk(text: In, set: In) -> Out, |_| check_span(Call::Strpbrk, text, set, true);
    strdup(text: In) -> Out, |_| length(Call::Strdup, text, ANY);
    __strdup(text: In) -> Out, |_| length(Call::Strdup, text, ANY);
    strndup(text: In, most: usize) -> Out, |_| length(Call::Strndup, text, most);
    __strndup(text: In, most: usize) -> Out, |_| length(Call::Strndup, text, most);
    strcoll(one: In, other: In) -> c_int, |_| {
        length(Call::Strcoll, one, ANY);
        length(Call::Strcoll, other, ANY);
    };
    __strcpy_chk(to: Out, from: In, most: usize) -> Out,
        |_| check_copy(Call::Strcpy, to, from);
    __stpcpy_chk(to: Out, from: In, most: usize) -> Out,
        |_| check_copy(Call::Stpcpy, to, from);
    __strncpy_chk(to: Out, from: In, bytes: usize, most: usize) -> Out,
        |_| check_field(Call::Strncpy, to, from, bytes);
    __stpncpy_chk(to: Out, from: In, bytes: usize, most: usize) -> Out,
        |_| check_field(Call::Stpncpy, to, from, bytes);
    __strcat_chk(to: Out, from: In, most: usize) -> Out,
        |_| check_append(Call::Strcat, to, from, ANY);
    __strncat_chk(to: Out, from: In, bytes: usize, most: usize) -> Out,
        |_| check_append(Call::Strncat, to, from, bytes);
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn strxfrm(to: Out, from: In, bytes: usize) -> usize {
    // SAFETY: as the caller of strxfrm(3) says.
    let result = unsafe {
        length(Call::Strxfrm, from, ANY);
        match real::strxfrm() {
            Some(real) => real(to, from, bytes),
            None => crate::start::give_up(),
        }
    };
    check(Call::Strxfrm, Access::Write, to as usize, bytes.min(result.saturating_add(1)));
    result
}
