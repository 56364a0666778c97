//! The memo: the last stack of a thread, so that only what has changed since is unwound by rule.
//!
//! A walk goes outwards by rule until it comes to a frame that the memo has, with the same pc, rsp and, where
//! it matters, rbp. From there on the outcome is known unless memory has changed: unwinding is a function of
//! what it reads. So the rest is verified, one load and compare a frame, and taken over. Exact, because:
//!
//! - M1: every slot that a step has read is compared: the return address, and rbp's where rbp is live, that
//!   is where a frame further out goes by it before it is loaded again.
//! - M2: steps that read more (signal frames, CFAs in memory, guesses) are done again and compared.
//! - M3: rules are of one epoch: the memo is dropped when a module has been unloaded.
//! - M4: a slot is read only if the step that would read it has been confirmed up to there.

use super::rows::{Fresh, Link, More, Rows};
use super::rule::Kind;
use super::unwind::{EXACT, Frame, Reach, Source, Step, lookup, step};

/// How a frame was reached, in the low bits of its rsp: by its return address alone, by that and rbp, or by
/// a step that has to be done again.
const PLAIN: usize = 0;
const LOADED: usize = 1;
const AGAIN: usize = 2;
const HOW: usize = 3;
/// rbp of this frame matters.
const LIVE: usize = 4;
const BITS: usize = 7;

/// The step from this frame goes by rbp; it leaves rbp as it is.
const USES: u32 = 1 << 8;
const KEEPS: u32 = 1 << 9;

/// Base of the hash over a stack's frames: prefixes can be taken off.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
/// Most frames that [`Memo::hash`] can be asked for.
pub const MOST_ASKED: usize = 256;
const POWERS: [u64; MOST_ASKED + 1] = {
    let mut powers = [1u64; MOST_ASKED + 1];
    let mut n = 1;
    while n <= MOST_ASKED {
        powers[n] = powers[n - 1].wrapping_mul(BASE);
        n += 1;
    }
    powers
};
/// Hash of no frame, and what tells stacks that end in the dark, or were cut, from whole ones.
const WHOLE: u64 = 0x1234_5678_9abc_def1;
const DARK: u64 = 0x0fed_cba9_8765_4321;
const CUT: u64 = 0x5555_aaaa_1111_7777;

/// The last stack of one thread.
pub struct Memo {
    rows: Rows,
    /// Frames kept, outermost first.
    len: usize,
    /// Fresh frames, innermost first.
    fresh: usize,
    /// Does the stack end where it cannot be followed?
    lost: bool,
}

impl Default for Memo {
    fn default() -> Self {
        Self::new()
    }
}

const fn mix(pc: usize) -> u64 {
    let word = (pc as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (word ^ (word >> 32)).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
}

impl Memo {
    /// Nothing is kept.
    pub const fn new() -> Self {
        Self { rows: Rows::new(), len: 0, fresh: 0, lost: false }
    }

    /// Forgets what is kept.
    pub const fn drop_frames(&mut self) {
        self.len = 0;
    }

    /// Walks the stack from `start` outwards. After that the memo holds it, whole.
    #[inline]
    pub fn walk<S: Source>(&mut self, source: &S, start: Frame) {
        self.fresh = 0;
        let mut limit = source.limit(start.sp);
        let (mut frame, mut reach) = (start, Reach::Plain);
        loop {
            if self.meets(frame, reach) {
                match self.unchanged(source) {
                    0 => break,
                    // Up to there it is gone through by rule once more: rbp may matter now.
                    changed => self.len = changed,
                }
            }
            if !self.add(frame, reach) {
                return self.end(true);
            }
            match self.step_on(source, limit) {
                Step::Caller(next, how) => (frame, reach) = (next, how),
                Step::End => return self.end(false),
                Step::Lost => return self.end(true),
            }
            if frame.pc & EXACT != 0 {
                limit = source.limit(frame.sp);
            }
        }
        self.keep();
    }

    /// The walk has come to the outermost frame.
    fn end(&mut self, lost: bool) {
        self.len = 0;
        self.lost = lost;
        self.keep();
    }

    #[inline]
    fn link(&self, index: usize) -> &mut Link {
        debug_assert!(index < self.rows.room());
        // SAFETY: every caller's index is below `len` or just made room for; one thread's alone.
        unsafe { &mut *self.rows.links().add(index) }
    }

    #[inline]
    fn more(&self, index: usize) -> &mut More {
        debug_assert!(index < self.rows.room());
        // SAFETY: as in `link`.
        unsafe { &mut *self.rows.more().add(index) }
    }

    #[inline]
    fn fresh_at(&self, index: usize) -> &mut Fresh {
        debug_assert!(index < self.rows.room());
        // SAFETY: as in `link`, with `fresh`.
        unsafe { &mut *self.rows.fresh().add(index) }
    }

    /// Is `frame` the memo's? Drops frames of it that are further in, and notes how it was reached now.
    #[inline(always)]
    fn meets(&mut self, frame: Frame, reach: Reach) -> bool {
        while self.len > 0 {
            let link = self.link(self.len - 1);
            let sp = link.sp & !BITS;
            if sp < frame.sp {
                self.len -= 1;
                continue;
            }
            let more = self.more(self.len - 1);
            let live = link.sp & LIVE;
            if sp != frame.sp || link.pc != frame.pc || (live != 0 && more.fp != frame.fp) {
                return false;
            }
            let (how, slot) = how(reach, live != 0);
            link.sp = sp | live | how;
            (more.slot, more.fp) = (slot, frame.fp);
            return true;
        }
        false
    }

    /// Verifies the frames further out than the last one. Returns 0 if all are as they were; else the
    /// number of frames that are left without those between the last one and the first that has changed.
    #[inline(always)]
    fn unchanged<S: Source>(&self, source: &S) -> usize {
        let mut index = self.len - 1;
        while index > 0 {
            index -= 1;
            let link = *self.link(index);
            let is_same = match link.sp & HOW {
                // SAFETY: M4: the step from the frame further in, confirmed, reads this slot.
                PLAIN => unsafe { source.read((link.sp & !BITS) - 8) == link.pc },
                LOADED => {
                    let more = *self.more(index);
                    // SAFETY: as above, and rbp's slot.
                    unsafe {
                        source.read((link.sp & !BITS) - 8) == link.pc
                            && source.read(more.slot) == more.fp
                    }
                }
                _ => self.comes_again(source, index),
            };
            if !is_same {
                return index + 1;
            }
        }
        // What could not be followed may be by now; no frame is left then that could be met.
        if self.lost && self.step_from(source, 0) != Step::Lost { 1 } else { 0 }
    }

    /// Does the step from the frame further in still lead to this one?
    #[cold]
    #[inline(never)]
    fn comes_again<S: Source>(&self, source: &S, index: usize) -> bool {
        let (link, more) = (*self.link(index), *self.more(index));
        match self.step_from(source, index + 1) {
            Step::Caller(frame, _) => {
                frame.pc == link.pc
                    && frame.sp == link.sp & !BITS
                    && (link.sp & LIVE == 0 || frame.fp == more.fp)
            }
            _ => false,
        }
    }

    /// The step from a kept frame. One that needs all registers is not known here.
    fn step_from<S: Source>(&self, source: &S, index: usize) -> Step {
        let (link, more) = (*self.link(index), *self.more(index));
        let frame = Frame { pc: link.pc, sp: link.sp & !BITS, fp: more.fp };
        let rule = source.rule(lookup(frame.pc));
        if rule.kind() == Kind::Register {
            return Step::End;
        }
        step(source, rule, frame, 0, source.limit(frame.sp))
    }

    #[inline]
    fn add(&mut self, frame: Frame, reach: Reach) -> bool {
        let (how, slot) = how(reach, true);
        let Frame { pc, sp, fp } = frame;
        self.push_fresh(Fresh { pc, sp, fp, slot, flags: how as u32 })
    }

    #[inline]
    fn push_fresh(&mut self, frame: Fresh) -> bool {
        // The kept and the fresh together have to find room in one row.
        if self.len + self.fresh >= self.rows.room() && !self.rows.grow() {
            return false;
        }
        *self.fresh_at(self.fresh) = frame;
        self.fresh += 1;
        true
    }

    /// The step from the outermost fresh frame.
    #[inline(always)]
    fn step_on<S: Source>(&self, source: &S, limit: usize) -> Step {
        let last = self.fresh_at(self.fresh - 1);
        let frame = Frame { pc: last.pc, sp: last.sp, fp: last.fp };
        let rule = source.rule(lookup(frame.pc));
        last.flags |= if rule.uses_frame_pointer() { USES } else { 0 }
            | if rule.keeps_frame_pointer() { KEEPS } else { 0 };
        let signal = match self.fresh.checked_sub(2) {
            Some(inner) if frame.pc & EXACT != 0 => self.fresh_at(inner).sp,
            _ => 0,
        };
        step(source, rule, frame, signal, limit)
    }

    /// Puts the fresh frames onto the kept ones.
    #[inline(always)]
    fn keep(&mut self) {
        let (mut hash, mut live) = match self.len.checked_sub(1) {
            Some(last) => (self.more(last).hash, self.link(last).sp & LIVE != 0),
            None => (if self.lost { DARK } else { WHOLE }, false),
        };
        while self.fresh > 0 {
            self.fresh -= 1;
            let Fresh { pc, sp, fp, slot, flags } = *self.fresh_at(self.fresh);
            live = flags & USES != 0 || (flags & KEEPS != 0 && live);
            hash = hash.wrapping_mul(BASE).wrapping_add(mix(pc));
            let how = (flags as usize) & HOW;
            let how = if how == LOADED && !live { PLAIN } else { how };
            *self.link(self.len) = Link { sp: sp | how | if live { LIVE } else { 0 }, pc };
            *self.more(self.len) = More { fp, slot, hash, node: 0 };
            self.len += 1;
        }
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

    /// Hash over the frames from `from` to `to`, both included, at most [`MOST_ASKED`]; never 0.
    #[inline]
    pub fn hash(&self, from: usize, to: usize) -> u64 {
        let whole = self.more(to).hash;
        let hash = match from.checked_sub(1) {
            None => whole,
            Some(outer) => {
                let power = POWERS.get(to - outer).copied().unwrap_or(0);
                whole.wrapping_sub(self.more(outer).hash.wrapping_mul(power)) ^ CUT
            }
        };
        hash.max(1)
    }

    /// A frame and its rule in words, for the oracle.
    #[cfg(feature = "oracle")]
    pub fn describe(&self, index: usize, rule: super::rule::Rule) -> String {
        let (link, more) = (*self.link(index), *self.more(index));
        format!(
            "rsp {:#x} rbp {:#x} {:?} {} {} {:?}",
            link.sp,
            more.fp,
            rule.kind(),
            rule.offset(),
            rule.plus(),
            rule.saved()
        )
    }

    /// The depot's node for the frames up to `index`, if it has been noted; 0 if not.
    pub fn node(&self, index: usize) -> u32 {
        self.more(index).node
    }

    /// Notes it.
    pub fn set_node(&mut self, index: usize, node: u32) {
        self.more(index).node = node;
    }
}

#[inline(always)]
const fn how(reach: Reach, live: bool) -> (usize, usize) {
    match reach {
        Reach::Loaded(slot) if live => (LOADED, slot),
        Reach::Loaded(slot) => (PLAIN, slot),
        Reach::Plain => (PLAIN, 0),
        Reach::Again => (AGAIN, 0),
    }
}
