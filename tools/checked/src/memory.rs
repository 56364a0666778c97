//! memcpy and the like.

use core::ffi::{c_int, c_void};

use crate::check::{Access, Call, check, check_overlap, room, tell};
use crate::original::originals;
use crate::plain;

type Out = *mut c_void;
type In = *const c_void;

originals! {
    memcpy: (Out, In, usize) -> Out;
    mempcpy: (Out, In, usize) -> Out;
    __mempcpy: (Out, In, usize) -> Out;
    memmove: (Out, In, usize) -> Out;
    memset: (Out, c_int, usize) -> Out;
    memccpy: (Out, In, c_int, usize) -> Out;
    memchr: (In, c_int, usize) -> Out;
    memrchr: (In, c_int, usize) -> Out;
    rawmemchr: (In, c_int) -> Out;
    memmem: (In, usize, In, usize) -> Out;
    bcopy: (In, Out, usize) -> ();
    bzero: (Out, usize) -> ();
    explicit_bzero: (Out, usize) -> ();
    __memcpy_chk: (Out, In, usize, usize) -> Out;
    __mempcpy_chk: (Out, In, usize, usize) -> Out;
    __memmove_chk: (Out, In, usize, usize) -> Out;
    __memset_chk: (Out, c_int, usize, usize) -> Out;
    __explicit_bzero_chk: (Out, usize, usize) -> ();
}

/// Defines functions that check, then call libc's: `symbol(arguments) -> result, |_| check;`.
macro_rules! fixed {
    ($($symbol:ident($($name:ident: $kind:ty),*) -> $result:ty, |_| $check:expr;)*) => {
        crate::memory::early! {
            $($symbol($($name: $kind),*) -> $result, |_| $check, || crate::start::give_up();)*
        }
    };
}
pub(crate) use fixed;

/// The same with `|| replacement` for when libc's function cannot be looked up yet.
macro_rules! early {
    ($($symbol:ident($($name:ident: $kind:ty),*) -> $result:ty,
        |_| $check:expr, || $plain:expr;)*) => {$(
        #[unsafe(no_mangle)]
        #[allow(unused_unsafe, reason = "some checks are safe functions")]
        unsafe extern "C-unwind" fn $symbol($($name: $kind),*) -> $result {
            // SAFETY: as the caller of libc's function of that name says.
            unsafe {
                $check;
                match real::$symbol() {
                    Some(real) => real($($name),*),
                    None => $plain,
                }
            }
        }
    )*};
}
pub(crate) use early;

/// Checks a copy.
#[inline(always)]
fn check_copy(call: Call, to: Out, from: In, bytes: usize) {
    check(call, Access::Read, from as usize, bytes);
    check(call, Access::Write, to as usize, bytes);
}

#[inline(always)]
fn check_apart(call: Call, to: Out, from: In, bytes: usize) {
    check_copy(call, to, from, bytes);
    check_overlap(call, to as usize, from as usize, bytes);
}

early! {
    memcpy(to: Out, from: In, bytes: usize) -> Out,
        |_| check_apart(Call::Memcpy, to, from, bytes), || {
            plain::copy(to.cast(), from.cast(), bytes);
            to
        };
    memmove(to: Out, from: In, bytes: usize) -> Out,
        |_| check_copy(Call::Memmove, to, from, bytes), || {
            plain::copy(to.cast(), from.cast(), bytes);
            to
        };
    mempcpy(to: Out, from: In, bytes: usize) -> Out,
        |_| check_apart(Call::Mempcpy, to, from, bytes), || {
            plain::copy(to.cast(), from.cast(), bytes);
            to.byte_add(bytes)
        };
    memset(to: Out, byte: c_int, bytes: usize) -> Out,
        |_| check(Call::Memset, Access::Write, to as usize, bytes), || {
            plain::fill(to.cast(), byte as u8, bytes);
            to
        };
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn __mempcpy(to: Out, from: In, bytes: usize) -> Out {
    // SAFETY: as the caller says.
    unsafe { mempcpy(to, from, bytes) }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn memccpy(to: Out, from: In, byte: c_int, bytes: usize) -> Out {
    let here = room(from as usize).min(bytes);
    // SAFETY: as the caller of memccpy(3) says; not more than what is there is looked at.
    let copied = unsafe { find(from, byte, here) }.map_or(bytes, |at| at + 1);
    check_apart(Call::Memccpy, to, from, copied);
    // SAFETY: as the caller of memccpy(3) says.
    unsafe {
        match real::memccpy() {
            Some(real) => real(to, from, byte, bytes),
            None => {
                plain::copy(to.cast(), from.cast(), copied);
                let is_found = copied > 0 && *from.cast::<u8>().add(copied - 1) == byte as u8;
                if is_found { to.byte_add(copied) } else { core::ptr::null_mut() }
            }
        }
    }
}

/// Index of the byte in `bytes` bytes.
pub(crate) unsafe fn find(start: In, byte: c_int, bytes: usize) -> Option<usize> {
    // SAFETY: the caller's memory, as for memchr(3).
    unsafe {
        match real::memchr() {
            Some(real) => {
                let found = real(start, byte, bytes);
                (!found.is_null()).then(|| found as usize - start as usize)
            }
            None => plain::find(start.cast(), byte as u8, bytes),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn memchr(start: In, byte: c_int, bytes: usize) -> Out {
    let here = room(start as usize).min(bytes);
    // SAFETY: as the caller of memchr(3) says; not more than what is there is looked at.
    let found = unsafe { find(start, byte, here) };
    if found.is_none() && here < bytes {
        tell(Call::Memchr, Access::Read, start as usize, bytes);
        // SAFETY: as the caller of memchr(3) says.
        let found = unsafe { find(start, byte, bytes) };
        return place(start, found);
    }
    place(start, found)
}

fn place(start: In, found: Option<usize>) -> Out {
    found.map_or(core::ptr::null_mut(), |at| start.wrapping_byte_add(at).cast_mut())
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn rawmemchr(start: In, byte: c_int) -> Out {
    let here = room(start as usize);
    // SAFETY: as the caller of rawmemchr(3) says; not more than what is there is looked at.
    match unsafe { find(start, byte, here) } {
        None => {
            tell(Call::Rawmemchr, Access::Read, start as usize, here.saturating_add(1));
            // SAFETY: as the caller of rawmemchr(3) says.
            place(start, unsafe { find(start, byte, usize::MAX) })
        }
        found => place(start, found),
    }
}

fixed! {
    memrchr(start: In, byte: c_int, bytes: usize) -> Out,
        |_| check(Call::Memrchr, Access::Read, start as usize, bytes);
    memmem(text: In, length: usize, part: In, bytes: usize) -> Out, |_| {
        check(Call::Memmem, Access::Read, part as usize, bytes);
        check(Call::Memmem, Access::Read, text as usize, length);
    };
    bcopy(from: In, to: Out, bytes: usize) -> (), |_| check_copy(Call::Bcopy, to, from, bytes);
    bzero(to: Out, bytes: usize) -> (),
        |_| check(Call::Bzero, Access::Write, to as usize, bytes);
    explicit_bzero(to: Out, bytes: usize) -> (),
        |_| check(Call::ExplicitBzero, Access::Write, to as usize, bytes);
    __memcpy_chk(to: Out, from: In, bytes: usize, most: usize) -> Out,
        |_| check_apart(Call::Memcpy, to, from, bytes);
    __mempcpy_chk(to: Out, from: In, bytes: usize, most: usize) -> Out,
        |_| check_apart(Call::Mempcpy, to, from, bytes);
    __memmove_chk(to: Out, from: In, bytes: usize, most: usize) -> Out,
        |_| check_copy(Call::Memmove, to, from, bytes);
    __memset_chk(to: Out, byte: c_int, bytes: usize, most: usize) -> Out,
        |_| check(Call::Memset, Access::Write, to as usize, bytes);
    __explicit_bzero_chk(to: Out, bytes: usize, most: usize) -> (),
        |_| check(Call::ExplicitBzero, Access::Write, to as usize, bytes);
}
