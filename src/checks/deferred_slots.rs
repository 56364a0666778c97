//! Places for frees that wait: any thread, and a signal handler in the middle of anything, puts one
//! in and takes them out without a lock.

use crate::sys::atomic::{AtomicUsize, Ordering};

/// States of a place; from [`FULL`] on it holds a free, the call's code above that.
const EMPTY: usize = 0;
/// Somebody writes or takes the pointer.
const CLAIMED: usize = 1;
const FULL: usize = 2;

/// The places. All zero: each is empty.
pub(crate) struct DeferredSlots<const SLOTS: usize> {
    /// Any value is a pointer that a program may free.
    pub(crate) pointers: [AtomicUsize; SLOTS],
    pub(crate) states: [AtomicUsize; SLOTS],
    /// Frees that wait; while one comes or goes, also one more or fewer, modulo 2^64.
    pub(crate) waiting: AtomicUsize,
    /// Frees for which there was no place.
    pub(crate) lost: AtomicUsize,
}

impl<const SLOTS: usize> DeferredSlots<SLOTS> {
    /// Keeps `pointer` and the code of the call. `false`: there is no place.
    pub(crate) fn push(&self, pointer: usize, code: usize) -> bool {
        for (pointers, state) in self.pointers.iter().zip(&self.states) {
            let (done, failed) = (Ordering::Acquire, Ordering::Relaxed);
            if state.compare_exchange(EMPTY, CLAIMED, done, failed).is_ok() {
                pointers.store(pointer, Ordering::Relaxed);
                state.store(FULL + code, Ordering::Release);
                self.waiting.fetch_add(1, Ordering::Release);
                return true;
            }
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Is anything waiting? One relaxed load.
    #[inline(always)]
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Hands every free that waits to `each`, to one caller of several.
    pub(crate) fn drain(&self, mut each: impl FnMut(usize, usize)) {
        for (pointers, state) in self.pointers.iter().zip(&self.states) {
            if !self.is_waiting() {
                return;
            }
            let seen = state.load(Ordering::Relaxed);
            let (done, failed) = (Ordering::Acquire, Ordering::Relaxed);
            if seen < FULL || state.compare_exchange(seen, CLAIMED, done, failed).is_err() {
                continue;
            }
            let pointer = pointers.load(Ordering::Relaxed);
            state.store(EMPTY, Ordering::Release);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            each(pointer, seen - FULL);
        }
    }
}
