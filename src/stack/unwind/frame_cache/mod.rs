//! The frame cache: the last stack of a thread, so that only what has changed since is unwound by
//! rule.
//!
//! A walk goes outwards by rule until it comes to a frame that the frame cache has, with the same
//! pc, rsp and, where it matters, rbp. From there on the outcome is known unless memory has
//! changed: unwinding is a function of what it reads. So the rest is verified, one load and compare
//! a frame, and taken over. Exact, because:
//!
//! - M1: every slot that a step has read is compared: the return address, and rbp's where rbp is
//!   live, that is where a frame further out goes by it before it is loaded again.
//! - M2: steps that read more (signal frames, CFAs in memory, guesses) are done again and compared,
//!   and so is that from the outermost frame, unless its rule says that nothing called it.
//! - M3: rules are of one epoch: the frame cache is dropped when a module has been unloaded.
//! - M4: a slot is read only if the step that would read it has been confirmed up to there.

mod keep;
mod verify;

use core::cell::Cell;

use crate::arch::CallFrame;
use crate::stack::depot::prefix_hash;
use crate::stack::depot::prefix_hash::{DARK, WHOLE};
use crate::stack::unwind::frame_buffer::{
    BufferParts, FrameBuffer, KeptFrame, KeptFrameRest, NewFrame, ReachedBy,
};
use crate::stack::unwind::rule::{RuleKind, UnwindRule};
use crate::stack::unwind::step::{
    EXACT, GUESSED, Reach, Source, Step, limit_of, register_in, step, step_near,
};

/// How a frame was reached, in a word: by its return address alone, by a step that has to be done
/// again, or by that address and rbp, whose slot's address the word is then, a multiple of 8.
const PLAIN: usize = 0;
const AGAIN: usize = 2;

/// The last stack of one thread.
pub struct FrameCache {
    rows: FrameBuffer,
    /// Frames kept, outermost first.
    len: usize,
    /// Does the stack end where it cannot be followed?
    lost: bool,
    /// Does it end by what memory says, not by a rule?
    open: bool,
    /// Was it too deep to be followed by guesses?
    is_deep: Cell<bool>,
    /// Frames that were gone through by rule, in all walks.
    #[cfg(feature = "oracle")]
    pub(crate) by_rule: u64,
}

impl Default for FrameCache {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameCache {
    /// Nothing is kept.
    pub const fn new() -> Self {
        Self {
            rows: FrameBuffer::new(),
            len: 0,
            lost: false,
            open: false,
            is_deep: Cell::new(false),
            #[cfg(feature = "oracle")]
            by_rule: 0,
        }
    }

    /// Forgets what is kept.
    pub const fn drop_frames(&mut self) {
        self.len = 0;
    }

    /// Walks the stack from `start` outwards. After that the frame cache holds it, whole.
    #[inline(always)]
    pub fn walk<S: Source>(&mut self, source: &S, start: CallFrame) {
        let mut limit = source.limit(start.sp);
        let CallFrame { mut pc, mut sp, mut fp } = start;
        if self.rows.places().room == 0 && !self.rows.grow(source.nowhere()) {
            return self.end(source, true, true, self.rows.places().fresh);
        }
        let mut places = self.rows.places();
        let mut next = places.fresh;
        // SAFETY: the first; there is room for one more than are fresh.
        unsafe { (*next).reach = PLAIN };
        // Behind the frames that are kept so far.
        let mut outer = places.more.wrapping_add(self.len);
        loop {
            // The frames further in than this one are gone.
            // SAFETY: behind the frames that are kept.
            let nearest = unsafe { skip_inner(&mut outer, sp) };
            // The one in front of the outermost has an rsp that is none.
            if nearest == sp {
                let frame = CallFrame { pc, sp, fp };
                // SAFETY: `outer` lies behind the frame with that rsp; `next` has its reach.
                match unsafe { self.met(source, outer, next, frame) } {
                    Some((kept, 0)) => break self.keep(source, kept, next),
                    // Up to there it is gone through by rule once more: rbp may matter now.
                    Some((_, left)) => outer = places.more.wrapping_add(left),
                    None => {}
                }
            }
            if next == places.end {
                match self.make_room(source, next, outer) {
                    Some(room) => (next, places, outer) = room,
                    None => break self.end(source, true, true, next),
                }
            }
            let rule = source.rule(pc);
            // SAFETY: made room for, and one more.
            unsafe {
                (*next).set(CallFrame { pc, sp, fp }, rule);
                next = next.add(1);
            }
            if let Some((caller, how)) = step_near(source, rule, CallFrame { pc, sp, fp }, limit) {
                (pc, sp, fp) = (caller.pc, caller.sp, caller.fp);
                // SAFETY: the row has room for one frame more than was made room for.
                unsafe { (*next).reach = how };
                continue;
            }
            match self.step_far(source, next, limit) {
                Step::Caller(caller, how) => {
                    (pc, sp, fp) = (caller.pc, caller.sp, caller.fp);
                    // SAFETY: the row has room for one frame more than was made room for.
                    unsafe { (*next).reach = word_of(how) };
                }
                Step::End => break self.end(source, false, !rule.is(RuleKind::End), next),
                Step::Lost => break self.end(source, true, true, next),
            }
            if pc & EXACT != 0 || sp > limit {
                limit = source.limit(sp);
            }
        }
    }

    /// Is the frame reached the kept one in front of `outer`? Then the number of frames kept up to
    /// it, and how many of them have to be gone through again; 0: none has changed.
    ///
    /// # Safety
    /// `outer` lies behind a frame that is kept, and how the frame was reached is written at
    /// `next`.
    #[inline(always)]
    unsafe fn met<S: Source>(
        &mut self,
        source: &S,
        outer: *mut KeptFrameRest,
        next: *mut NewFrame,
        frame: CallFrame,
    ) -> Option<(usize, usize)> {
        // SAFETY: both are in the row of frames kept, by the caller's word.
        let kept = unsafe { outer.offset_from(self.rows.places().more) as usize };
        // SAFETY: written, by the caller's word.
        let reach = unsafe { (*next).reach };
        self.meets(source, kept - 1, frame, reach).then(|| (kept, self.unchanged(source, kept - 1)))
    }

    /// Room for more fresh frames than end at `next`: the new place of that, of the rows, and of
    /// `outer`. `None`: there is none.
    #[inline(always)]
    fn make_room<S: Source>(
        &mut self,
        source: &S,
        next: *mut NewFrame,
        outer: *mut KeptFrameRest,
    ) -> Option<(*mut NewFrame, BufferParts, *mut KeptFrameRest)> {
        let first = self.rows.places().more;
        let kept = (outer as usize - first as usize) / size_of::<KeptFrameRest>();
        let next = self.rows.grow_at(next, source.nowhere())?;
        let places = self.rows.places();
        Some((next, places, places.more.wrapping_add(kept)))
    }

    /// The step from the outermost of the fresh frames, which end at `next`.
    #[cold]
    #[inline(never)]
    fn step_far<S: Source>(&self, source: &S, next: *mut NewFrame, limit: usize) -> Step {
        let first = self.rows.places().fresh;
        // SAFETY: they have been written one after the other.
        let row = |index: usize| unsafe { *first.add(index) };
        let frame = |index: usize| {
            let NewFrame { pc, sp, fp, .. } = row(index);
            CallFrame { pc, sp, fp }
        };
        // SAFETY: both are in the row of fresh frames.
        let last = unsafe { next.offset_from(first) as usize } - 1;
        let rule = row(last).rule;
        let register = match rule.kind() {
            RuleKind::Register => register_in(source, last, rule.register(), frame),
            _ => None,
        };
        match step(source, rule, frame(last), register, limit) {
            Step::Caller(caller, _) if caller.pc & GUESSED != 0 && last > self.most_guessed() => {
                self.is_deep.set(true);
                Step::Lost
            }
            found => found,
        }
    }

    /// The walk has come to the outermost frame.
    #[cold]
    #[inline(never)]
    fn end<S: Source>(&mut self, source: &S, lost: bool, open: bool, next: *mut NewFrame) {
        (self.lost, self.open) = (lost, open);
        self.is_deep.set(lost && self.is_deep.get());
        self.keep(source, 0, next);
    }

    /// Frames beyond which a stack is not followed by guesses.
    fn most_guessed(&self) -> usize {
        if self.is_deep.get() { FEW_GUESSED } else { MOST_GUESSED }
    }

    #[inline(always)]
    fn link(&self, index: usize) -> &KeptFrame {
        debug_assert!(index < self.rows.places().room);
        // SAFETY: every caller's index is below the number of frames kept.
        unsafe { &*self.rows.places().links.add(index) }
    }

    #[inline(always)]
    fn more(&self, index: usize) -> &KeptFrameRest {
        debug_assert!(index < self.rows.places().room);
        // SAFETY: every caller's index is below the number of frames kept.
        unsafe { &*self.rows.places().more.add(index) }
    }

    /// Number of frames.
    pub const fn depth(&self) -> usize {
        self.len
    }

    /// Does the stack end where it cannot be followed?
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// The frame at `index`, 0 the outermost: its pc with marks.
    pub fn pc(&self, index: usize) -> usize {
        self.link(index).pc
    }

    /// Hash over all frames but those further out than the `most` innermost; `None`: there are no
    /// frames.
    #[inline(always)]
    pub(crate) fn hash_of(&self, most: usize) -> Option<u64> {
        let top = self.len.checked_sub(1)?;
        if top >= most {
            return Some(self.hash(self.len - most, top));
        }
        Some(self.more(top).hash.max(2))
    }

    /// Hash over the frames from `from` to `to`, both included, 256 frames at most; never 0 or 1.
    #[inline]
    pub fn hash(&self, from: usize, to: usize) -> u64 {
        let whole = self.more(to).hash;
        let hash = match from.checked_sub(1) {
            None => whole,
            Some(outer) => prefix_hash::without(whole, self.more(outer).hash, to - outer),
        };
        hash.max(2)
    }

    /// A frame and its rule in words, for the oracle.
    #[cfg(feature = "oracle")]
    pub fn describe(&self, index: usize, rule: UnwindRule) -> String {
        let (link, more) = (*self.link(index), *self.more(index));
        format!(
            "slot {:#x} rsp {:#x} rbp {:#x} {:?} {} {} {:?}",
            link.slot,
            more.sp,
            more.fp,
            rule.kind(),
            rule.offset(),
            rule.plus(),
            rule.saved()
        )
    }
}

/// A stack of more frames than this is not followed by guesses. They are made again at each walk: a
/// compiler at run time that recurses ten thousand deep, without unwind information, would have
/// every allocation take a millisecond. It is more than is stored of a stack.
const MOST_GUESSED: usize = 288;
/// The limit once a stack was that deep, until one comes to its end.
const FEW_GUESSED: usize = 48;

/// Moves `outer` over the kept frames whose rsp lies below `sp`. Returns the rsp of the first that
/// does not.
///
/// # Safety
/// `outer` lies behind a frame that is kept, or behind the one in front of the outermost, at whose
/// rsp this stops.
#[inline(always)]
unsafe fn skip_inner(outer: &mut *mut KeptFrameRest, sp: usize) -> usize {
    loop {
        // SAFETY: of a frame kept, or the one in front of them, by the caller's word.
        let nearest = unsafe { (*outer.sub(1)).sp };
        if nearest >= sp {
            return nearest;
        }
        // SAFETY: in front of each kept frame lies another one, or the one at which this stops.
        *outer = unsafe { outer.sub(1) };
    }
}

const fn word_of(reach: Reach) -> usize {
    match reach {
        Reach::Plain => PLAIN,
        Reach::Loaded(slot) => slot,
        Reach::Again => AGAIN,
    }
}

/// Where a frame's return address is compared. Where that alone does not do, a slot that never
/// agrees.
#[inline(always)]
fn slot_of<S: Source>(source: &S, sp: usize, reach: usize, live: bool) -> usize {
    if reach == AGAIN || (live && reach != PLAIN) { source.nowhere() } else { sp - 8 }
}

#[cfg(test)]
mod tests;
