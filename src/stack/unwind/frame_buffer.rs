//! Memory for the frames of one thread's stack, outside of every heap: grows by doubling, up to 64
//! Ki frames.

use core::mem::MaybeUninit;
use core::ptr;

use crate::arch::CallFrame;
use crate::stack::unwind::rule::UnwindRule;
use crate::sys::memory;

/// Most frames of a stack that are walked.
pub(crate) const MOST: usize = 1 << 16;
const FIRST: usize = 128;

/// A frame that is kept: what verifying reads.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct KeptFrame {
    /// Where its return address is.
    pub(crate) slot: usize,
    /// The pc with its marks.
    pub(crate) pc: usize,
}

/// The rest of it: half a cache line.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct KeptFrameRest {
    /// rbp there.
    pub(crate) fp: usize,
    /// Hash of this frame and all further out. Stands here because what was just written in two
    /// words and is read as one makes the processor wait.
    pub(crate) hash: u64,
    /// rsp there.
    pub(crate) sp: usize,
    /// How it was reached, and whether rbp matters.
    pub(crate) how: ReachedBy,
}

/// How a frame was reached ([`crate::stack::unwind::frame_cache`]), and in bit 0 whether rbp
/// matters there or further out.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct ReachedBy(usize);

impl ReachedBy {
    const LIVE: usize = 1;

    #[inline(always)]
    pub(crate) const fn new(reach: usize, is_live: bool) -> Self {
        Self(reach & !Self::LIVE | is_live as usize)
    }

    #[inline(always)]
    pub(crate) const fn reach(self) -> usize {
        self.0 & !Self::LIVE
    }

    #[inline(always)]
    pub(crate) const fn is_live(self) -> bool {
        self.0 & Self::LIVE != 0
    }
}

/// A frame that this walk has found, or found anew. As long as a cache line, so that to count them
/// is no division.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct NewFrame {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) fp: usize,
    /// How it was reached ([`crate::stack::unwind::frame_cache`]).
    pub(crate) reach: usize,
    pub(crate) rule: UnwindRule,
    rest: MaybeUninit<[usize; 3]>,
}

impl NewFrame {
    /// All but how it was reached.
    #[inline(always)]
    pub(crate) const fn set(&mut self, frame: CallFrame, rule: UnwindRule) {
        (self.pc, self.sp, self.fp, self.rule) = (frame.pc, frame.sp, frame.fp, rule);
    }
}

const _: () = assert!(size_of::<NewFrame>().is_power_of_two());

const EACH: usize = size_of::<KeptFrame>() + size_of::<KeptFrameRest>() + size_of::<NewFrame>();

const fn bytes_of(room: usize) -> usize {
    size_of::<KeptFrame>() + size_of::<KeptFrameRest>() + room * EACH + size_of::<NewFrame>()
}

/// Where the three rows are.
#[derive(Clone, Copy)]
pub(crate) struct BufferParts {
    /// In front of the first, the outermost frame, stands one that nothing agrees with: who goes
    /// outwards stops there.
    pub(crate) links: *mut KeptFrame,
    /// In front of its first stands one whose rsp is above all.
    pub(crate) more: *mut KeptFrameRest,
    pub(crate) fresh: *mut NewFrame,
    /// Where that row ends but for one more.
    pub(crate) end: *mut NewFrame,
    /// Entries in each.
    pub(crate) room: usize,
}

/// Three rows of the same length. In zeroed memory, rows of no entries.
pub(crate) struct FrameBuffer(BufferParts);

impl FrameBuffer {
    pub(crate) const fn new() -> Self {
        let (links, more) = (ptr::null_mut(), ptr::null_mut());
        Self(BufferParts { links, more, fresh: ptr::null_mut(), end: ptr::null_mut(), room: 0 })
    }

    #[inline(always)]
    pub(crate) const fn places(&self) -> BufferParts {
        self.0
    }

    /// Twice the room; the entries stay. At `nowhere` 0 is read. `false`: at the limit, or no
    /// memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn grow(&mut self, nowhere: usize) -> bool {
        let room = (self.0.room * 2).max(FIRST);
        if room > MOST {
            return false;
        }
        let Some(at) = memory::map(bytes_of(room)) else { return false };
        let links = (at as *mut KeptFrame).wrapping_add(1);
        let more = links.wrapping_add(room).cast::<KeptFrameRest>().wrapping_add(1);
        let above_all =
            KeptFrameRest { fp: 0, hash: 0, sp: usize::MAX, how: ReachedBy::new(0, false) };
        // SAFETY: in front of the first of both rows there is room for one more.
        unsafe {
            links.sub(1).write(KeptFrame { slot: nowhere, pc: usize::MAX });
            more.sub(1).write(above_all);
        }
        let fresh = more.wrapping_add(room).cast::<NewFrame>();
        let end = fresh.wrapping_add(room);
        let rows = core::mem::replace(self, Self(BufferParts { links, more, fresh, end, room }));
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
    pub(crate) fn grow_at(&mut self, next: *mut NewFrame, nowhere: usize) -> Option<*mut NewFrame> {
        let written = (next as usize - self.0.fresh as usize) / size_of::<NewFrame>();
        self.grow(nowhere).then(|| self.0.fresh.wrapping_add(written))
    }
}

impl Drop for FrameBuffer {
    fn drop(&mut self) {
        if self.0.room != 0 {
            // SAFETY: mapped for these rows, which nobody else knows.
            unsafe { memory::unmap(self.0.links.sub(1) as usize, bytes_of(self.0.room)) };
        }
    }
}
