//! malloc_usable_size: how many bytes are at an address.

use crate::checks::guard::slots;
use crate::checks::heap::CheckedHeap;
use crate::checks::layout::{HeaderWord, LEAD, TAIL};
use crate::heap::capacity_by_word;
use crate::heap::size::WORD;
use crate::model::finding::Operation;
use crate::own::{self, Region};
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::sys::thread;

impl CheckedHeap {
    /// As [`CheckedHeap::usable_size`] for a live block of a cached class; `None` for all else. A
    /// head that was written over is told of when the block is freed: here only a size that cannot
    /// be is turned down.
    #[inline(always)]
    pub fn usable_size_fast(&self, user: usize) -> Option<usize> {
        let capacity = block_table::capacity(user)?;
        if !self.is_checked() {
            return Some(capacity);
        }
        // SAFETY: the shadow says that a block is live there.
        let size = unsafe { HeaderWord::of(user) }.size();
        (size <= capacity - LEAD - TAIL).then_some(size)
    }

    /// Bytes the program may use at `user`: exactly what it asked for. 0 for NULL, and after a
    /// finding.
    #[inline]
    pub fn usable_size(&self, user: usize) -> usize {
        if let Some(slot) = slots::slot_of(user).filter(|slot| slot.is_live()) {
            return slot.block().map_or(0, |(_, size)| size);
        }
        match block_table::state(user) {
            Some(BlockState::Live(Some(class))) if !self.is_checked() => class.capacity(),
            Some(BlockState::Live(_) | BlockState::Busy | BlockState::Guarded) => {
                self.size_of(user)
            }
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

    pub(crate) fn size_of(&self, user: usize) -> usize {
        if let Some(head) = slots::head_of(user) {
            return head.size;
        }
        if self.is_checked() {
            // SAFETY: the shadow says that a block is live there.
            return unsafe { self.canaries().read_head(user) }.map_or(0, |head| head.size);
        }
        if let Some(BlockState::Live(Some(class))) = block_table::state(user) {
            return class.capacity();
        }
        // By the chunk's word: a handler may have interrupted whoever holds the heap's lock.
        // SAFETY: the shadow says that a block is live there, and without canaries a block starts
        // where its payload does, with the chunk's word in front.
        unsafe { capacity_by_word(self.canaries().heap_key(), user - WORD) }.unwrap_or(0)
    }
}
