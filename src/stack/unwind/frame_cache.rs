//! The memo: the last stack of a thread, so that only what has changed since is unwound by rule.
//!
//! A walk goes outwards by rule until it comes to a frame that the memo has, with the same pc, rsp
//! and, where it matters, rbp. From there on the outcome is known unless memory has changed:
//! unwinding is a function of what it reads. So the rest is verified, one load and compare a frame,
//! and taken over. Exact, because:
//!
//! - M1: every slot that a step has read is compared: the return address, and rbp's where rbp is
//!   live, that is where a frame further out goes by it before it is loaded again.
//! - M2: steps that read more (signal frames, CFAs in memory, guesses) are done again and compared,
//!   and so is that from the outermost frame, unless its rule says that nothing called it.
//! - M3: rules are of one epoch: the memo is dropped when a module has been unloaded.
//! - M4: a slot is read only if the step that would read it has been confirmed up to there.

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
            #[cfg(feature = "oracle")]
            by_rule: 0,
        }
    }

    /// Forgets what is kept.
    pub const fn drop_frames(&mut self) {
        self.len = 0;
    }

    /// Walks the stack from `start` outwards. After that the memo holds it, whole.
    #[inline(always)]
    pub fn walk<S: Source>(&mut self, source: &S, start: CallFrame) {
        let mut limit = source.limit(start.sp);
        let CallFrame { mut pc, mut sp, mut fp } = start;
        if self.rows.places().room == 0 && !self.rows.grow(source.nowhere()) {
            return self.end(source, true, true, self.rows.places().fresh);
        }
        let mut places = self.rows.places();
        let mut next = places.fresh;
        // How a frame was reached is written before the rest: there is room for one more than are
        // fresh.
        // SAFETY: the first.
        unsafe { (*next).reach = PLAIN };
        // Behind the frames that are kept so far.
        let mut outer = places.more.wrapping_add(self.len);
        loop {
            // The frames further in than this one are gone.
            let nearest = loop {
                // SAFETY: of the frames kept, or the one in front of them, at which this stops.
                let nearest = unsafe { (*outer.sub(1)).sp };
                if nearest >= sp {
                    break nearest;
                }
                // SAFETY: in front of each kept frame lies another one, or the one at which this
                // stops.
                outer = unsafe { outer.sub(1) };
            };
            // The one in front of the outermost has an rsp that is none.
            if nearest == sp {
                // SAFETY: both are in the row of frames kept.
                let kept = unsafe { outer.offset_from(places.more) as usize };
                // SAFETY: written before.
                let reach = unsafe { (*next).reach };
                if self.meets(source, kept - 1, CallFrame { pc, sp, fp }, reach) {
                    let left = self.unchanged(source, kept - 1);
                    if left == 0 {
                        break self.keep(source, kept, next);
                    }
                    // Up to there it is gone through by rule once more: rbp may matter now.
                    outer = places.more.wrapping_add(left);
                }
            }
            if next == places.end {
                let kept = (outer as usize - places.more as usize) / size_of::<KeptFrameRest>();
                match self.rows.grow_at(next, source.nowhere()) {
                    Some(at) => next = at,
                    None => break self.end(source, true, true, next),
                }
                places = self.rows.places();
                outer = places.more.wrapping_add(kept);
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
        step(source, rule, frame(last), register, limit)
    }

    /// The walk has come to the outermost frame.
    #[cold]
    #[inline(never)]
    fn end<S: Source>(&mut self, source: &S, lost: bool, open: bool, next: *mut NewFrame) {
        (self.lost, self.open) = (lost, open);
        self.keep(source, 0, next);
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

    /// Is the kept frame at `index`, with the same rsp, this one? Notes how it was reached now.
    #[inline(always)]
    fn meets<S: Source>(
        &mut self,
        source: &S,
        index: usize,
        frame: CallFrame,
        reach: usize,
    ) -> bool {
        let BufferParts { links, more, .. } = self.rows.places();
        debug_assert!(index < self.len);
        // SAFETY: every caller's index is below the number of frames kept; the rows are this memo's
        // alone.
        let (link, more) = unsafe { (&mut *links.add(index), &mut *more.add(index)) };
        debug_assert!(more.sp == frame.sp);
        let is_live = more.how.is_live();
        let is_met = link.pc == frame.pc && (!is_live || more.fp == frame.fp);
        if is_met {
            link.slot = slot_of(source, frame.sp, reach, is_live);
            more.how = ReachedBy::new(reach, is_live);
            more.fp = frame.fp;
        }
        is_met
    }

    /// Verifies the frames further out than the one at `index`. Returns 0 if all are as they were;
    /// else the number of frames that are left without those between that one and the first that
    /// has changed.
    #[inline(always)]
    fn unchanged<S: Source>(&self, source: &S, index: usize) -> usize {
        let links = self.rows.places().links;
        // SAFETY: below the number of frames kept, and so are all in front of it.
        let mut at = unsafe { links.add(index).sub(1) };
        loop {
            // SAFETY: `at` is a kept frame, or the one in front of the outermost, at which this
            // stops. M4: the step from the frame further in, confirmed, reads this slot.
            while unsafe { source.read((*at).slot) == (*at).pc } {
                // SAFETY: there is one in front of each kept frame. Two at a time: a step for two.
                unsafe {
                    let beyond = at.sub(1);
                    if source.read((*beyond).slot) != (*beyond).pc {
                        at = beyond;
                        break;
                    }
                    at = at.sub(2);
                }
            }
            if at < links {
                break;
            }
            // SAFETY: both are in the row.
            let index = unsafe { at.offset_from(links) as usize };
            if !self.is_same_beyond(source, index) {
                return index + 1;
            }
            // SAFETY: a kept frame has one in front of it.
            at = unsafe { at.sub(1) };
        }
        usize::from(self.open && self.goes_on(source))
    }

    /// The same for a frame that was reached by more than its return address.
    #[inline(always)]
    fn is_same_beyond<S: Source>(&self, source: &S, index: usize) -> bool {
        let (link, more) = (self.link(index), self.more(index));
        let reach = more.how.reach();
        if reach > AGAIN && more.how.is_live() {
            // SAFETY: M4: the step from the frame further in, confirmed, reads both slots.
            return unsafe { source.read(more.sp - 8) == link.pc && source.read(reach) == more.fp };
        }
        reach == AGAIN && self.comes_again(source, index)
    }

    /// Has the outermost frame a caller by now? Then no frame is left that could be met.
    #[cold]
    #[inline(never)]
    fn goes_on<S: Source>(&self, source: &S) -> bool {
        self.step_from(source, 0) != if self.lost { Step::Lost } else { Step::End }
    }

    /// Does the step from the frame further in still lead to this one?
    #[cold]
    #[inline(never)]
    fn comes_again<S: Source>(&self, source: &S, index: usize) -> bool {
        let (link, more) = (*self.link(index), *self.more(index));
        match self.step_from(source, index + 1) {
            Step::Caller(frame, _) => {
                let is_live = more.how.is_live();
                frame.pc == link.pc && frame.sp == more.sp && (!is_live || frame.fp == more.fp)
            }
            _ => false,
        }
    }

    /// The step from a kept frame. One that needs all registers is not known here.
    #[cold]
    #[inline(never)]
    fn step_from<S: Source>(&self, source: &S, index: usize) -> Step {
        let (link, more) = (*self.link(index), *self.more(index));
        let frame = CallFrame { pc: link.pc, sp: more.sp, fp: more.fp };
        let rule = source.rule(frame.pc);
        if rule.kind() == RuleKind::Register {
            return Step::End;
        }
        step(source, rule, frame, None, limit_of(source, frame))
    }

    /// Puts the fresh frames, which end at `next`, onto so many kept ones.
    #[inline(always)]
    fn keep<S: Source>(&mut self, source: &S, kept: usize, next: *mut NewFrame) {
        let BufferParts { links, more, fresh, room, .. } = self.rows.places();
        // SAFETY: both are in the row of fresh frames.
        let count = unsafe { next.offset_from(fresh) as usize };
        if kept + count > room {
            return self.keep_more(source, kept, count);
        }
        #[cfg(feature = "oracle")]
        {
            self.by_rule += count as u64;
        }
        let last = kept.checked_sub(1).map(|last| *self.more(last));
        self.len = kept + count;
        let (hash, live) = match last {
            Some(last) => (last.hash, last.how.is_live()),
            None => (if self.lost { DARK } else { WHOLE }, false),
        };
        let mut hash = hash;
        // SAFETY: there is room for the kept and the fresh together.
        let (mut link, mut more) = unsafe { (links.add(kept), more.add(kept)) };
        let mut next = next;
        let (mut rules, mut reaches) = (0, 0);
        while next > fresh {
            // SAFETY: there is room for the kept and the fresh together.
            unsafe {
                next = next.sub(1);
                let NewFrame { pc, sp, fp, reach, rule, .. } = *next;
                (rules, reaches) = (rules | rule.word(), reaches | reach);
                hash = prefix_hash::with(hash, pc, source.generation(pc & !GUESSED));
                link.write(KeptFrame { slot: sp - 8, pc });
                more.write(KeptFrameRest { fp, hash, sp, how: ReachedBy::new(reach, false) });
                (link, more) = (link.add(1), more.add(1));
            }
        }
        if live || UnwindRule::may_one_use_frame_pointer(rules) || reaches & AGAIN != 0 {
            self.note_reach(source, kept, count, live);
        }
    }

    /// Notes of the fresh frames, onto so many kept ones, what [`FrameCache::keep`] has left out: where
    /// rbp matters, or a step is to be done again.
    #[inline(never)]
    fn note_reach<S: Source>(&mut self, source: &S, kept: usize, count: usize, live: bool) {
        let BufferParts { links, more, fresh, .. } = self.rows.places();
        let mut live = live;
        for index in 0..count {
            // SAFETY: so many are in the row of fresh frames, and as many have been put onto the
            // kept ones.
            unsafe {
                let NewFrame { sp, reach, rule, .. } = *fresh.add(count - 1 - index);
                live = rule.uses_frame_pointer() || (rule.keeps_frame_pointer() && live);
                (*links.add(kept + index)).slot = slot_of(source, sp, reach, live);
                (*more.add(kept + index)).how = ReachedBy::new(reach, live);
            }
        }
    }

    /// As [`FrameCache::keep`] for more frames than there is room for.
    #[cold]
    #[inline(never)]
    fn keep_more<S: Source>(&mut self, source: &S, kept: usize, count: usize) {
        let mut kept = kept;
        if !self.rows.grow(source.nowhere()) {
            // Deeper than any stack that is followed: what is further in is all there is.
            (self.lost, self.open) = (true, true);
            kept = 0;
        }
        // SAFETY: so many fresh frames are in the row, which has moved with them.
        let next = unsafe { self.rows.places().fresh.add(count) };
        self.keep(source, kept, next);
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
    pub fn describe(&self, index: usize, rule: crate::stack::unwind::rule::UnwindRule) -> String {
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
#[path = "frame_cache_tests.rs"]
mod tests;
