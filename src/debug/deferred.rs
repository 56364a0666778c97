//! Frees from signal handlers that interrupted their thread inside one of our locks: kept without
//! a lock and done when a thread next leaves the tool.

use core::sync::atomic::{AtomicUsize, Ordering};

const SLOTS: usize = 4096;
/// A slot being written.
const CLAIMED: usize = 1;

static POINTERS: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
static CODES: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
static WAITING: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicUsize = AtomicUsize::new(0);

/// Keeps a free of `pointer` for later; `code` comes back with it. When 4096 wait already the
/// block is never freed and counted as lost: `false`.
pub fn push(pointer: usize, code: usize) -> bool {
    let first = NEXT.fetch_add(1, Ordering::Relaxed);
    for slot in 0..SLOTS {
        let at = (first + slot) % SLOTS;
        let (Some(pointers), Some(codes)) = (POINTERS.get(at), CODES.get(at)) else { continue };
        if pointers.compare_exchange(0, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            codes.store(code, Ordering::Relaxed);
            pointers.store(pointer, Ordering::Release);
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
    for (pointers, codes) in POINTERS.iter().zip(&CODES) {
        if WAITING.load(Ordering::Relaxed) == 0 {
            return;
        }
        let pointer = pointers.load(Ordering::Acquire);
        if pointer <= CLAIMED {
            continue;
        }
        let code = codes.load(Ordering::Relaxed);
        if pointers.compare_exchange(pointer, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            WAITING.fetch_sub(1, Ordering::Relaxed);
            each(pointer, code);
        }
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
    }
}
