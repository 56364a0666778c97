//! malloc_usable_size: how many bytes are at an address.

use super::block::{HeadWord, LEAD, TAIL};
use super::checked::CheckedHeap;
use super::registry::{self, State};
use crate::finding::Operation;
use crate::heap::capacity_by_word;
use crate::heap::size::WORD;
use crate::own::{self, Region};
use crate::sys::thread;

impl CheckedHeap {
    /// As [`CheckedHeap::usable_size`] for a live block of a cached class; `None` for all else. A
    /// head that was written over is told of when the block is freed: here only a size that cannot
    /// be is turned down.
    #[inline(always)]
    pub fn usable_quickly(&self, user: usize) -> Option<usize> {
        let capacity = registry::capacity(user)?;
        if !self.is_guarded() {
            return Some(capacity);
        }
        // SAFETY: the registry says that a block is live there.
        let size = unsafe { HeadWord::of(user) }.size();
        (size <= capacity - LEAD - TAIL).then_some(size)
    }

    /// Bytes the program may use at `user`: exactly what it asked for. 0 for NULL, and after a
    /// finding.
    #[inline]
    pub fn usable_size(&self, user: usize) -> usize {
        match registry::state(user) {
            Some(State::Live(Some(class))) if !self.is_guarded() => class.capacity(),
            Some(State::Live(_) | State::Busy) => self.size_of(user),
            _ => self.size_apart(user),
        }
    }

    /// Bytes at what is no live block of the heap's.
    #[cold]
    fn size_apart(&self, user: usize) -> usize {
        if user == 0 {
            return 0;
        }
        if let Some(region) = own::region_of(user) {
            let locked_out = region == Region::Own && thread::is_critical();
            return if locked_out { 0 } else { own::size_of_block(region, user as *mut u8) };
        }
        // A handler that interrupted one of our locks gets no answer, and no report.
        if !thread::is_critical() {
            self.refuse(user, Operation::UsableSize);
        }
        0
    }

    pub(super) fn size_of(&self, user: usize) -> usize {
        if self.is_guarded() {
            // SAFETY: the registry says that a block is live there.
            return unsafe { self.canaries().read_head(user) }.map_or(0, |head| head.size);
        }
        if let Some(State::Live(Some(class))) = registry::state(user) {
            return class.capacity();
        }
        // By the chunk's word: a handler may have interrupted whoever holds the heap's lock.
        // SAFETY: the registry says that a block is live there, and without canaries a block starts
        // where its payload does, with the chunk's word in front.
        unsafe { capacity_by_word(self.canaries().heap_key(), user - WORD) }.unwrap_or(0)
    }
}
