//! Raw output to the standard error that the process was started with, wherever the program has
//! moved descriptor 2 since.

use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::errno;

/// Copies of our own start here, out of the way of programs that count descriptors.
const HIGH_FD: i32 = 1000;

static COPY: AtomicI32 = AtomicI32::new(-1);
static COPY_DEVICE: AtomicU64 = AtomicU64::new(0);
static COPY_INODE: AtomicU64 = AtomicU64::new(0);

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

/// Duplicates descriptor 2 to a high one that exec closes. Call once, early.
pub fn keep_stderr() {
    errno::preserve(|| {
        let Some((device, inode)) = identify(2) else { return };
        // SAFETY: fcntl(2) on descriptors only.
        let copy = unsafe {
            match libc::fcntl(2, libc::F_DUPFD_CLOEXEC, HIGH_FD) {
                -1 => libc::fcntl(2, libc::F_DUPFD_CLOEXEC, 10),
                copy => copy,
            }
        };
        COPY.store(copy, Ordering::Relaxed);
        COPY_DEVICE.store(device, Ordering::Relaxed);
        COPY_INODE.store(inode, Ordering::Relaxed);
    });
}

/// Reports go to another descriptor from here on.
pub fn set_descriptor(descriptor: i32) {
    let Some((device, inode)) = identify(descriptor) else { return };
    COPY.store(descriptor, Ordering::Relaxed);
    COPY_DEVICE.store(device, Ordering::Relaxed);
    COPY_INODE.store(inode, Ordering::Relaxed);
}

/// The descriptor to report on: the copy if it still is what we made it, else 2 if that is the
/// same file; a program may have closed either and opened its data there.
fn descriptor() -> Option<i32> {
    let wanted = (COPY_DEVICE.load(Ordering::Relaxed), COPY_INODE.load(Ordering::Relaxed));
    let copy = COPY.load(Ordering::Relaxed);
    if copy < 0 {
        return None;
    }
    [copy, 2].into_iter().find(|&fd| identify(fd) == Some(wanted))
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
