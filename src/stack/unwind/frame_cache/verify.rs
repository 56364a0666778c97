//! Verifying the frames that are kept from an earlier walk (M1, M2 and M4).

use super::*;

impl FrameCache {
    /// Is the kept frame at `index`, with the same rsp, this one? Notes how it was reached now.
    #[inline(always)]
    pub(super) fn meets<S: Source>(
        &mut self,
        source: &S,
        index: usize,
        frame: CallFrame,
        reach: usize,
    ) -> bool {
        let BufferParts { links, more, .. } = self.rows.places();
        debug_assert!(index < self.len);
        // SAFETY: every caller's index is below the number of frames kept; the rows are this frame
        // cache's alone.
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
    pub(super) fn unchanged<S: Source>(&self, source: &S, index: usize) -> usize {
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
    pub(super) fn is_same_beyond<S: Source>(&self, source: &S, index: usize) -> bool {
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
    pub(super) fn goes_on<S: Source>(&self, source: &S) -> bool {
        self.step_from(source, 0) != if self.lost { Step::Lost } else { Step::End }
    }

    /// Does the step from the frame further in still lead to this one?
    #[cold]
    #[inline(never)]
    pub(super) fn comes_again<S: Source>(&self, source: &S, index: usize) -> bool {
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
    pub(super) fn step_from<S: Source>(&self, source: &S, index: usize) -> Step {
        let (link, more) = (*self.link(index), *self.more(index));
        let frame = CallFrame { pc: link.pc, sp: more.sp, fp: more.fp };
        let rule = source.rule(frame.pc);
        if rule.kind() == RuleKind::Register {
            return Step::End;
        }
        step(source, rule, frame, None, limit_of(source, frame))
    }
}
