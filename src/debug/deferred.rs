//! Frees from signal handlers that interrupted their thread inside one of our locks: kept without
//! a lock and done when a thread next leaves the tool.

use core::sync::atomic::{AtomicUsize, Ordering};

const SLOTS: usize = 4096;
/// States of a slot; from [`FULL`] on it holds a free, the call's code above that.
const EMPTY: usize = 0;
/// Somebody writes or takes the pointer.
const CLAIMED: usize = 1;
const FULL: usize = 2;

/// Any value is a pointer that a program may free.
static POINTERS: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
static STATES: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(EMPTY) }; SLOTS];
static WAITING: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicUsize = AtomicUsize::new(0);

/// Keeps `pointer` and the code of the call for later. `false` when too many wait: the block is
/// never freed.
pub fn push(pointer: usize, code: usize) -> bool {
    for (pointers, state) in POINTERS.iter().zip(&STATES) {
        let (done, failed) = (Ordering::Acquire, Ordering::Relaxed);
        if state.compare_exchange(EMPTY, CLAIMED, done, failed).is_ok() {
            pointers.store(pointer, Ordering::Relaxed);
            state.store(FULL + code, Ordering::Release);
            WAITING.fetch_add(1, Ordering::Release);
            return true;
        }
    }
    LOST.fetch_add(1, Ordering::Relaxed);
    false
}

/// Is anything waiting? One relaxed load.
pub fn is_waiting() -> bool {
    WAITING.load(Ordering::Relaxed) != 0
}

/// Frees that could not even wait.
pub fn lost() -> usize {
    LOST.load(Ordering::Relaxed)
}

/// Hands every waiting free to `each`.
pub fn drain(mut each: impl FnMut(usize, usize)) {
    for (pointers, state) in POINTERS.iter().zip(&STATES) {
        if WAITING.load(Ordering::Relaxed) == 0 {
            return;
        }
        let seen = state.load(Ordering::Relaxed);
        let (done, failed) = (Ordering::Acquire, Ordering::Relaxed);
        if seen < FULL || state.compare_exchange(seen, CLAIMED, done, failed).is_err() {
            continue;
        }
        let pointer = pointers.load(Ordering::Relaxed);
        state.store(EMPTY, Ordering::Release);
        WAITING.fetch_sub(1, Ordering::Relaxed);
        each(pointer, seen - FULL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_comes_back_once() {
        for i in 0..SLOTS + 10 {
            assert_eq!(push(0x1000 + i * 16, i), i < SLOTS);
        }
        assert!(is_waiting());
        assert_eq!(lost(), 10);
        let mut seen = Vec::new();
        drain(|pointer, code| {
            assert_eq!(pointer, 0x1000 + code * 16);
            seen.push(code);
        });
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..SLOTS));
        assert!(!is_waiting());
        // No pointer stands for a state of a slot.
        for pointer in [0, 1, 2, usize::MAX] {
            assert!(push(pointer, 3));
            let mut seen = Vec::new();
            drain(|pointer, code| seen.push((pointer, code)));
            assert_eq!(seen, [(pointer, 3)]);
        }
        assert!(!is_waiting());
    }
}
