//! Keeping the frames of a walk for the next one.

use super::*;

impl FrameCache {
    /// Puts the fresh frames, which end at `next`, onto so many kept ones.
    #[inline(always)]
    pub(super) fn keep<S: Source>(&mut self, source: &S, kept: usize, next: *mut NewFrame) {
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

    /// Notes of the fresh frames, onto so many kept ones, what [`FrameCache::keep`] has left out:
    /// where rbp matters, or a step is to be done again.
    #[inline(never)]
    pub(super) fn note_reach<S: Source>(
        &mut self,
        source: &S,
        kept: usize,
        count: usize,
        live: bool,
    ) {
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
    pub(super) fn keep_more<S: Source>(&mut self, source: &S, kept: usize, count: usize) {
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
}
