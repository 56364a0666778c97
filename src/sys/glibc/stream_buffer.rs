//! The text in the buffers of libc's standard streams: of a program that is about to end it is
//! written out, where that can be done without waiting (glibc's `struct _IO_FILE`, since 2.1).

use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::sys::{memory, output, process, seccomp};

/// Offsets in the structure.
const WRITE_BASE: usize = 32;
const WRITE_NEXT: usize = 40;
const BUFFER: usize = 56;
const BUFFER_END: usize = 64;
const DESCRIPTOR: usize = 112;
const LOCK: usize = 136;
const BYTES: usize = 216;
/// Upper half of the first word of each stream, and the bit that says that it is being written to.
const MAGIC: u32 = 0xfbad_0000;
const IS_WRITTEN: u32 = 0x800;
/// Most that a pipe takes at once, or not at all (pipe(7)).
const PIPE_BUF: usize = 4096;

/// Addresses of the variables `stdout` and `stderr`; 0: not known.
static STREAMS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Looks the streams up. Calls dlsym(3).
pub fn find() {
    for (place, name) in STREAMS.iter().zip([c"stdout", c"stderr"]) {
        place.store(process::find_symbol(name), Ordering::Release);
    }
}

/// Writes out what the streams hold and their files take at once. A stream that is locked, or does
/// not look like one, is left alone.
pub fn write_out() {
    if seccomp::is_installed() {
        return;
    }
    for variable in STREAMS.iter().map(|place| place.load(Ordering::Acquire)) {
        if variable != 0 && memory::is_readable(variable, variable + 8) {
            // SAFETY: the address of a variable of libc's that points to a stream.
            let stream = unsafe { (variable as *const usize).read_volatile() };
            if stream.is_multiple_of(8) && memory::is_readable(stream, stream + BYTES) {
                write_stream(stream);
            }
        }
    }
}

fn word(stream: usize, at: usize) -> usize {
    // SAFETY: `write_out` has found the structure readable.
    unsafe { ((stream + at) as *const usize).read_volatile() }
}

fn write_stream(stream: usize) {
    let flags = word(stream, 0) as u32;
    let lock = word(stream, LOCK);
    if flags & 0xffff_0000 != MAGIC
        || flags & IS_WRITTEN == 0
        || !lock.is_multiple_of(4)
        || !memory::is_readable(lock, lock + 16)
    {
        return;
    }
    // SAFETY: readable, and written by all threads as an atomic (glibc's `_IO_lock_t`): 0 is free.
    let lock = unsafe { &*(lock as *const AtomicI32) };
    if lock.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    write_locked(stream);
    lock.store(0, Ordering::Release);
}

fn write_locked(stream: usize) {
    let [base, next] = [WRITE_BASE, WRITE_NEXT].map(|at| word(stream, at));
    let [start, end] = [BUFFER, BUFFER_END].map(|at| word(stream, at));
    let descriptor = word(stream, DESCRIPTOR) as i32;
    let is_sound = start <= base && base < next && next <= end && descriptor >= 0;
    if !is_sound || !memory::is_readable(base, next) {
        return;
    }
    // SAFETY: readable, and the stream's lock keeps others from it.
    let bytes = unsafe { core::slice::from_raw_parts(base as *const u8, next - base) };
    let written = output::write_at_once(descriptor, bytes, PIPE_BUF);
    // Text that is written leaves the buffer: a handler of the program's may still flush.
    let (to, left) = (base as *mut u8, bytes.len() - written);
    // SAFETY: inside the buffer; the structure's word, which the lock keeps from others.
    unsafe {
        to.copy_from(to.add(written), left);
        ((stream + WRITE_NEXT) as *mut usize).write_volatile(base + left);
    }
}
