//! wcscpy, wmemcpy and the like; a wide character has four bytes.

use core::ffi::c_int;

use crate::check::{Access, Call, check_overlap, tell};
use crate::memory::fixed;
use crate::original::originals;
use crate::texts::{
    ANY, Character, check_append, check_copy, check_count, check_field, length, room_for,
};

type Wide = u32;
type Out = *mut Wide;
type In = *const Wide;

originals! {
    wcslen: (In) -> usize;
    wcsnlen: (In, usize) -> usize;
    wcscpy: (Out, In) -> Out;
    wcpcpy: (Out, In) -> Out;
    wcsncpy: (Out, In, usize) -> Out;
    wcpncpy: (Out, In, usize) -> Out;
    wcscat: (Out, In) -> Out;
    wcsncat: (Out, In, usize) -> Out;
    wcscmp: (In, In) -> c_int;
    wcsncmp: (In, In, usize) -> c_int;
    wcschr: (In, Wide) -> Out;
    wcsrchr: (In, Wide) -> Out;
    wcsdup: (In) -> Out;
    wmemcpy: (Out, In, usize) -> Out;
    wmempcpy: (Out, In, usize) -> Out;
    wmemmove: (Out, In, usize) -> Out;
    wmemset: (Out, Wide, usize) -> Out;
    wmemcmp: (In, In, usize) -> c_int;
    wmemchr: (In, Wide, usize) -> Out;
    __wcscpy_chk: (Out, In, usize) -> Out;
    __wcpcpy_chk: (Out, In, usize) -> Out;
    __wcsncpy_chk: (Out, In, usize, usize) -> Out;
    __wcpncpy_chk: (Out, In, usize, usize) -> Out;
    __wcscat_chk: (Out, In, usize) -> Out;
    __wcsncat_chk: (Out, In, usize, usize) -> Out;
    __wmemcpy_chk: (Out, In, usize, usize) -> Out;
    __wmempcpy_chk: (Out, In, usize, usize) -> Out;
    __wmemmove_chk: (Out, In, usize, usize) -> Out;
    __wmemset_chk: (Out, Wide, usize, usize) -> Out;
}

impl Character for Wide {
    unsafe fn measure(text: In, most: usize) -> usize {
        // SAFETY: the caller of this function says so.
        unsafe { find(text, most, |wide| wide == 0) }.unwrap_or(most)
    }
}

/// Index of the first of `most` characters that ends a search.
unsafe fn find(text: In, most: usize, ends: impl Fn(Wide) -> bool) -> Option<usize> {
    // SAFETY: the caller's memory up to that character.
    (0..most).find(|&at| ends(unsafe { text.add(at).read_unaligned() }))
}

fn check_memory(call: Call, to: Out, from: In, count: usize, is_apart: bool) {
    check_count(call, Access::Read, from, count);
    check_count(call, Access::Write, to, count);
    if is_apart {
        check_overlap(call, to as usize, from as usize, count.saturating_mul(size_of::<Wide>()));
    }
}

/// Checks characters that the call reads up to the first that `ends` accepts.
unsafe fn check_up_to(call: Call, text: In, most: usize, ends: impl Fn(Wide) -> bool) {
    let here = room_for(text, most);
    // SAFETY: not more than what is there is looked at.
    if here < most && unsafe { find(text, here, ends) }.is_none() {
        tell(call, Access::Read, text as usize, (here + 1) * size_of::<Wide>());
    }
}

/// Checks a comparison that ends at the first difference and, if `ends` is set, at a NUL.
unsafe fn check_comparison(call: Call, one: In, other: In, most: usize, ends: bool) {
    let here = room_for(one, most).min(room_for(other, most));
    if here == most {
        return;
    }
    // SAFETY: both have so many characters.
    let stops = |at| unsafe {
        let (a, b) = (one.add(at).read_unaligned(), other.add(at).read_unaligned());
        a != b || ends && a == 0
    };
    if !(0..here).any(stops) {
        let short = if room_for(one, most) == here { one } else { other };
        tell(call, Access::Read, short as usize, (here + 1) * size_of::<Wide>());
    }
}

fixed! {
    wcslen(text: In) -> usize, |_| check_up_to(Call::Wcslen, text, ANY, |wide| wide == 0);
    wcsnlen(text: In, most: usize) -> usize,
        |_| check_up_to(Call::Wcsnlen, text, most, |wide| wide == 0);
    wcscpy(to: Out, from: In) -> Out, |_| check_copy(Call::Wcscpy, to, from);
    wcpcpy(to: Out, from: In) -> Out, |_| check_copy(Call::Wcpcpy, to, from);
    wcsncpy(to: Out, from: In, count: usize) -> Out,
        |_| check_field(Call::Wcsncpy, to, from, count);
    wcpncpy(to: Out, from: In, count: usize) -> Out,
        |_| check_field(Call::Wcpncpy, to, from, count);
    wcscat(to: Out, from: In) -> Out, |_| check_append(Call::Wcscat, to, from, ANY);
    wcsncat(to: Out, from: In, most: usize) -> Out,
        |_| check_append(Call::Wcsncat, to, from, most);
    wcscmp(one: In, other: In) -> c_int,
        |_| check_comparison(Call::Wcscmp, one, other, ANY, true);
    wcsncmp(one: In, other: In, most: usize) -> c_int,
        |_| check_comparison(Call::Wcsncmp, one, other, most, true);
    wcschr(text: In, wide: Wide) -> Out,
        |_| check_up_to(Call::Wcschr, text, ANY, |at| at == wide || at == 0);
    wcsrchr(text: In, wide: Wide) -> Out, |_| length(Call::Wcsrchr, text, ANY);
    wcsdup(text: In) -> Out, |_| length(Call::Wcsdup, text, ANY);
    wmemcpy(to: Out, from: In, count: usize) -> Out,
        |_| check_memory(Call::Wmemcpy, to, from, count, true);
    wmempcpy(to: Out, from: In, count: usize) -> Out,
        |_| check_memory(Call::Wmempcpy, to, from, count, true);
    wmemmove(to: Out, from: In, count: usize) -> Out,
        |_| check_memory(Call::Wmemmove, to, from, count, false);
    wmemset(to: Out, wide: Wide, count: usize) -> Out,
        |_| check_count(Call::Wmemset, Access::Write, to, count);
    wmemcmp(one: In, other: In, count: usize) -> c_int,
        |_| check_comparison(Call::Wmemcmp, one, other, count, false);
    wmemchr(text: In, wide: Wide, count: usize) -> Out,
        |_| check_up_to(Call::Wmemchr, text, count, |at| at == wide);
    __wcscpy_chk(to: Out, from: In, most: usize) -> Out,
        |_| check_copy(Call::Wcscpy, to, from);
    __wcpcpy_chk(to: Out, from: In, most: usize) -> Out,
        |_| check_copy(Call::Wcpcpy, to, from);
    __wcsncpy_chk(to: Out, from: In, count: usize, most: usize) -> Out,
        |_| check_field(Call::Wcsncpy, to, from, count);
    __wcpncpy_chk(to: Out, from: In, count: usize, most: usize) -> Out,
        |_| check_field(Call::Wcpncpy, to, from, count);
    __wcscat_chk(to: Out, from: In, most: usize) -> Out,
        |_| check_append(Call::Wcscat, to, from, ANY);
    __wcsncat_chk(to: Out, from: In, count: usize, most: usize) -> Out,
        |_| check_append(Call::Wcsncat, to, from, count);
    __wmemcpy_chk(to: Out, from: In, count: usize, most: usize) -> Out,
        |_| check_memory(Call::Wmemcpy, to, from, count, true);
    __wmempcpy_chk(to: Out, from: In, count: usize, most: usize) -> Out,
        |_| check_memory(Call::Wmempcpy, to, from, count, true);
    __wmemmove_chk(to: Out, from: In, count: usize, most: usize) -> Out,
        |_| check_memory(Call::Wmemmove, to, from, count, false);
    __wmemset_chk(to: Out, wide: Wide, count: usize, most: usize) -> Out,
        |_| check_count(Call::Wmemset, Access::Write, to, count);
}
