//! Calls by which the kernel reads a program's buffer or fills it. libc's own do the work; where
//! the kernel could not use all of a buffer that is a guarded block, that is told: it raises no
//! signal.
//!
//! They are cancellation points. Whoever is cancelled in one goes through a frame of ours that has
//! nothing to do then.

use core::ffi::{c_int, c_void};
use core::{mem, ptr};

use mallocop::model::access::Call;
use mallocop::runtime::refused_call::{self, Part};
use mallocop::sys::{errno, memory};

/// Has a descriptor more to give? Else a short count is no sign of anything.
fn has_more(fd: c_int) -> bool {
    let mut bytes: c_int = 0;
    // SAFETY: ioctl_fionread(2) writes a number.
    errno::preserve(|| unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut bytes) == 0 && bytes > 0 })
}

fn is_refused() -> bool {
    errno::get() == libc::EFAULT
}

/// Looks at the end of a call with one buffer. `true`: it is to be repeated.
#[cold]
fn look(call: Call, start: usize, bytes: usize, result: isize, fd: c_int) -> bool {
    let done = usize::try_from(result).ok();
    if done.is_none() && !is_refused() {
        return false;
    }
    let part = Part { start, bytes };
    let more = || !call.fills() || has_more(fd);
    errno::preserve(|| refused_call::look(call, [part].into_iter(), done, more))
}

/// The same for one with several, `count` of them at `parts`, as the program has given them to the
/// kernel: any values, if that has refused them.
#[cold]
fn look_at_parts(
    call: Call,
    (parts, count): (*const libc::iovec, usize),
    result: isize,
    fd: c_int,
) -> bool {
    const MOST: usize = 1024;
    let done = usize::try_from(result).ok();
    let (start, count) = (parts as usize, count.min(MOST));
    let end = start + count * size_of::<libc::iovec>();
    if done.is_none() && !(is_refused() && memory::is_readable(start, end)) {
        return false;
    }
    let part = |at: usize| {
        // SAFETY: the kernel has read it, or it can be read.
        let part = unsafe { parts.add(at).read() };
        Part { start: part.iov_base as usize, bytes: part.iov_len }
    };
    let more = || !call.fills() || has_more(fd);
    errno::preserve(|| refused_call::look(call, (0..count).map(part), done, more))
}

/// The buffers of a message; none where it cannot be read.
fn parts_of(message: *const libc::msghdr, result: isize) -> (*const libc::iovec, usize) {
    let start = message as usize;
    if result < 0 && !memory::is_readable(start, start + size_of::<libc::msghdr>()) {
        return (ptr::null(), 0);
    }
    // SAFETY: the kernel has read it, or it can be read.
    let message = unsafe { message.read() };
    (message.msg_iov, message.msg_iovlen)
}

/// A module of libc's functions, by their symbols.
macro_rules! reals {
    ($module:ident: $($symbol:ident)*) => {
        #[allow(non_upper_case_globals, reason = "named as libc's functions")]
        mod $module {
            use crate::real::Real;

            $(pub(super) static $symbol: Real = Real::new(
                match core::ffi::CStr::from_bytes_with_nul(
                    concat!(stringify!($symbol), "\0").as_bytes(),
                ) {
                    Ok(name) => name,
                    Err(_) => c"",
                },
            );)*

            /// Looks all of them up.
            pub(super) fn find() {
                for real in [$(&$symbol),*] {
                    real.find();
                }
            }
        }
    };
}

/// Looks all of libc's functions up, while that can be done: a signal handler or a forked child may
/// be the first to call one.
pub(crate) fn find() {
    single::find();
    several::find();
    streams::find();
}

/// Calls libc's function; without one, ENOSYS is set.
macro_rules! call_real {
    ($module:ident: $symbol:ident($($name:ident: $kind:ty),*)) => {{
        type Function = unsafe extern "C-unwind" fn($($kind),*) -> isize;
        // SAFETY: libc's function of that name, with the caller's own arguments.
        unsafe {
            match mem::transmute::<usize, Option<Function>>($module::$symbol.find()) {
                Some(real) => real($($name),*),
                None => {
                    errno::set(libc::ENOSYS);
                    -1
                }
            }
        }
    }};
}

/// `symbol(descriptor, more arguments) => call, buffer, bytes;`
macro_rules! buffer_calls {
    ($($symbol:ident($fd:ident: $int:ty $(, $name:ident: $kind:ty)*)
        => $call:ident, $buffer:ident, $bytes:ident;)*) => {
        reals!(single: $($symbol)*);
        $(
            /// # Safety
            /// As for libc's function of that name.
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn $symbol($fd: $int $(, $name: $kind)*) -> isize {
                let call = || call_real!(single: $symbol($fd: $int $(, $name: $kind)*));
                let result = call();
                if result == $bytes as isize || !refused_call::is_possible() {
                    return result;
                }
                match look(Call::$call, $buffer.cast::<c_void>() as usize, $bytes, result, $fd) {
                    true => call(),
                    false => result,
                }
            }
        )*
    };
}

buffer_calls! {
    read(fd: c_int, buffer: *mut c_void, bytes: usize) => Read, buffer, bytes;
    pread(fd: c_int, buffer: *mut c_void, bytes: usize, at: i64) => Pread, buffer, bytes;
    pread64(fd: c_int, buffer: *mut c_void, bytes: usize, at: i64) => Pread, buffer, bytes;
    recv(fd: c_int, buffer: *mut c_void, bytes: usize, flags: c_int) => Recv, buffer, bytes;
    recvfrom(
        fd: c_int, buffer: *mut c_void, bytes: usize, flags: c_int, from: *mut c_void,
        length: *mut u32
    ) => Recvfrom, buffer, bytes;
    write(fd: c_int, buffer: *const c_void, bytes: usize) => Write, buffer, bytes;
    pwrite(fd: c_int, buffer: *const c_void, bytes: usize, at: i64) => Pwrite, buffer, bytes;
    pwrite64(fd: c_int, buffer: *const c_void, bytes: usize, at: i64) => Pwrite, buffer, bytes;
    send(fd: c_int, buffer: *const c_void, bytes: usize, flags: c_int) => Send, buffer, bytes;
    sendto(
        fd: c_int, buffer: *const c_void, bytes: usize, flags: c_int, to: *const c_void,
        length: u32
    ) => Sendto, buffer, bytes;
    __read_chk(fd: c_int, buffer: *mut c_void, bytes: usize, room: usize) => Read, buffer, bytes;
    __pread_chk(
        fd: c_int, buffer: *mut c_void, bytes: usize, at: i64, room: usize
    ) => Pread, buffer, bytes;
    __pread64_chk(
        fd: c_int, buffer: *mut c_void, bytes: usize, at: i64, room: usize
    ) => Pread, buffer, bytes;
    __recv_chk(
        fd: c_int, buffer: *mut c_void, bytes: usize, room: usize, flags: c_int
    ) => Recv, buffer, bytes;
    __recvfrom_chk(
        fd: c_int, buffer: *mut c_void, bytes: usize, room: usize, flags: c_int,
        from: *mut c_void, length: *mut u32
    ) => Recvfrom, buffer, bytes;
}

/// `symbol(descriptor, more arguments) => call, buffers, their number;`
macro_rules! vector_calls {
    ($($symbol:ident($fd:ident: $int:ty $(, $name:ident: $kind:ty)*)
        => $call:ident, |$result:ident| $parts:expr;)*) => {
        reals!(several: $($symbol)*);
        $(
            /// # Safety
            /// As for libc's function of that name.
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn $symbol($fd: $int $(, $name: $kind)*) -> isize {
                let call = || call_real!(several: $symbol($fd: $int $(, $name: $kind)*));
                let $result = call();
                let repeats = refused_call::is_possible()
                    && ($result >= 0 || is_refused())
                    && look_at_parts(Call::$call, $parts, $result, $fd);
                if repeats { call() } else { $result }
            }
        )*
    };
}

vector_calls! {
    readv(fd: c_int, parts: *const libc::iovec, count: c_int)
        => Readv, |result| (parts, count as usize);
    preadv(fd: c_int, parts: *const libc::iovec, count: c_int, at: i64)
        => Preadv, |result| (parts, count as usize);
    preadv64(fd: c_int, parts: *const libc::iovec, count: c_int, at: i64)
        => Preadv, |result| (parts, count as usize);
    writev(fd: c_int, parts: *const libc::iovec, count: c_int)
        => Writev, |result| (parts, count as usize);
    pwritev(fd: c_int, parts: *const libc::iovec, count: c_int, at: i64)
        => Pwritev, |result| (parts, count as usize);
    pwritev64(fd: c_int, parts: *const libc::iovec, count: c_int, at: i64)
        => Pwritev, |result| (parts, count as usize);
    recvmsg(fd: c_int, message: *mut libc::msghdr, flags: c_int)
        => Recvmsg, |result| parts_of(message, result);
    sendmsg(fd: c_int, message: *const libc::msghdr, flags: c_int)
        => Sendmsg, |result| parts_of(message, result);
}

/// `symbol => call`: stdio's calls, which hand large buffers to the kernel as they are. What is
/// left is done by a second call where the program goes on.
macro_rules! stream_calls {
    ($($symbol:ident => $call:ident;)*) => {
        reals!(streams: $($symbol)*);
        $(
            /// # Safety
            /// As for libc's function of that name.
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn $symbol(
                buffer: *mut c_void,
                size: usize,
                count: usize,
                stream: *mut libc::FILE,
            ) -> usize {
                let call = |buffer: *mut c_void, count: usize| {
                    call_real!(streams: $symbol(
                        buffer: *mut c_void,
                        size: usize,
                        count: usize,
                        stream: *mut libc::FILE
                    )) as usize
                };
                let done = call(buffer, count);
                let bytes = size.saturating_mul(count);
                if done < count
                    && refused_call::is_possible()
                    && look(Call::$call, buffer as usize, bytes, -1, -1)
                {
                    // SAFETY: the caller's own stream, whose error was that of the call.
                    unsafe { libc::clearerr(stream) };
                    return done + call(buffer.wrapping_byte_add(done * size), count - done);
                }
                done
            }
        )*
    };
}

stream_calls! {
    fread => Fread;
    fwrite => Fwrite;
    fread_unlocked => Fread;
    fwrite_unlocked => Fwrite;
}
