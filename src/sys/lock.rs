//! A small futex lock: never allocates, knows its owner, and tells the thread slot that the
//! holder is in a critical section (where a signal handler must not wait for it).

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::{errno, thread};

const FREE: u32 = 0;
const TAKEN: u32 = 1;
const AWAITED: u32 = 2;
const SPINS: u32 = 100;

/// Guards a `T`.
pub struct Lock<T> {
    state: AtomicU32,
    /// Address of the holder's thread slot, 0 when free.
    owner: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one thread at a time.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        Self {
            state: AtomicU32::new(FREE),
            owner: AtomicUsize::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for the lock. The thread must not hold it already: see [`Lock::is_mine`].
    pub fn lock(&self) -> Guard<'_, T> {
        thread::enter_critical();
        self.acquire();
        Guard { lock: self }
    }

    /// Does the calling thread hold the lock?
    pub fn is_mine(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == thread::slot_address()
    }

    /// Takes the lock without a guard, to hold it over fork. `false` if this thread holds it
    /// already (fork from a signal handler): then it stays with whom it interrupted.
    pub fn hold_over_fork(&self) -> bool {
        if self.is_mine() {
            return false;
        }
        thread::enter_critical();
        self.acquire();
        true
    }

    /// Undoes [`Lock::hold_over_fork`], in the parent and in the child.
    ///
    /// # Safety
    /// The calling thread took the lock with `hold_over_fork`, which returned true.
    pub unsafe fn release_after_fork(&self) {
        self.release();
        thread::leave_critical();
    }

    /// The value, lock or not: for the one thread of a process in its last moments.
    pub const fn as_ptr(&self) -> *mut T {
        self.value.get()
    }

    fn acquire(&self) {
        for _ in 0..SPINS {
            if self.try_acquire(TAKEN) {
                return;
            }
            core::hint::spin_loop();
        }
        while self.state.swap(AWAITED, Ordering::Acquire) != FREE {
            futex(&self.state, libc::FUTEX_WAIT, AWAITED);
        }
        self.owner.store(thread::slot_address(), Ordering::Relaxed);
    }

    fn try_acquire(&self, as_state: u32) -> bool {
        let won = self
            .state
            .compare_exchange(FREE, as_state, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if won {
            self.owner.store(thread::slot_address(), Ordering::Relaxed);
        }
        won
    }

    fn release(&self) {
        self.owner.store(0, Ordering::Relaxed);
        if self.state.swap(FREE, Ordering::Release) == AWAITED {
            futex(&self.state, libc::FUTEX_WAKE, 1);
        }
    }
}

fn futex(word: &AtomicU32, operation: i32, value: u32) {
    errno::preserve(|| {
        // SAFETY: futex(2) on a live word, without a timeout.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                operation | libc::FUTEX_PRIVATE_FLAG,
                value,
                core::ptr::null::<libc::timespec>(),
            );
        }
    });
}

/// The lock is held while this lives.
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.lock.release();
        thread::leave_critical();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_many_threads_add_up() {
        static COUNT: Lock<u64> = Lock::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        *COUNT.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*COUNT.lock(), 80_000);
    }

    #[test]
    fn the_owner_is_known_and_not_locked_out_by_fork() {
        static LOCK: Lock<()> = Lock::new(());
        let guard = LOCK.lock();
        assert!(LOCK.is_mine());
        assert!(!LOCK.hold_over_fork());
        drop(guard);
        assert!(!LOCK.is_mine());
        assert!(LOCK.hold_over_fork());
        // SAFETY: taken in the line above.
        unsafe { LOCK.release_after_fork() };
        assert!(!LOCK.is_mine());
    }
}
