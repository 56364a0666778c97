//! Free blocks that any thread, and a signal handler in the middle of that, takes and puts back
//! without a lock. A block is known by a number other than 0; the number that follows it is kept
//! where only the list's user can reach: in the block itself.

use crate::sys::atomic::{AtomicU64, Ordering};

/// A list of free blocks, the one put in last first.
pub(super) struct FreeList {
    /// Low half: the first block, 0: none. High half: a tag that each step changes, so that a
    /// block which was taken and put back meanwhile is not mistaken for untouched.
    pub(super) head: AtomicU64,
}

/// The head after a step from `head`, with `first` as the first block.
const fn after(head: u64, first: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | first as u64
}

impl FreeList {
    /// Takes the first block out. `next_of` reads what follows a block; if another thread takes
    /// that block meanwhile, what it reads may be anything and goes unused.
    pub(super) fn pop(&self, next_of: impl Fn(u32) -> u32) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let first = head as u32;
            if first == 0 {
                return None;
            }
            let new = after(head, next_of(first));
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(first),
                Err(now) => head = now,
            }
        }
    }

    /// Puts a block in, which is the caller's alone. `link` notes what follows it.
    pub(super) fn push(&self, block: u32, link: impl Fn(u32)) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link(head as u32);
            let new = after(head, block);
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}
