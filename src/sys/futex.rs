//! futex(2): waiting for a word to change, and waking who waits. Errno stays as it was.

use core::ptr;
use core::sync::atomic::AtomicU32;
use std::time::Duration;

use super::kernel;

/// Sleeps while the word is `value`, at most for `patience`; may return earlier.
pub(super) fn wait(word: *const AtomicU32, value: u32, patience: Option<Duration>) {
    let time = patience.map(|time| libc::timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: i64::from(time.subsec_nanos()),
    });
    call(word, libc::FUTEX_WAIT, value, time.as_ref().map_or(ptr::null(), ptr::from_ref));
}

/// Wakes up to `count` threads that wait for the word.
pub(super) fn wake(word: *const AtomicU32, count: u32) {
    call(word, libc::FUTEX_WAKE, count, ptr::null());
}

fn call(word: *const AtomicU32, operation: i32, value: u32, time: *const libc::timespec) {
    let operation = (operation | libc::FUTEX_PRIVATE_FLAG) as usize;
    // SAFETY: futex(2) on a word that the caller has, with a time that lives, or none.
    unsafe {
        kernel::call(libc::SYS_futex, [word as usize, operation, value as usize, time as usize]);
    }
}
