//! Raw output to the standard error that the process was started with, wherever the program has
//! moved descriptor 2 since.

use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::errno;
use crate::sys::seccomp;

/// A copy of our own lies here or above, out of the way of programs that count descriptors.
const HIGH_FD: i32 = 1000;

/// Our own copy; -1: none.
static COPY: AtomicI32 = AtomicI32::new(-1);
/// The descriptor that reports go to where there is no copy.
static CHOSEN: AtomicI32 = AtomicI32::new(2);
/// The file that both are: a program may have closed either and opened its data there.
static DEVICE: AtomicU64 = AtomicU64::new(0);
static INODE: AtomicU64 = AtomicU64::new(0);

fn identify(fd: i32) -> Option<(u64, u64)> {
    let mut facts = core::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat fills the structure when it returns 0.
    unsafe {
        if libc::fstat(fd, facts.as_mut_ptr()) != 0 {
            return None;
        }
        let facts = facts.assume_init();
        Some((facts.st_dev, facts.st_ino))
    }
}

/// Notes which file descriptor 2 is. Call once, early.
pub fn note_stderr() {
    set_descriptor(2);
}

/// Duplicates descriptor 2 to a high one that exec closes: for reports of a program that moves the
/// first.
pub fn keep_stderr() {
    errno::preserve(|| {
        if identify(2).is_none() {
            return;
        }
        // SAFETY: fcntl(2) on descriptors only.
        let copy = unsafe {
            match libc::fcntl(2, libc::F_DUPFD_CLOEXEC, HIGH_FD) {
                -1 => libc::fcntl(2, libc::F_DUPFD_CLOEXEC, 10),
                copy => copy,
            }
        };
        COPY.store(copy, Ordering::Relaxed);
    });
}

/// Closes the copy. A forked child does so: it may be a daemon, whose parent's reader waits for the
/// end of the pipe that standard error is.
pub fn drop_copy() {
    errno::preserve(|| {
        let copy = COPY.swap(-1, Ordering::Relaxed);
        if copy >= 0 && is_noted(copy) {
            // SAFETY: the descriptor is the copy that we made.
            unsafe { libc::close(copy) };
        }
    });
}

/// Reports go to another descriptor from here on.
pub fn set_descriptor(descriptor: i32) {
    errno::preserve(|| {
        let Some((device, inode)) = identify(descriptor) else { return };
        drop_copy();
        CHOSEN.store(descriptor, Ordering::Relaxed);
        DEVICE.store(device, Ordering::Relaxed);
        INODE.store(inode, Ordering::Relaxed);
    });
}

fn is_noted(fd: i32) -> bool {
    identify(fd) == Some((DEVICE.load(Ordering::Relaxed), INODE.load(Ordering::Relaxed)))
}

/// The descriptor to report on: the copy or the one that it was made of, if either still is that
/// file.
fn descriptor() -> Option<i32> {
    let known = [&COPY, &CHOSEN].map(|fd| fd.load(Ordering::Relaxed));
    // A filter may forbid to ask.
    known.into_iter().find(|&fd| fd >= 0 && (seccomp::is_installed() || is_noted(fd)))
}

/// Writes `text` there, all of it, or as much as the file takes.
pub fn write_stderr(text: &[u8]) {
    errno::preserve(|| {
        if let Some(fd) = descriptor() {
            without_sigpipe(|| write_all(fd, text));
        }
    });
}

/// Keeps a SIGPIPE that `write` causes from the program, which did not write.
fn without_sigpipe(write: impl FnOnce()) {
    // A filter may forbid all of that.
    if seccomp::is_installed() {
        return write();
    }
    // SAFETY: signal sets are made before they are used; masks are the calling thread's own.
    unsafe {
        let mut pipe = core::mem::zeroed::<libc::sigset_t>();
        let mut before = core::mem::zeroed::<libc::sigset_t>();
        let mut pending = core::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut pipe);
        libc::sigaddset(&raw mut pipe, libc::SIGPIPE);
        libc::sigpending(&raw mut pending);
        let was_pending = libc::sigismember(&raw const pending, libc::SIGPIPE) == 1;
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const pipe, &raw mut before);
        write();
        if !was_pending {
            let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(&raw const pipe, core::ptr::null_mut(), &raw const now);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, core::ptr::null_mut());
    }
}

/// Writes to `fd` what its file takes without waiting, at most so many bytes in a call. Returns how
/// many were written.
pub fn write_at_once(fd: i32, text: &[u8], most: usize) -> usize {
    let mut done = 0;
    errno::preserve(|| {
        without_sigpipe(|| {
            let mut rest = text.chunks(most);
            while let Some(piece) = rest.next().filter(|_| takes_more(fd)) {
                // SAFETY: the buffer is a live slice.
                let written = unsafe { libc::write(fd, piece.as_ptr().cast(), piece.len()) };
                done += usize::try_from(written).unwrap_or(0);
                if written != piece.len() as isize {
                    return;
                }
            }
        });
    });
    done
}

/// Does a write not have to wait?
fn takes_more(fd: i32) -> bool {
    let mut wanted = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: poll(2) with one descriptor.
    let count = unsafe { libc::poll(&raw mut wanted, 1, 0) };
    count == 1 && wanted.revents & libc::POLLOUT != 0
}

/// Writes all of `text` to `fd` as far as that goes.
pub fn write_all(fd: i32, mut text: &[u8]) {
    errno::preserve(|| {
        while !text.is_empty() {
            // SAFETY: the buffer is a live slice.
            let written = unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) };
            match usize::try_from(written) {
                Ok(0) => return,
                Ok(written) => text = text.get(written..).unwrap_or(&[]),
                Err(_) if errno::get() == libc::EINTR => {}
                Err(_) => return,
            }
        }
    });
}
