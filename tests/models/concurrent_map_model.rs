//! The table of words by key: it may forget, but says nothing that was not put.

#[path = "../../src/stack/concurrent_map.rs"]
mod concurrent_map;

/// A table whose entries are loom's, and which begins with four: the third key makes it grow.
mod map_table {
    use crate::sys::atomic::{AtomicU64, AtomicUsize};

    pub(super) const FIRST_BITS: u32 = 2;

    pub(super) struct MapEntry {
        pub(super) key: AtomicU64,
        pub(super) word: AtomicU64,
    }

    pub(super) struct MapTable {
        pub(super) bits: u32,
        pub(super) used: AtomicUsize,
        entries: Vec<MapEntry>,
    }

    impl MapTable {
        pub(super) fn map(bits: u32) -> Option<&'static Self> {
            let entry = |_| MapEntry { key: AtomicU64::new(0), word: AtomicU64::new(0) };
            let entries = (0..1 << bits).map(entry).collect();
            Some(Box::leak(Box::new(Self { bits, used: AtomicUsize::new(0), entries })))
        }

        pub(super) fn entries(&self) -> &[MapEntry] {
            &self.entries
        }

        pub(super) fn entry(&self, index: usize) -> &MapEntry {
            &self.entries[index]
        }
    }
}

use std::marker::PhantomData;
use std::ptr;

use loom::sync::Arc;
use loom::thread;

use crate::explore;
use crate::sys::atomic::{AtomicBool, AtomicPtr, Ordering};
use concurrent_map::{ConcurrentMap, Keys};

/// Keys of two halves; one with another upper half is over.
struct Halves;

impl Keys for Halves {
    const CHANGES_HANDS: bool = true;

    fn place(key: u64, bits: u32) -> usize {
        key as usize & ((1 << bits) - 1)
    }

    fn is_over(key: u64, other: u64) -> bool {
        key >> 32 != other >> 32
    }
}

fn pairs() -> Arc<ConcurrentMap<Halves>> {
    Arc::new(ConcurrentMap {
        current: AtomicPtr::new(ptr::null_mut()),
        growing: AtomicBool::new(false),
        keys: PhantomData,
    })
}

/// The word that stands for a key.
fn word_of(key: u64) -> u64 {
    key * 3
}

/// What a thread does of a capture: ask, and put what is not known.
fn know(pairs: &ConcurrentMap<Halves>, key: u64) {
    match pairs.get(key) {
        Some(found) => assert_eq!(found, word_of(key), "of {key:#x}"),
        None => pairs.put(key, word_of(key)),
    }
}

/// The table grows under the hands of two threads, two keys of which want the same entry.
#[test]
fn what_is_found_while_the_table_grows_was_put_for_the_key() {
    explore(2, || {
        let pairs = pairs();
        let others = [vec![2, 3], vec![6]].map(|keys| {
            let pairs = pairs.clone();
            thread::spawn(move || keys.into_iter().for_each(|key| know(&pairs, key)))
        });
        if let Some(found) = pairs.get(2) {
            assert_eq!(found, word_of(2));
        }
        for other in others {
            other.join().expect("no panic");
        }
        for key in [2, 3, 6] {
            know(&pairs, key);
        }
    });
}

/// An entry whose key is over is given to another one while its reader looks.
#[test]
fn an_entry_that_changes_hands_is_not_read_for_the_other_key() {
    explore(3, || {
        let pairs = pairs();
        pairs.put(2, word_of(2));
        let other = {
            let pairs = pairs.clone();
            thread::spawn(move || know(&pairs, 1 << 32 | 2))
        };
        if let Some(found) = pairs.get(2) {
            assert_eq!(found, word_of(2));
        }
        other.join().expect("no panic");
        know(&pairs, 1 << 32 | 2);
    });
}

/// What is forgotten at once is not found half.
#[test]
fn a_table_that_is_emptied_says_nothing_untrue() {
    explore(3, || {
        let pairs = pairs();
        pairs.put(2, word_of(2));
        let emptier = {
            let pairs = pairs.clone();
            thread::spawn(move || pairs.clear())
        };
        know(&pairs, 2);
        know(&pairs, 3);
        emptier.join().expect("no panic");
        know(&pairs, 2);
        know(&pairs, 3);
    });
}

/// A child whose parent was making the table anew makes one itself.
#[test]
fn a_child_forgets_a_growth_that_its_parent_had_begun() {
    explore(1, || {
        let pairs = pairs();
        pairs.growing.store(true, Ordering::Relaxed);
        pairs.put(2, word_of(2));
        assert_eq!(pairs.get(2), None);
        pairs.renew_after_fork();
        pairs.put(2, word_of(2));
        assert_eq!(pairs.get(2), Some(word_of(2)));
    });
}
