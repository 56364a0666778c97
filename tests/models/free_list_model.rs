//! The list of free blocks: no block is handed to two, and none is lost.

#[path = "../../src/own/free_list.rs"]
mod free_list;

use std::array;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::explore;
use crate::sys::atomic::{AtomicU64, Ordering};
use free_list::FreeList;

/// Blocks of a model; 0 is none.
const BLOCKS: usize = 3;

struct Region {
    list: FreeList,
    /// What follows each block, in the block.
    next: [AtomicU64; BLOCKS + 1],
    /// What a block's user writes: loom finds two of them at once.
    contents: [UnsafeCell<u32>; BLOCKS + 1],
}

// SAFETY: a block is its user's from `pop` to `push`; loom tells if not.
unsafe impl Sync for Region {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Region {}

impl Region {
    fn new() -> Arc<Self> {
        let region = Self {
            list: FreeList { head: AtomicU64::new(0) },
            next: array::from_fn(|_| AtomicU64::new(0)),
            contents: array::from_fn(|_| UnsafeCell::new(0)),
        };
        for block in 1..=BLOCKS as u32 {
            region.give_back(block);
        }
        Arc::new(region)
    }

    fn take(&self) -> Option<u32> {
        let next_of = |block| self.next[block as usize].load(Ordering::Relaxed) as u32;
        let block = self.list.pop(next_of)?;
        // The program's words take the link's place.
        self.next[block as usize].store(0x4141_4141, Ordering::Relaxed);
        // SAFETY: this thread's.
        self.contents[block as usize].with_mut(|contents| unsafe { *contents += 1 });
        Some(block)
    }

    fn give_back(&self, block: u32) {
        self.list.push(block, |next| {
            self.next[block as usize].store(u64::from(next), Ordering::Relaxed);
        });
    }

    fn take_all(&self) -> Vec<u32> {
        let mut all: Vec<u32> = std::iter::from_fn(|| self.take()).collect();
        all.sort_unstable();
        all
    }
}

/// One takes two blocks and puts the first back: the list looks as another one has read it, but for
/// the tag.
#[test]
fn a_list_that_looks_untouched_is_not_taken_for_it() {
    explore(3, || {
        let region = Region::new();
        let other = {
            let region = region.clone();
            thread::spawn(move || {
                let (first, second) = (region.take(), region.take());
                if let Some(first) = first {
                    region.give_back(first);
                }
                second
            })
        };
        let mine = region.take();
        let theirs = other.join().expect("no panic");
        let mut all = region.take_all();
        all.extend(mine.into_iter().chain(theirs));
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
    });
}

#[test]
fn three_who_take_and_give_back_never_share_a_block() {
    explore(2, || {
        let region = Region::new();
        let others = [(), ()].map(|()| {
            let region = region.clone();
            thread::spawn(move || {
                if let Some(block) = region.take() {
                    region.give_back(block);
                }
            })
        });
        let mine = region.take();
        for other in others {
            other.join().expect("no panic");
        }
        region.give_back(mine.expect("three blocks for three"));
        assert_eq!(region.take_all(), [1, 2, 3]);
    });
}
