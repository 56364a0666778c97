//! Memory for the frames of one thread's stack, outside of every heap: grows by doubling, up to 64
//! Ki frames.

use core::mem::MaybeUninit;
use core::ptr;

use super::rule::Rule;
use super::unwind::Frame;
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

/// The rest of it: half a cache line.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct More {
    /// rbp there.
    pub(super) fp: usize,
    /// Hash of this frame and all further out. Stands here because what was just written in two
    /// words and is read as one makes the processor wait.
    pub(super) hash: u64,
    /// rsp there.
    pub(super) sp: usize,
    /// How it was reached, and whether rbp matters.
    pub(super) how: How,
}

/// How a frame was reached ([`super::memo`]), and in bit 0 whether rbp matters there or further
/// out.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct How(usize);

impl How {
    const LIVE: usize = 1;

    #[inline(always)]
    pub(super) const fn new(reach: usize, is_live: bool) -> Self {
        Self(reach & !Self::LIVE | is_live as usize)
    }

    #[inline(always)]
    pub(super) const fn reach(self) -> usize {
        self.0 & !Self::LIVE
    }

    #[inline(always)]
    pub(super) const fn is_live(self) -> bool {
        self.0 & Self::LIVE != 0
    }
}

/// A frame that this walk has found, or found anew. As long as a cache line, so that to count them
/// is no division.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Fresh {
    pub(super) pc: usize,
    pub(super) sp: usize,
    pub(super) fp: usize,
    /// How it was reached ([`super::memo`]).
    pub(super) reach: usize,
    pub(super) rule: Rule,
    rest: MaybeUninit<[usize; 3]>,
}

impl Fresh {
    /// All but how it was reached.
    #[inline(always)]
    pub(super) const fn set(&mut self, frame: Frame, rule: Rule) {
        (self.pc, self.sp, self.fp, self.rule) = (frame.pc, frame.sp, frame.fp, rule);
    }
}

const _: () = assert!(size_of::<Fresh>().is_power_of_two());

const EACH: usize = size_of::<Link>() + size_of::<More>() + size_of::<Fresh>();

const fn bytes_of(room: usize) -> usize {
    size_of::<Link>() + size_of::<More>() + room * EACH + size_of::<Fresh>()
}

/// Where the three rows are.
#[derive(Clone, Copy)]
pub(super) struct Places {
    /// In front of the first, the outermost frame, stands one that nothing agrees with: who goes
    /// outwards stops there.
    pub(super) links: *mut Link,
    /// In front of its first stands one whose rsp is above all.
    pub(super) more: *mut More,
    pub(super) fresh: *mut Fresh,
    /// Where that row ends but for one more.
    pub(super) end: *mut Fresh,
    /// Entries in each.
    pub(super) room: usize,
}

/// Three rows of the same length. In zeroed memory, rows of no entries.
pub(super) struct Rows(Places);

impl Rows {
    pub(super) const fn new() -> Self {
        let (links, more) = (ptr::null_mut(), ptr::null_mut());
        Self(Places { links, more, fresh: ptr::null_mut(), end: ptr::null_mut(), room: 0 })
    }

    #[inline(always)]
    pub(super) const fn places(&self) -> Places {
        self.0
    }

    /// Twice the room; the entries stay. At `nowhere` 0 is read. `false`: at the limit, or no
    /// memory.
    #[cold]
    #[inline(never)]
    pub(super) fn grow(&mut self, nowhere: usize) -> bool {
        let room = (self.0.room * 2).max(FIRST);
        if room > MOST {
            return false;
        }
        let Some(at) = memory::map(bytes_of(room)) else { return false };
        let links = (at as *mut Link).wrapping_add(1);
        let more = links.wrapping_add(room).cast::<More>().wrapping_add(1);
        let above_all = More { fp: 0, hash: 0, sp: usize::MAX, how: How::new(0, false) };
        // SAFETY: in front of the first of both rows there is room for one more.
        unsafe {
            links.sub(1).write(Link { slot: nowhere, pc: usize::MAX });
            more.sub(1).write(above_all);
        }
        let fresh = more.wrapping_add(room).cast::<Fresh>();
        let end = fresh.wrapping_add(room);
        let rows = core::mem::replace(self, Self(Places { links, more, fresh, end, room }));
        let old = rows.0;
        if old.room != 0 {
            // SAFETY: the old rows are shorter than the new ones.
            unsafe {
                ptr::copy_nonoverlapping(old.links, links, old.room);
                ptr::copy_nonoverlapping(old.more, more, old.room);
                ptr::copy_nonoverlapping(old.fresh, fresh, old.room + 1);
            }
        }
        true
    }

    /// The same for the row of fresh frames, of which `next` is the place behind the last: returns
    /// where that is now.
    #[cold]
    #[inline(never)]
    pub(super) fn grow_at(&mut self, next: *mut Fresh, nowhere: usize) -> Option<*mut Fresh> {
        let written = (next as usize - self.0.fresh as usize) / size_of::<Fresh>();
        self.grow(nowhere).then(|| self.0.fresh.wrapping_add(written))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if self.0.room != 0 {
            // SAFETY: mapped for these rows, which nobody else knows.
            unsafe { memory::unmap(self.0.links.sub(1) as usize, bytes_of(self.0.room)) };
        }
    }
}
