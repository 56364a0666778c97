//! The lock's word: one holder at a time, nobody sleeps for ever, and two threads that fork both
//! come to hold every lock.

#[path = "../../src/sys/lock_word.rs"]
mod lock_word;

/// futex(2) by loom: a sleep ends by a wake only, so that one that is lost is found.
mod futex {
    use loom::lazy_static;
    use loom::sync::{Condvar, Mutex};
    use loom::thread;

    use crate::sys::atomic::{AtomicUsize, Ordering};

    pub(super) const SPINS: u32 = 1;
    pub(super) const TRIES: u32 = 1;
    /// Locks of a model at most.
    const LOCKS: usize = 2;

    lazy_static! {
        /// The words' addresses, in the order in which they are first waited for.
        static ref WORDS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
        static ref SLEEPERS: [Condvar; LOCKS] = [Condvar::new(), Condvar::new()];
    }

    fn number(words: &mut Vec<usize>, word: &AtomicUsize) -> usize {
        let address = std::ptr::from_ref(word) as usize;
        words.iter().position(|&known| known == address).unwrap_or_else(|| {
            words.push(address);
            words.len() - 1
        })
    }

    pub(super) fn wait_while(word: &AtomicUsize, value: usize) {
        let mut words = WORDS.lock().expect("a lock");
        let number = number(&mut words, word);
        if word.load(Ordering::SeqCst) as u32 == value as u32 {
            drop(SLEEPERS[number].wait(words).expect("a lock"));
        }
    }

    pub(super) fn wake_one(word: &AtomicUsize) {
        let mut words = WORDS.lock().expect("a lock");
        SLEEPERS[number(&mut words, word)].notify_one();
    }

    pub(super) fn pause(_: u32) {
        thread::yield_now();
    }
}

/// The slot's address, by which the word tells threads apart: a multiple of 64.
mod thread {
    use std::cell::Cell;

    loom::thread_local! {
        static SLOT: Cell<usize> = Cell::new(64);
    }

    pub(super) fn slot_address() -> usize {
        SLOT.with(Cell::get)
    }

    /// Begins a thread of a model: `number` from 2 on; the first one has 1.
    pub(super) fn begin(number: usize) {
        SLOT.with(|slot| slot.set(number * 64));
    }
}

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::{spawn, yield_now};

use crate::explore;
use crate::sys::atomic::AtomicUsize;
use lock_word::LockWord;

/// A lock and what it guards: loom finds two who write at once.
struct Guarded {
    word: LockWord,
    value: UnsafeCell<usize>,
}

// SAFETY: the value is its lock's holder's; loom tells if not.
unsafe impl Sync for Guarded {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Self {
        Self { word: LockWord { state: AtomicUsize::new(0) }, value: UnsafeCell::new(0) }
    }

    /// Adds one; the lock is held.
    fn change(&self) {
        // SAFETY: the lock is held.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    fn value(&self) -> usize {
        // SAFETY: the lock is held, or all threads have ended.
        self.value.with(|value| unsafe { *value })
    }
}

#[test]
fn three_who_wait_for_a_lock_have_it_one_after_the_other() {
    explore(2, || {
        let lock = Arc::new(Guarded::new());
        let work = |lock: &Guarded| {
            lock.word.acquire();
            assert!(lock.word.is_mine());
            lock.change();
            lock.word.release();
        };
        let others = [2, 3].map(|number| {
            let lock = lock.clone();
            spawn(move || {
                thread::begin(number);
                work(&lock);
            })
        });
        work(&lock);
        others.into_iter().for_each(|other| other.join().expect("no panic"));
        assert_eq!(lock.value(), 3);
    });
}

/// As fork's handler does it: all locks in order, or none and once more.
fn hold_all(locks: &[Guarded]) {
    loop {
        let held: Vec<&Guarded> = locks.iter().filter(|lock| lock.word.try_for_fork()).collect();
        if held.len() == locks.len() {
            return;
        }
        held.into_iter().for_each(|lock| lock.word.release());
        yield_now();
    }
}

/// What a thread does that forks: each child finds the data whole and every lock its only
/// thread's, so that it frees them all.
fn fork(locks: &[Guarded; 2]) {
    hold_all(locks);
    // Here the child is made: of what it sees nothing is half done.
    assert!(locks.iter().all(|lock| lock.word.is_mine()));
    let [outer, inner] = locks;
    assert_eq!(outer.value(), inner.value());
    locks.iter().rev().for_each(|lock| lock.word.release());
}

/// Changes what both locks guard, the one inside the other.
fn work(locks: &[Guarded; 2]) {
    let [outer, inner] = locks;
    outer.word.acquire();
    outer.change();
    inner.word.acquire();
    inner.change();
    inner.word.release();
    outer.word.release();
}

/// Two threads fork, and the first one works if it is to.
fn fork_twice(works: bool) {
    let locks: Arc<[Guarded; 2]> = Arc::new([Guarded::new(), Guarded::new()]);
    let forks = [2, 3].map(|number| {
        let locks = locks.clone();
        spawn(move || {
            thread::begin(number);
            fork(&locks);
        })
    });
    if works {
        work(&locks);
    }
    forks.into_iter().for_each(|fork| fork.join().expect("no panic"));
    let [outer, inner] = &*locks;
    assert_eq!((outer.value(), inner.value()), (usize::from(works), usize::from(works)));
}

#[test]
fn two_forking_threads_both_come_to_hold_every_lock() {
    explore(3, || fork_twice(false));
}

#[test]
fn two_forking_threads_find_whole_what_a_third_works_at() {
    explore(1, || fork_twice(true));
}

#[test]
fn a_forking_thread_finds_whole_what_another_works_at() {
    explore(3, || {
        let locks: Arc<[Guarded; 2]> = Arc::new([Guarded::new(), Guarded::new()]);
        let other = {
            let locks = locks.clone();
            spawn(move || {
                thread::begin(2);
                fork(&locks);
            })
        };
        work(&locks);
        other.join().expect("no panic");
    });
}

/// A child frees what threads that are not there have held, and keeps what its only thread holds.
#[test]
fn a_child_frees_the_locks_of_threads_that_are_not_there() {
    explore(1, || {
        let locks = [Guarded::new(), Guarded::new()];
        let [mine, theirs] = &locks;
        thread::begin(2);
        assert!(theirs.word.try_acquire());
        thread::begin(1);
        assert!(mine.word.try_acquire());
        locks.iter().for_each(|lock| lock.word.renew());
        assert!(mine.word.is_mine());
        assert!(!mine.word.try_acquire() && theirs.word.try_acquire());
    });
}
