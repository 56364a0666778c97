//! The word of a lock: whose it is, and whether somebody sleeps until it is free.

use super::futex::{self, SPINS, TRIES};
use super::thread;
use crate::sys::atomic::{AtomicUsize, Ordering};

const FREE: usize = 0;
/// Somebody sleeps until the lock is free. The bit is below the owner's address.
const AWAITED: usize = 1;

/// The word of a lock; zero: it is free.
pub(super) struct LockWord {
    /// `FREE`, or the address of the holder's thread slot with `AWAITED` beside it: one word, so
    /// that a signal handler always sees whose the lock is.
    pub(super) state: AtomicUsize,
}

impl LockWord {
    /// Waits for the lock, which the calling thread does not hold.
    pub(super) fn acquire(&self) {
        for _ in 0..SPINS {
            if self.try_acquire() {
                return;
            }
            core::hint::spin_loop();
        }
        loop {
            let seen = self.state.load(Ordering::Relaxed);
            if seen == FREE {
                // Whoever has slept takes the lock as awaited: others may be asleep, too.
                if self.try_acquire_with(AWAITED) {
                    return;
                }
                continue;
            }
            let awaited = seen | AWAITED;
            let marked = self
                .state
                .compare_exchange(seen, awaited, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
            if marked {
                futex::wait_while(&self.state, awaited);
            }
        }
    }

    /// Takes the lock if nobody has it.
    pub(super) fn try_acquire(&self) -> bool {
        self.try_acquire_with(0)
    }

    fn try_acquire_with(&self, flags: usize) -> bool {
        let mine = thread::slot_address() | flags;
        self.state.compare_exchange(FREE, mine, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Tries for about 50 ms.
    pub(super) fn try_for_fork(&self) -> bool {
        (0..TRIES).any(|round| {
            let done = self.try_acquire();
            if !done {
                futex::pause(round);
            }
            done
        })
    }

    /// Does the calling thread hold the lock?
    pub(super) fn is_mine(&self) -> bool {
        self.state.load(Ordering::Relaxed) & !AWAITED == thread::slot_address()
    }

    /// Gives the lock back, which the calling thread holds, and wakes one who sleeps.
    pub(super) fn release(&self) {
        if self.state.swap(FREE, Ordering::Release) & AWAITED != 0 {
            futex::wake_one(&self.state);
        }
    }

    /// In a forked child: frees the lock unless its only thread holds it.
    pub(super) fn renew(&self) {
        // A page that is not written to need not be copied.
        if !self.is_mine() && self.state.load(Ordering::Relaxed) != FREE {
            self.state.store(FREE, Ordering::Relaxed);
        }
    }
}
