//! userfaultfd(2), for pages that fault until they are filled. Without privileges: of accesses that
//! the program makes in user mode; those of the kernel for it fail with EFAULT, too.

use core::sync::atomic::{AtomicI32, Ordering};

use super::raw_syscall;

/// Numbers and structures of linux/userfaultfd.h.
const USER_MODE_ONLY: usize = 1;
const VERSION: u64 = 0xaa;
const SIGBUS: u64 = 1 << 7;
const MISSING: u64 = 1;
const API: usize = 0xc018_aa3f;
const REGISTER: usize = 0xc020_aa00;
const FILL_WITH_ZEROS: usize = 0xc020_aa04;

/// Lowest number of the descriptor: programs count on low ones.
const LEAST_NUMBER: usize = 1000;

/// The descriptor; -1: there is none.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);

/// The descriptor, opened at the first call.
fn descriptor() -> Option<usize> {
    let known = DESCRIPTOR.load(Ordering::Relaxed);
    if known >= 0 {
        return usize::try_from(known).ok();
    }
    let flags = libc::O_CLOEXEC as usize | USER_MODE_ONLY;
    // SAFETY: makes a descriptor.
    let low = unsafe { raw_syscall::call(libc::SYS_userfaultfd, [flags, 0, 0, 0]) };
    let low = usize::try_from(low).ok()?;
    let duplicate = libc::F_DUPFD_CLOEXEC as usize;
    // SAFETY: duplicates and closes a descriptor of ours.
    let high = unsafe {
        let high = raw_syscall::call(libc::SYS_fcntl, [low, duplicate, LEAST_NUMBER, 0]);
        if high >= 0 {
            raw_syscall::call(libc::SYS_close, [low, 0, 0, 0]);
        }
        if high >= 0 { high } else { low as isize }
    };
    let fd = usize::try_from(high).ok()?;
    let mut api = [VERSION, SIGBUS, 0];
    if !control(fd, API, &mut api) {
        // SAFETY: closes a descriptor of ours.
        unsafe { raw_syscall::call(libc::SYS_close, [fd, 0, 0, 0]) };
        return None;
    }
    DESCRIPTOR.store(i32::try_from(fd).ok()?, Ordering::Relaxed);
    Some(fd)
}

fn control(fd: usize, request: usize, arguments: &mut [u64]) -> bool {
    // SAFETY: each request reads and writes the structure that it is called with.
    unsafe {
        let arguments = arguments.as_mut_ptr() as usize;
        raw_syscall::call(libc::SYS_ioctl, [fd, request, arguments, 0]) == 0
    }
}

/// Makes pages that were never touched fault. `false`: the kernel refuses.
pub(super) fn watch(start: usize, bytes: usize) -> bool {
    let range = |fd| control(fd, REGISTER, &mut [start as u64, bytes as u64, MISSING, 0]);
    descriptor().is_some_and(range)
}

/// Fills pages that fault with zeros.
pub(super) fn fill(start: usize, bytes: usize) -> bool {
    let range = |fd| control(fd, FILL_WITH_ZEROS, &mut [start as u64, bytes as u64, 0, 0]);
    descriptor().is_some_and(range)
}

/// In a forked child, whose descriptor is still its parent's.
pub(super) fn renew(start: usize, bytes: usize) -> bool {
    if let Ok(inherited) = usize::try_from(DESCRIPTOR.swap(-1, Ordering::Relaxed)) {
        // SAFETY: closes a descriptor of ours.
        unsafe { raw_syscall::call(libc::SYS_close, [inherited, 0, 0, 0]) };
    }
    watch(start, bytes)
}
