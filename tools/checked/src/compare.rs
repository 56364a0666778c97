//! memcmp, strcmp and the like, which stop at the first difference.

use core::ffi::{c_char, c_int, c_void};

use crate::check::{Access, Call, UNKNOWN, room, tell};
use crate::original::originals;
use crate::plain;

type Memory = *const c_void;
type Text = *const c_char;

originals! {
    memcmp: (Memory, Memory, usize) -> c_int;
    strcmp: (Text, Text) -> c_int;
    strncmp: (Text, Text, usize) -> c_int;
    strcasecmp: (Text, Text) -> c_int;
    strncasecmp: (Text, Text, usize) -> c_int;
    strcasecmp_l: (Text, Text, Memory) -> c_int;
    strncasecmp_l: (Text, Text, usize, Memory) -> c_int;
}

/// Reports the operand whose block ends before the comparison does.
fn tell_of(call: Call, (one, other): (usize, usize), here: usize, bytes: usize) {
    let short = if room(one) == here { one } else { other };
    tell(call, Access::Read, short, bytes.max(here + 1));
}

/// Bytes that are in the blocks of both operands, at most `most`.
fn common(one: usize, other: usize, most: usize) -> usize {
    room(one).min(room(other)).min(most)
}

/// Compares memory. Bytes behind the first difference may be outside of the blocks.
unsafe fn compare_memory(call: Call, one: Memory, other: Memory, bytes: usize) -> c_int {
    let here = common(one as usize, other as usize, bytes);
    // SAFETY: as the caller of the call says.
    let compare = |bytes| unsafe {
        match real::memcmp() {
            Some(real) => real(one, other, bytes),
            None => plain::compare(one.cast(), other.cast(), bytes, false),
        }
    };
    let result = compare(here);
    if result != 0 || here == bytes {
        return result;
    }
    tell_of(call, (one as usize, other as usize), here, bytes);
    compare(bytes)
}

/// Defines comparisons of memory: `symbol => call;`.
macro_rules! memory_comparisons {
    ($($symbol:ident => $call:ident;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C-unwind" fn $symbol(one: Memory, other: Memory, bytes: usize) -> c_int {
            // SAFETY: as the caller of libc's function of that name says.
            unsafe { compare_memory(Call::$call, one, other, bytes) }
        }
    )*};
}

memory_comparisons! {
    memcmp => Memcmp;
    bcmp => Bcmp;
    __memcmpeq => Memcmp;
}

/// Checks a comparison of texts. `compare` compares a number of bytes as the call does.
fn check_texts(
    call: Call,
    (one, other): (Text, Text),
    most: usize,
    compare: impl Fn(usize) -> c_int,
) {
    let here = common(one as usize, other as usize, most);
    if here == most || here == UNKNOWN || compare(here) != 0 {
        return;
    }
    // SAFETY: both have so many bytes.
    if unsafe { plain::length(one.cast(), here) } == here {
        tell_of(call, (one as usize, other as usize), here, here + 1);
    }
}

/// Defines comparisons of texts: `symbol(more arguments) by function with a bound(its other
/// arguments), bound of this call => call;`.
macro_rules! text_comparisons {
    ($($symbol:ident($($name:ident: $kind:ty),*) by $bounded:ident($($more:ident),*), $most:expr
        => $call:ident;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C-unwind" fn $symbol(one: Text, other: Text $(, $name: $kind)*) -> c_int {
            // SAFETY: as the caller of libc's function of that name says.
            let plain = |most| unsafe { plain::compare(one.cast(), other.cast(), most, true) };
            let compare = |bytes| match real::$bounded() {
                // SAFETY: as the caller of libc's function of that name says.
                Some(real) => unsafe { real(one, other, bytes $(, $more)*) },
                None => plain(bytes),
            };
            check_texts(Call::$call, (one, other), $most, compare);
            match real::$symbol() {
                // SAFETY: as the caller of libc's function of that name says.
                Some(real) => unsafe { real(one, other $(, $name)*) },
                None => plain($most),
            }
        }
    )*};
}

text_comparisons! {
    strcmp() by strncmp(), usize::MAX => Strcmp;
    strncmp(bytes: usize) by strncmp(), bytes => Strncmp;
    strcasecmp() by strncasecmp(), usize::MAX => Strcasecmp;
    strncasecmp(bytes: usize) by strncasecmp(), bytes => Strncasecmp;
    strcasecmp_l(locale: Memory) by strncasecmp_l(locale), usize::MAX => Strcasecmp;
    strncasecmp_l(bytes: usize, locale: Memory) by strncasecmp_l(locale), bytes => Strncasecmp;
}
