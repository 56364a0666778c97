//! futex(2): waiting for a word to change, and waking who waits. Errno stays as it was.

use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicUsize};
use core::time::Duration;

use crate::sys::raw_syscall;

/// Times that a lock is tried for before its waiter sleeps.
pub(super) const SPINS: u32 = 100;
/// Rounds that fork tries for a lock, and the pause after each but the first ones: about 50 ms in
/// all.
pub(super) const TRIES: u32 = 200;
const YIELDS: u32 = 100;
const PAUSE: Duration = Duration::from_micros(500);

/// A word that nobody changes.
static NEVER: AtomicU32 = AtomicU32::new(0);

/// Lets others run after round `round` of fork's.
pub(super) fn pause(round: u32) {
    if round < YIELDS {
        std::thread::yield_now();
    } else {
        // Not on the lock's own word, where this thread would be woken in a waiter's stead.
        wait(&raw const NEVER, 0, Some(PAUSE));
    }
}

/// Sleeps while the lower half of a word is that of `value`; may return earlier. The lower half is
/// the one that tells a lock's holders apart.
pub(super) fn wait_while(word: &AtomicUsize, value: usize) {
    wait(lower_half(word), value as u32, None);
}

/// Wakes one thread that waits for the word.
pub(super) fn wake_one(word: &AtomicUsize) {
    wake(lower_half(word), 1);
}

/// x86-64 is little-endian.
const fn lower_half(word: &AtomicUsize) -> *const AtomicU32 {
    ptr::from_ref(word).cast()
}

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
        raw_syscall::call(
            libc::SYS_futex,
            [word as usize, operation, value as usize, time as usize],
        );
    }
}
