//! What the leak check asks of the heap: where its memory is, and what a live block's head says.

use crate::checks::deferred_free;
use crate::checks::guard::slots;
use crate::checks::heap::CheckedHeap;
use crate::checks::layout::BlockHeader;
use crate::model::finding::Life;
use crate::shadow::guarded_slots::Slot;
use crate::sys::thread;
use crate::sys::thread_number;

/// A live block with a mapping of its own.
#[derive(Clone, Copy, Debug)]
pub struct Large {
    /// Its first byte.
    pub user: usize,
    /// Bytes as requested.
    pub size: usize,
}

/// The facts of a live block.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Bytes as requested.
    pub size: usize,
    /// Number of the thread that allocated it, if that is known.
    pub thread: Option<u16>,
    /// Is it never this process's leak: asked for, or inherited over fork?
    pub is_exempt: bool,
}

impl CheckedHeap {
    /// Does what of the program's own calls is still to be done: frees that its signal handlers
    /// left.
    pub fn settle(&self) {
        deferred_free::drain(|pointer, code| self.free_deferred(pointer, code));
    }

    /// Calls `each` with all memory that may hold blocks, mapped ones apart, first byte and first
    /// byte behind.
    pub fn for_each_stretch(&self, mut each: impl FnMut(usize, usize)) {
        self.arenas().for_each(|arena| {
            let arena_state = arena.lock();
            arena_state.heap.stretches().for_each(|(start, end)| each(start, end));
        });
    }

    /// Calls `each` with every mapping that is or was a block: first byte, first byte behind, and
    /// the block if it is live.
    pub fn for_each_mapped(&self, mut each: impl FnMut(usize, usize, Option<Large>)) {
        let list = self.mapped().lock();
        for mapped in list.all() {
            let block = &mapped.block;
            let size = block.size.filter(|_| block.life == Life::Live);
            let large = size.map(|size| Large { user: block.user, size });
            each(mapped.span.start, mapped.span.end(), large);
        }
    }

    /// Bytes of the live block at `user`, from there on.
    #[inline(always)]
    pub fn extent(&self, user: usize) -> usize {
        if let Some(bytes) = slots::extent_of(user) {
            return bytes;
        }
        if self.is_checked() {
            // SAFETY: the shadow says that a block is live there.
            let word = unsafe { self.canaries().head_word(user) };
            return word.map_or_else(|| self.damaged_extent(user), super::header::HeaderWord::size);
        }
        self.size_of(user)
    }

    /// First byte and bytes of the live block that the shadow has at `block`.
    pub fn place_of(&self, block: usize) -> (usize, usize) {
        match slots::slot_about(block).and_then(Slot::block) {
            Some(place) => place,
            None => (block, self.extent(block)),
        }
    }

    #[cold]
    fn damaged_extent(&self, user: usize) -> usize {
        // SAFETY: callers name live blocks of a heap with canaries, whose heads are in front of
        // them.
        unsafe { self.canaries().salvage_head(user) }.map_or(0, |head| head.size)
    }

    /// Can it be noted of a block that it is exempt, and seen that it is inherited? Not without
    /// canaries.
    pub fn notes_exemption(&self) -> bool {
        self.is_checked()
    }

    /// What is known of the live block at `user`. Without canaries nothing is exempt.
    #[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_facts"))]
    pub fn facts(&self, user: usize) -> Facts {
        let size = self.extent(user);
        if !self.is_checked() {
            return Facts { size, thread: None, is_exempt: false };
        }
        let head = slots::head_of(user).or_else(|| {
            // SAFETY: callers name live blocks, and with canaries each has a head in front of it
            // that is in no guarded slot.
            unsafe { self.canaries().read_head(user) }
        });
        let is_exempt = |head: BlockHeader| head.exempt || thread_number::is_inherited(head.thread);
        let thread = head.map(|head| head.thread);
        let size = slots::head_of(user).map_or(size, |head| head.size);
        Facts { size, thread, is_exempt: head.is_some_and(is_exempt) }
    }

    /// Makes the live block at `user` exempt from the leak check. Says whether it was not before;
    /// `None`: that cannot be noted, since there are no canaries or they are damaged.
    pub fn exempt(&self, user: usize) -> Option<bool> {
        if !self.is_checked() {
            return None;
        }
        if slots::head_of(user).is_some() {
            return slots::exempt(user);
        }
        // SAFETY: callers name live blocks, and with canaries each has a head in front of it that
        // is in no guarded slot.
        let head = unsafe { self.canaries().read_head(user) }?;
        // SAFETY: the head was read there; one bit of it changes, and the checksum over it.
        unsafe { self.canaries().write_head(user, BlockHeader { exempt: true, ..head }) };
        Some(!head.exempt)
    }

    /// The calling thread's blocks are exempt from here on, until it has asked as often for the end
    /// of that.
    pub fn exempt_allocations(&self, starts: bool) {
        thread::set_blind(starts);
        thread::set_arena(thread::arena(), self.has_fast_path());
    }
}
