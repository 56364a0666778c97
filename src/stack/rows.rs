//! Memory for the frames of one thread's stack, outside of every heap: grows by doubling, up to 64 Ki frames.

use core::ptr;

use super::rule::Rule;
use crate::sys::memory;

/// Most frames of a stack that are walked.
pub(super) const MOST: usize = 1 << 16;
const FIRST: usize = 128;

/// A frame that is kept: what verifying reads.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Link {
    /// Where its return address is.
    pub(super) slot: usize,
    /// The pc with its marks.
    pub(super) pc: usize,
}

/// The rest of it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct More {
    /// rbp there.
    pub(super) fp: usize,
    /// Hash of this frame and all further out. Stands here because what was just written in two words and is
    /// read as one makes the processor wait.
    pub(super) hash: u64,
    /// rsp there.
    pub(super) sp: usize,
    /// How it was reached ([`super::memo`]).
    pub(super) reach: usize,
    /// Does rbp matter here or further out?
    pub(super) is_live: bool,
}

/// A frame that this walk has found, or found anew.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Fresh {
    pub(super) pc: usize,
    pub(super) sp: usize,
    pub(super) fp: usize,
    /// How it was reached ([`super::memo`]).
    pub(super) reach: usize,
    pub(super) rule: Rule,
}

const EACH: usize = size_of::<Link>() + size_of::<More>() + size_of::<Fresh>();

/// Where the three rows are.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) links: *mut Link,
    pub(super) more: *mut More,
    pub(super) fresh: *mut Fresh,
    /// Entries in each.
    pub(super) room: usize,
}

/// Three rows of the same length. In zeroed memory, rows of no entries.
pub(super) struct Rows(Places);

impl Rows {
    pub(super) const fn new() -> Self {
        let (links, more, fresh) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        Self(Places { links, more, fresh, room: 0 })
    }

    #[inline(always)]
    pub(super) const fn places(&self) -> Places {
        self.0
    }

    /// Twice the room; the entries stay. `false`: at the limit, or no memory.
    #[cold]
    #[inline(never)]
    pub(super) fn grow(&mut self) -> bool {
        let room = (self.0.room * 2).max(FIRST);
        if room > MOST {
            return false;
        }
        let Some(at) = memory::map(room * EACH) else { return false };
        let links = at as *mut Link;
        let more = links.wrapping_add(room).cast::<More>();
        let fresh = more.wrapping_add(room).cast::<Fresh>();
        let rows = core::mem::replace(self, Self(Places { links, more, fresh, room }));
        let old = rows.0;
        if old.room != 0 {
            // SAFETY: the old rows are shorter than the new ones.
            unsafe {
                ptr::copy_nonoverlapping(old.links, links, old.room);
                ptr::copy_nonoverlapping(old.more, more, old.room);
                ptr::copy_nonoverlapping(old.fresh, fresh, old.room);
            }
        }
        true
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if self.0.room != 0 {
            // SAFETY: mapped for these rows, which nobody else knows.
            unsafe { memory::unmap(self.0.links as usize, self.0.room * EACH) };
        }
    }
}
