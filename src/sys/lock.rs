//! A small futex lock: never allocates, knows its owner, and tells the thread slot that the
//! holder is in a critical section (where a signal handler must not wait for it).

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use super::atomic::AtomicUsize;
use super::lock_word::LockWord;
use super::thread;

/// What [`Lock::hold_over_fork`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The lock was taken.
    Taken,
    /// The calling thread has it already: a signal handler forks, and it stays with the code that
    /// it has interrupted.
    Mine,
    /// Another thread did not give it back in time: it may be waiting for one of the calling
    /// thread's.
    Busy,
}

/// Guards a `T`.
pub struct Lock<T> {
    word: LockWord,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one thread at a time.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        Self { word: LockWord { state: AtomicUsize::new(0) }, value: UnsafeCell::new(value) }
    }

    /// Waits for the lock. The thread must not hold it already: see [`Lock::is_mine`].
    pub fn lock(&self) -> Guard<'_, T> {
        thread::enter_critical();
        self.word.acquire();
        Guard { lock: self }
    }

    /// Takes the lock if nobody has it. Not even a handler on its holder's thread waits here.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        thread::enter_critical();
        if self.word.try_acquire() {
            return Some(Guard { lock: self });
        }
        thread::leave_critical();
        None
    }

    /// In a forked child: the lock is free unless its only thread holds it. A thread of the parent
    /// that held it is not there.
    pub fn renew(&self) {
        self.word.renew();
    }

    /// Does the calling thread hold the lock?
    pub fn is_mine(&self) -> bool {
        self.word.is_mine()
    }

    /// Takes the lock without a guard, to hold it over fork. Gives up after about 50 ms.
    pub fn hold_over_fork(&self) -> Hold {
        if self.is_mine() {
            return Hold::Mine;
        }
        thread::enter_critical();
        if self.word.try_for_fork() {
            return Hold::Taken;
        }
        thread::leave_critical();
        Hold::Busy
    }

    /// Undoes [`Lock::hold_over_fork`], in the parent and in the child.
    ///
    /// # Safety
    /// The calling thread took the lock with `hold_over_fork`, which returned [`Hold::Taken`].
    pub unsafe fn release_after_fork(&self) {
        self.word.release();
        thread::leave_critical();
    }

    /// The value, lock or not: to look at what is the caller's in it.
    pub const fn as_ptr(&self) -> *mut T {
        self.value.get()
    }
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
        self.lock.word.release();
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
        assert_eq!(LOCK.hold_over_fork(), Hold::Mine);
        let other = std::thread::spawn(|| LOCK.hold_over_fork()).join().expect("no panic");
        assert_eq!(other, Hold::Busy);
        drop(guard);
        assert!(!LOCK.is_mine());
        assert_eq!(LOCK.hold_over_fork(), Hold::Taken);
        // SAFETY: taken in the line above.
        unsafe { LOCK.release_after_fork() };
        assert!(!LOCK.is_mine());
    }
}
