//! write(2), fwrite(3) and the like: the bytes that they have taken from a buffer are checked after
//! the call. Most are cancellation points, as the calls in [`crate::input`] are.

use core::ffi::{c_char, c_int, c_void};

use crate::check::{Access, Call};
use crate::input::{check_done, check_parts, found_out, parts_of};
use crate::memory::fixed;
use crate::original::originals;
use crate::texts::length;
use libc::{FILE, iovec, msghdr};

type In = *const c_void;

originals! {
    write: (c_int, In, usize) -> isize;
    pwrite: (c_int, In, usize, i64) -> isize;
    pwrite64: (c_int, In, usize, i64) -> isize;
    send: (c_int, In, usize, c_int) -> isize;
    sendto: (c_int, In, usize, c_int, In, u32) -> isize;
    writev: (c_int, *const iovec, c_int) -> isize;
    pwritev: (c_int, *const iovec, c_int, i64) -> isize;
    pwritev64: (c_int, *const iovec, c_int, i64) -> isize;
    sendmsg: (c_int, *const msghdr, c_int) -> isize;
    fwrite: (In, usize, usize, *mut FILE) -> usize;
    fwrite_unlocked: (In, usize, usize, *mut FILE) -> usize;
    fputs: (*const c_char, *mut FILE) -> c_int;
    fputs_unlocked: (*const c_char, *mut FILE) -> c_int;
    puts: (*const c_char) -> c_int;
}

fn check_taken(call: Call, buffer: In, done: isize) {
    check_done(call, Access::Read, buffer as usize, done);
}

found_out! {
    write(fd: c_int, buffer: In, bytes: usize) -> isize,
        |got| check_taken(Call::Write, buffer, got);
    pwrite(fd: c_int, buffer: In, bytes: usize, at: i64) -> isize,
        |got| check_taken(Call::Pwrite, buffer, got);
    pwrite64(fd: c_int, buffer: In, bytes: usize, at: i64) -> isize,
        |got| check_taken(Call::Pwrite, buffer, got);
    send(fd: c_int, buffer: In, bytes: usize, flags: c_int) -> isize,
        |got| check_taken(Call::Send, buffer, got);
    sendto(fd: c_int, buffer: In, bytes: usize, flags: c_int, to: In, length: u32) -> isize,
        |got| check_taken(Call::Sendto, buffer, got);
    writev(fd: c_int, parts: *const iovec, count: c_int) -> isize,
        |got| check_parts(Call::Writev, Access::Read, (parts, count as usize), got);
    pwritev(fd: c_int, parts: *const iovec, count: c_int, at: i64) -> isize,
        |got| check_parts(Call::Pwritev, Access::Read, (parts, count as usize), got);
    pwritev64(fd: c_int, parts: *const iovec, count: c_int, at: i64) -> isize,
        |got| check_parts(Call::Pwritev, Access::Read, (parts, count as usize), got);
    sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> isize,
        |got| check_parts(Call::Sendmsg, Access::Read, parts_of(message, got), got);
    fwrite(buffer: In, size: usize, count: usize, stream: *mut FILE) -> usize,
        |got| check_taken(Call::Fwrite, buffer, (got * size) as isize);
    fwrite_unlocked(buffer: In, size: usize, count: usize, stream: *mut FILE) -> usize,
        |got| check_taken(Call::Fwrite, buffer, (got * size) as isize);
}

fixed! {
    fputs(text: *const c_char, stream: *mut FILE) -> c_int,
        |_| length(Call::Fputs, text, usize::MAX);
    fputs_unlocked(text: *const c_char, stream: *mut FILE) -> c_int,
        |_| length(Call::Fputs, text, usize::MAX);
    puts(text: *const c_char) -> c_int, |_| length(Call::Puts, text, usize::MAX);
}
