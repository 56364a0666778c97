//! Frees from signal handlers that interrupted their thread inside one of our locks: kept without
//! a lock and done when a thread next leaves the tool.

use crate::checks::deferred_slots::DeferredSlots;
use crate::sys::atomic::{AtomicUsize, Ordering};

const SLOTS: usize = 4096;

static DEFERRED: DeferredSlots<SLOTS> = DeferredSlots {
    pointers: [const { AtomicUsize::new(0) }; SLOTS],
    states: [const { AtomicUsize::new(0) }; SLOTS],
    waiting: AtomicUsize::new(0),
    lost: AtomicUsize::new(0),
};

/// Keeps `pointer` and the code of the call for later. `false` when too many wait: the block is
/// never freed.
pub fn push(pointer: usize, code: usize) -> bool {
    DEFERRED.push(pointer, code)
}

/// Is anything waiting? One relaxed load.
#[inline(always)]
pub fn is_waiting() -> bool {
    DEFERRED.is_waiting()
}

/// Frees that could not even wait.
pub fn lost() -> usize {
    DEFERRED.lost.load(Ordering::Relaxed)
}

/// Hands every waiting free to `each`.
pub fn drain(each: impl FnMut(usize, usize)) {
    DEFERRED.drain(each);
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
