//! Memory for the frames of one thread's stack, outside of every heap: grows by doubling, up to 64 Ki frames.

use core::ptr::NonNull;

use crate::sys::memory;

/// Most frames of a stack that are walked.
pub(super) const MOST: usize = 1 << 16;
const FIRST: usize = 128;

/// A frame that is kept: what verifying reads.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Link {
    /// rsp there; in its three low bits how the frame was reached ([`super::memo`]).
    pub(super) sp: usize,
    /// The pc with its marks.
    pub(super) pc: usize,
}

/// The rest of it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct More {
    /// rbp there.
    pub(super) fp: usize,
    /// Where that was read.
    pub(super) slot: usize,
    /// Hash of this frame and all further out.
    pub(super) hash: u64,
    /// The depot's node for them; 0: not known.
    pub(super) node: u32,
}

/// A frame that this walk has found, or found anew.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Fresh {
    pub(super) pc: usize,
    pub(super) sp: usize,
    pub(super) fp: usize,
    pub(super) slot: usize,
    /// How it was reached, and what its own step does with rbp ([`super::memo`]).
    pub(super) flags: u32,
}

const EACH: usize = size_of::<Link>() + size_of::<More>() + size_of::<Fresh>();

/// Three rows of `room` entries each.
pub(super) struct Rows {
    at: Option<NonNull<u8>>,
    room: usize,
}

impl Rows {
    pub(super) const fn new() -> Self {
        Self { at: None, room: 0 }
    }

    pub(super) const fn room(&self) -> usize {
        self.room
    }

    /// Twice the room; the entries stay. `false`: at the limit, or no memory.
    #[cold]
    pub(super) fn grow(&mut self) -> bool {
        let room = (self.room * 2).max(FIRST);
        if room > MOST {
            return false;
        }
        let Some(fresh) = memory::map(room * EACH).and_then(|at| NonNull::new(at as *mut u8))
        else {
            return false;
        };
        let old = core::mem::replace(self, Self { at: Some(fresh), room });
        // SAFETY: the old rows are shorter than the new ones; of no rows nothing is copied.
        unsafe {
            core::ptr::copy_nonoverlapping(old.links(), self.links(), old.room);
            core::ptr::copy_nonoverlapping(old.more(), self.more(), old.room);
            core::ptr::copy_nonoverlapping(old.fresh(), self.fresh(), old.room);
        }
        true
    }

    fn start(&self) -> *mut u8 {
        self.at.unwrap_or(NonNull::<Fresh>::dangling().cast()).as_ptr()
    }

    /// The first of `room` links.
    #[inline]
    pub(super) fn links(&self) -> *mut Link {
        self.start().cast()
    }

    /// The first of `room` rests.
    #[inline]
    pub(super) fn more(&self) -> *mut More {
        self.start().wrapping_add(self.room * size_of::<Link>()).cast()
    }

    /// The first of `room` fresh frames.
    #[inline]
    pub(super) fn fresh(&self) -> *mut Fresh {
        self.start().wrapping_add(self.room * (size_of::<Link>() + size_of::<More>())).cast()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            // SAFETY: mapped for these rows, which nobody else knows.
            unsafe { memory::unmap(at.as_ptr() as usize, self.room * EACH) };
        }
    }
}
