//! read(2), fgets(3) and the like: the bytes that they have put into a buffer are checked after the
//! call. A buffer that is said to be larger than its block is no error as long as the data fits.
//!
//! These calls are cancellation points: cancellation unwinds frames of this file, which have
//! nothing to clean up.

use core::ffi::{c_char, c_int, c_void};

use libc::{FILE, iovec, msghdr};
use mallocop::sys::errno;

use crate::check::{Access, Call, check, room, tell};
use crate::original::originals;

type Out = *mut c_void;
type Text = *mut c_char;

originals! {
    read: (c_int, Out, usize) -> isize;
    pread: (c_int, Out, usize, i64) -> isize;
    pread64: (c_int, Out, usize, i64) -> isize;
    recv: (c_int, Out, usize, c_int) -> isize;
    recvfrom: (c_int, Out, usize, c_int, Out, *mut u32) -> isize;
    readlink: (*const c_char, Out, usize) -> isize;
    readlinkat: (c_int, *const c_char, Out, usize) -> isize;
    getrandom: (Out, usize, u32) -> isize;
    __read_chk: (c_int, Out, usize, usize) -> isize;
    __pread_chk: (c_int, Out, usize, i64, usize) -> isize;
    __pread64_chk: (c_int, Out, usize, i64, usize) -> isize;
    __recv_chk: (c_int, Out, usize, usize, c_int) -> isize;
    __recvfrom_chk: (c_int, Out, usize, usize, c_int, Out, *mut u32) -> isize;
    __readlink_chk: (*const c_char, Out, usize, usize) -> isize;
    readv: (c_int, *const iovec, c_int) -> isize;
    preadv: (c_int, *const iovec, c_int, i64) -> isize;
    preadv64: (c_int, *const iovec, c_int, i64) -> isize;
    recvmsg: (c_int, *mut msghdr, c_int) -> isize;
    fread: (Out, usize, usize, *mut FILE) -> usize;
    fread_unlocked: (Out, usize, usize, *mut FILE) -> usize;
    __fread_chk: (Out, usize, usize, usize, *mut FILE) -> usize;
    __fread_unlocked_chk: (Out, usize, usize, usize, *mut FILE) -> usize;
    fgets: (Text, c_int, *mut FILE) -> Text;
    fgets_unlocked: (Text, c_int, *mut FILE) -> Text;
    __fgets_chk: (Text, usize, c_int, *mut FILE) -> Text;
    __fgets_unlocked_chk: (Text, usize, c_int, *mut FILE) -> Text;
    getcwd: (Text, usize) -> Text;
    __getcwd_chk: (Text, usize, usize) -> Text;
    getline: (*mut Text, *mut usize, *mut FILE) -> isize;
    getdelim: (*mut Text, *mut usize, c_int, *mut FILE) -> isize;
    __getdelim: (*mut Text, *mut usize, c_int, *mut FILE) -> isize;
}

/// Checks the `done` bytes of a buffer that a call has read or written; a negative number is an
/// error of the call.
pub(crate) fn check_done(call: Call, access: Access, buffer: usize, done: isize) {
    if let Ok(bytes @ 1..) = usize::try_from(done) {
        errno::preserve(|| check(call, access, buffer, bytes));
    }
}

fn check_filled(call: Call, buffer: Out, done: isize) {
    check_done(call, Access::Write, buffer as usize, done);
}

/// The same for a call that may return the length of a longer message (MSG_TRUNC) than the `bytes`
/// of its buffer.
fn check_received(call: Call, buffer: Out, bytes: usize, done: isize) {
    check_filled(call, buffer, done.min(isize::try_from(bytes).unwrap_or(isize::MAX)));
}

/// The same for several buffers that the call uses one after another.
pub(crate) unsafe fn check_parts(
    call: Call,
    access: Access,
    (parts, count): (*const iovec, usize),
    bytes: isize,
) {
    let mut rest = usize::try_from(bytes).unwrap_or(0);
    for at in 0..count {
        if rest == 0 {
            return;
        }
        // SAFETY: the kernel has used the part.
        let part = unsafe { parts.add(at).read() };
        let here = part.iov_len.min(rest);
        check_done(call, access, part.iov_base as usize, here as isize);
        rest -= here;
    }
}

/// The buffers of a message after a successful call.
pub(crate) unsafe fn parts_of(message: *const msghdr, bytes: isize) -> (*const iovec, usize) {
    if bytes <= 0 {
        return (core::ptr::null(), 0);
    }
    // SAFETY: the kernel has read it.
    let message = unsafe { message.read() };
    (message.msg_iov, message.msg_iovlen)
}

/// Defines functions that call libc's, then check: `symbol(arguments) -> result, |result| check;`.
macro_rules! found_out {
    ($($symbol:ident($($name:ident: $kind:ty),*) -> $result:ty, |$got:ident| $check:expr;)*) => {$(
        #[unsafe(no_mangle)]
        #[allow(unused_unsafe, reason = "some checks are safe functions")]
        unsafe extern "C-unwind" fn $symbol($($name: $kind),*) -> $result {
            // SAFETY: as the caller of libc's function of that name says.
            unsafe {
                let $got = match real::$symbol() {
                    Some(real) => real($($name),*),
                    None => crate::start::give_up(),
                };
                $check;
                $got
            }
        }
    )*};
}
pub(crate) use found_out;

found_out! {
    read(fd: c_int, buffer: Out, bytes: usize) -> isize,
        |got| check_filled(Call::Read, buffer, got);
    pread(fd: c_int, buffer: Out, bytes: usize, at: i64) -> isize,
        |got| check_filled(Call::Pread, buffer, got);
    pread64(fd: c_int, buffer: Out, bytes: usize, at: i64) -> isize,
        |got| check_filled(Call::Pread, buffer, got);
    recv(fd: c_int, buffer: Out, bytes: usize, flags: c_int) -> isize,
        |got| check_received(Call::Recv, buffer, bytes, got);
    recvfrom(fd: c_int, buffer: Out, bytes: usize, flags: c_int, from: Out, length: *mut u32)
        -> isize, |got| check_received(Call::Recvfrom, buffer, bytes, got);
    readlink(path: *const c_char, buffer: Out, bytes: usize) -> isize,
        |got| check_filled(Call::Readlink, buffer, got);
    readlinkat(fd: c_int, path: *const c_char, buffer: Out, bytes: usize) -> isize,
        |got| check_filled(Call::Readlink, buffer, got);
    getrandom(buffer: Out, bytes: usize, flags: u32) -> isize,
        |got| check_filled(Call::Getrandom, buffer, got);
    __read_chk(fd: c_int, buffer: Out, bytes: usize, most: usize) -> isize,
        |got| check_filled(Call::Read, buffer, got);
    __pread_chk(fd: c_int, buffer: Out, bytes: usize, at: i64, most: usize) -> isize,
        |got| check_filled(Call::Pread, buffer, got);
    __pread64_chk(fd: c_int, buffer: Out, bytes: usize, at: i64, most: usize) -> isize,
        |got| check_filled(Call::Pread, buffer, got);
    __recv_chk(fd: c_int, buffer: Out, bytes: usize, most: usize, flags: c_int) -> isize,
        |got| check_received(Call::Recv, buffer, bytes, got);
    __recvfrom_chk(
        fd: c_int, buffer: Out, bytes: usize, most: usize, flags: c_int, from: Out,
        length: *mut u32
    ) -> isize, |got| check_received(Call::Recvfrom, buffer, bytes, got);
    __readlink_chk(path: *const c_char, buffer: Out, bytes: usize, most: usize) -> isize,
        |got| check_filled(Call::Readlink, buffer, got);
    readv(fd: c_int, parts: *const iovec, count: c_int) -> isize,
        |got| check_parts(Call::Readv, Access::Write, (parts, count as usize), got);
    preadv(fd: c_int, parts: *const iovec, count: c_int, at: i64) -> isize,
        |got| check_parts(Call::Preadv, Access::Write, (parts, count as usize), got);
    preadv64(fd: c_int, parts: *const iovec, count: c_int, at: i64) -> isize,
        |got| check_parts(Call::Preadv, Access::Write, (parts, count as usize), got);
    recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> isize,
        |got| check_parts(Call::Recvmsg, Access::Write, parts_of(message, got), got);
    fread(buffer: Out, size: usize, count: usize, stream: *mut FILE) -> usize,
        |got| check_filled(Call::Fread, buffer, (got * size) as isize);
    fread_unlocked(buffer: Out, size: usize, count: usize, stream: *mut FILE) -> usize,
        |got| check_filled(Call::Fread, buffer, (got * size) as isize);
    __fread_chk(buffer: Out, most: usize, size: usize, count: usize, stream: *mut FILE) -> usize,
        |got| check_filled(Call::Fread, buffer, (got * size) as isize);
    __fread_unlocked_chk(
        buffer: Out, most: usize, size: usize, count: usize, stream: *mut FILE
    ) -> usize, |got| check_filled(Call::Fread, buffer, (got * size) as isize);
    fgets(text: Text, most: c_int, stream: *mut FILE) -> Text,
        |got| check_text(Call::Fgets, got);
    fgets_unlocked(text: Text, most: c_int, stream: *mut FILE) -> Text,
        |got| check_text(Call::Fgets, got);
    __fgets_chk(text: Text, bytes: usize, most: c_int, stream: *mut FILE) -> Text,
        |got| check_text(Call::Fgets, got);
    __fgets_unlocked_chk(text: Text, bytes: usize, most: c_int, stream: *mut FILE) -> Text,
        |got| check_text(Call::Fgets, got);
    getcwd(text: Text, bytes: usize) -> Text, |got| check_text(Call::Getcwd, got);
    __getcwd_chk(text: Text, bytes: usize, most: usize) -> Text,
        |got| check_text(Call::Getcwd, got);
}

/// Checks a text, with its NUL, that a call has written.
unsafe fn check_text(call: Call, text: Text) {
    let here = room(text as usize);
    if text.is_null() || here == crate::check::UNKNOWN {
        return;
    }
    // SAFETY: the call has written a text there.
    if unsafe { crate::plain::length(text.cast(), here) } == here {
        errno::preserve(|| tell(call, Access::Write, text as usize, here + 1));
    }
}

/// The buffer given to getline(3), and the bytes up to the end of its block.
unsafe fn given(text: *mut Text) -> (usize, usize) {
    // SAFETY: the caller of the call says that a pointer is there, or NULL.
    let start = unsafe { text.as_ref() }.map_or(0, |text| *text as usize);
    (start, room(start))
}

/// Checks a line that getline(3) has put into the given buffer, without moving it.
unsafe fn check_line(call: Call, text: *mut Text, (start, here): (usize, usize), bytes: isize) {
    // SAFETY: the call has put a pointer there, if it has found a line.
    if bytes > 0 && start != 0 && unsafe { *text } as usize == start && bytes as usize >= here {
        errno::preserve(|| tell(call, Access::Write, start, bytes as usize + 1));
    }
}

/// Defines getline(3) and the like: `symbol(more arguments) => call;`.
macro_rules! lines {
    ($($symbol:ident($($name:ident: $kind:ty),*) => $call:ident;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C-unwind" fn $symbol(
            text: *mut Text, room: *mut usize, $($name: $kind,)* stream: *mut FILE,
        ) -> isize {
            // SAFETY: as the caller of libc's function of that name says.
            unsafe {
                let given = given(text);
                let got = match real::$symbol() {
                    Some(real) => real(text, room, $($name,)* stream),
                    None => crate::start::give_up(),
                };
                check_line(Call::$call, text, given, got);
                got
            }
        }
    )*};
}

lines! {
    getline() => Getline;
    getdelim(end: c_int) => Getdelim;
    __getdelim(end: c_int) => Getdelim;
}
