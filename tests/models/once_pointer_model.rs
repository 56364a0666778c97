//! What is published once and stays, as the shadow's leaves are: all threads agree on one, see it
//! whole, and find it in the list once.

#[allow(unreachable_pub, reason = "the crate's other modules use what its file makes public")]
#[path = "../../src/sys/once_pointer.rs"]
mod once_pointer;

use std::ptr;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::explore;
use crate::sys::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use once_pointer::{Link, Linked, List, load_or_publish};

/// A leaf of two words: where it begins, written before it is published, and its blocks.
struct Leaf {
    base: UnsafeCell<usize>,
    blocks: AtomicUsize,
    link: Link<Leaf>,
}

impl Linked for Leaf {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Leaf {
    fn make(base: usize) -> *mut Self {
        let link = Link { listed: AtomicBool::new(false), next: AtomicPtr::new(ptr::null_mut()) };
        let leaf = Self { base: UnsafeCell::new(0), blocks: AtomicUsize::new(0), link };
        // SAFETY: not shared yet.
        leaf.base.with_mut(|word| unsafe { *word = base });
        Box::into_raw(Box::new(leaf))
    }

    fn base(&self) -> usize {
        // SAFETY: nobody writes it once it is published; loom tells if that was not before.
        self.base.with(|word| unsafe { *word })
    }
}

/// A table of two leaves, and the list of all.
struct Registry {
    table: [AtomicPtr<Leaf>; 2],
    list: List<Leaf>,
}

impl Registry {
    fn new() -> Arc<Self> {
        let table = [(), ()].map(|()| AtomicPtr::new(ptr::null_mut()));
        Arc::new(Self { table, list: List { first: AtomicPtr::new(ptr::null_mut()) } })
    }

    /// As the shadow's `leaf_for`: what is there already may not be listed yet.
    fn cover(&self, index: usize) -> &'static Leaf {
        let known = self.table[index].load(Ordering::Acquire);
        // SAFETY: null, or a leaf that stays until the model's end.
        if let Some(leaf) = unsafe { known.as_ref() } {
            return leaf;
        }
        let unmake = |fresh| {
            // SAFETY: made by `make`, and nobody else has seen it.
            drop(unsafe { Box::from_raw(fresh) });
        };
        let leaf = load_or_publish(&self.table[index], || Some(Leaf::make(index + 1)), unmake);
        // SAFETY: a leaf that stays until the model's end.
        let leaf = unsafe { &*leaf.expect("a leaf") };
        self.list.add(leaf);
        leaf
    }

    fn listed(&self) -> Vec<usize> {
        let mut bases: Vec<usize> = self.list.iter().map(Leaf::base).collect();
        bases.sort_unstable();
        bases
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for leaf in &self.table {
            let leaf = leaf.load(Ordering::Relaxed);
            if !leaf.is_null() {
                // SAFETY: made by `make`; the model is over.
                drop(unsafe { Box::from_raw(leaf) });
            }
        }
    }
}

#[test]
fn two_that_make_a_leaf_agree_on_one_and_list_it_once() {
    explore(3, || {
        let registry = Registry::new();
        let others = [(), ()].map(|()| {
            let registry = registry.clone();
            thread::spawn(move || {
                let leaf = registry.cover(0);
                assert_eq!(leaf.base(), 1);
                leaf.blocks.fetch_add(1, Ordering::Relaxed);
            })
        });
        // One who looks meanwhile sees the leaf whole, or not at all.
        let seen = registry.listed();
        assert!(seen.is_empty() || seen == [1], "{seen:?}");
        for other in others {
            other.join().expect("no panic");
        }
        assert_eq!(registry.listed(), [1]);
        let blocks: Vec<usize> =
            registry.list.iter().map(|leaf| leaf.blocks.load(Ordering::Relaxed)).collect();
        assert_eq!(blocks, [2], "both have made their block in the leaf that is listed");
    });
}

/// The leak check waits for a thread in a critical section, which making a leaf is: once the maker
/// is out of it, a block that another thread has made in the leaf is found by the list.
#[test]
fn a_leaf_is_listed_once_its_maker_is_out_of_the_section() {
    explore(3, || {
        let registry = Registry::new();
        let section = Arc::new(AtomicBool::new(true));
        let maker = {
            let (registry, section) = (registry.clone(), section.clone());
            thread::spawn(move || {
                registry.cover(0);
                section.store(false, Ordering::Release);
            })
        };
        let user = {
            let registry = registry.clone();
            thread::spawn(move || {
                let leaf = registry.table[0].load(Ordering::Acquire);
                // SAFETY: null, or a leaf that stays until the model's end.
                if let Some(leaf) = unsafe { leaf.as_ref() } {
                    leaf.blocks.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        user.join().expect("no panic");
        while section.load(Ordering::Acquire) {
            thread::yield_now();
        }
        assert_eq!(registry.listed(), [1]);
        maker.join().expect("no panic");
    });
}

#[test]
fn leaves_of_two_makers_are_both_listed() {
    explore(3, || {
        let registry = Registry::new();
        let other = {
            let registry = registry.clone();
            thread::spawn(move || registry.cover(1).base())
        };
        assert_eq!(registry.cover(0).base(), 1);
        assert_eq!(other.join().expect("no panic"), 2);
        assert_eq!(registry.listed(), [1, 2]);
    });
}
