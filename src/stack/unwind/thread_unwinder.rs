//! What a thread keeps for its captures: the frame cache of its last stack, the rules it has used
//! last, and what its sites have allocated. In memory of its own outside of every heap: 37 KiB, as
//! far as they are used, 16 KiB for the stack, more for a deep one, and 32 bytes a site.

use crate::model::site::StackEnd;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::arch::CallFrame;
use crate::heap::size::PAGE;
use crate::model::site::ProcessSite;
use crate::model::site::SiteCounts;
use crate::stack::depot;
use crate::stack::depot::FrameSource;
use crate::stack::depot::prefix_hash::{MOST_ASKED, TENANT};
use crate::stack::module_generations;
use crate::stack::modules;
use crate::stack::site_counts;
use crate::stack::site_counts::SiteCounters;
use crate::stack::unwind::frame_cache::FrameCache;
use crate::stack::unwind::rule::{RuleKind, Saved, UnwindRule};
use crate::stack::unwind::rule_table;
use crate::stack::unwind::rule_table::Epoch;
use crate::stack::unwind::stack_limits::StackLimits;
use crate::stack::unwind::step::{GUESSED, Source, Step, limit_of, step};
use crate::sys::once_pointer::{Link, Linked, List};
use crate::sys::{memory, shared_map, thread};

/// Rules that a thread remembers: near at hand, where the shared table is spread wide.
const RULES: usize = 2048;

/// A thread's captures. Other threads have references to it, too: they touch only the counts and
/// the atomics.
#[repr(C)]
pub(crate) struct ThreadUnwinder {
    /// In pages that no child inherits: its parent's blocks are not its own.
    counts: SiteCounters,
    own: UnsafeCell<Own>,
    /// Is a capture under way? The thread's own.
    busy: Cell<bool>,
    /// Is it a thread's?
    taken: AtomicBool,
    link: Link<ThreadUnwinder>,
}

/// The part of an unwinder that its thread alone touches, one capture at a time.
struct Own {
    frame_cache: FrameCache,
    epoch: Epoch,
    around: Around,
}

const _: () = assert!(size_of::<SiteCounters>().is_multiple_of(PAGE));

/// What walks of the thread have found out about the process.
struct Around {
    rules: RuleCache,
    bounds: StackLimits,
}

/// Rules by pc, of the epoch that the thread is in; of each place the last.
struct RuleCache([Cell<(usize, u64)>; RULES]);

impl RuleCache {
    #[inline(always)]
    fn get(&self, pc: usize, epoch: Epoch) -> UnwindRule {
        // 32 bytes of code have the four places of a cache line: what is called one after the other
        // is close together.
        let place = ((pc >> 3) ^ (pc >> 14)) % RULES;
        let Some(cell) = self.0.get(place) else { return UnwindRule::UNKNOWN };
        let (found, word) = cell.get();
        // A pc is never 0.
        if found == pc { UnwindRule::of_word(word) } else { Self::fetch(cell, pc, epoch) }
    }

    #[inline(never)]
    fn fetch(cell: &Cell<(usize, u64)>, pc: usize, epoch: Epoch) -> UnwindRule {
        let Some(rule) = rule_table::rule_for(pc, epoch) else { return UnwindRule::UNKNOWN };
        // What was guessed has its mark in the pc, and is found by it.
        cell.set((pc, rule.word()));
        rule
    }

    fn clear(&self) {
        self.0.iter().for_each(|cell| cell.set((0, 0)));
    }
}

/// The process as a walk sees it.
struct Walk<'a> {
    epoch: Epoch,
    around: &'a Around,
}

/// All unwinders, newest first. They stay: what they have counted does.
static ALL: List<ThreadUnwinder> = List { first: AtomicPtr::new(core::ptr::null_mut()) };

impl Linked for ThreadUnwinder {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

/// A site's allocations, over all threads.
pub(crate) fn counts_of(site: ProcessSite) -> SiteCounts {
    site_counts::sum(site, ALL.iter().map(|unwinder| &unwinder.counts))
}

impl ThreadUnwinder {
    /// One that is nobody's; the caller's from here on. `None` without memory.
    pub(crate) fn take() -> Option<&'static Self> {
        let is_taken = |unwinder: &&Self| !unwinder.taken.swap(true, Ordering::AcqRel);
        if let Some(unwinder) = ALL.iter().find(is_taken) {
            return Some(unwinder);
        }
        // Zeroed memory is an idle unwinder: no frames kept, no site known, nothing counted.
        let unwinder = memory::map(size_of::<Self>())? as *mut Self;
        // SAFETY: the first pages of the mapping; in a child nothing was counted.
        unsafe { shared_map::wipe_on_fork(unwinder as usize, size_of::<SiteCounters>()) };
        // SAFETY: fresh zeroed memory that stays mapped.
        let fresh = unsafe { &*unwinder };
        fresh.taken.store(true, Ordering::Relaxed);
        ALL.add(fresh);
        Some(fresh)
    }

    /// Leaves it to whoever needs one next.
    ///
    /// # Safety
    /// The calling thread has taken it, and does not use it any more.
    pub(crate) unsafe fn leave(&self) {
        // SAFETY: the calling thread's. If it ends in a handler that interrupted a capture, that is
        // never taken up again.
        let own = unsafe { &mut *self.own.get() };
        own.frame_cache.drop_frames();
        own.around.bounds.forget();
        self.busy.set(false);
        self.taken.store(false, Ordering::Release);
    }

    /// In a forked child, where the kernel has not done so: nothing was counted.
    pub(crate) fn renew_all_after_fork() {
        ALL.iter().for_each(|unwinder| unwinder.counts.forget());
    }

    /// The thread's allocations and frees.
    #[inline(always)]
    pub(in crate::stack) const fn counts(&self) -> &SiteCounters {
        &self.counts
    }

    /// The first frame from `frame` outwards that is not this library's. `None`: there is no
    /// telling.
    ///
    /// # Safety
    /// The calling thread has taken the unwinder.
    pub(crate) unsafe fn leave_own(&self, frame: CallFrame) -> Option<CallFrame> {
        if self.busy.replace(true) {
            return None;
        }
        // SAFETY: the calling thread's, by the caller's word, of whose captures only this one has
        // found `busy` clear.
        let outside = unsafe { &mut *self.own.get() }.leave_own(frame);
        self.busy.set(false);
        outside
    }

    /// The site of the stack from `start` outwards, its `most` innermost frames.
    ///
    /// # Safety
    /// The calling thread has taken the unwinder.
    #[inline(always)]
    pub(crate) unsafe fn site(&self, start: CallFrame, most: usize) -> ProcessSite {
        if self.busy.replace(true) {
            return ProcessSite::NONE;
        }
        // SAFETY: the calling thread's, by the caller's word, of whose captures only this one has
        // found `busy` clear.
        let site = unsafe { &mut *self.own.get() }.walk(start, most);
        self.busy.set(false);
        site
    }

    /// The same, for the longer ways.
    ///
    /// # Safety
    /// The calling thread has taken the unwinder.
    #[inline(never)]
    pub(crate) unsafe fn site_apart(&self, start: CallFrame, most: usize) -> ProcessSite {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.site(start, most) }
    }
}

impl ThreadUnwinder {
    /// Frames of the last stack, all of them.
    ///
    /// # Safety
    /// The calling thread has taken the unwinder, and no capture is under way.
    pub(crate) unsafe fn depth(&self) -> usize {
        // SAFETY: the calling thread's, by the caller's word.
        unsafe { &*self.own.get() }.frame_cache.depth()
    }
}

impl Own {
    fn leave_own(&mut self, mut frame: CallFrame) -> Option<CallFrame> {
        let process = Walk { epoch: self.enter_epoch(), around: &self.around };
        let entry = thread::entry();
        while modules::is_own(frame.pc) || frame.sp <= entry {
            let rule = process.rule(frame.pc);
            match step(&process, rule, frame, None, limit_of(&process, frame)) {
                Step::Caller(next, _) if !rule.is(RuleKind::Unknown) => frame = next,
                _ => return None,
            }
        }
        Some(frame)
    }

    #[inline(always)]
    fn walk(&mut self, start: CallFrame, most: usize) -> ProcessSite {
        let process = Walk { epoch: self.enter_epoch(), around: &self.around };
        self.frame_cache.walk(&process, start);
        #[cfg(feature = "oracle")]
        crate::stack::oracle::compare(&mut self.frame_cache);
        let most = most.min(MOST_ASKED);
        let Some(hash) = self.frame_cache.hash_of(most) else { return ProcessSite::NONE };
        depot::known(hash).unwrap_or_else(|| self.intern(most))
    }

    /// The epoch of now. Nothing of an earlier one is known any more.
    #[inline(always)]
    fn enter_epoch(&mut self) -> Epoch {
        let epoch = Epoch::now();
        if epoch != self.epoch {
            self.begin_epoch(epoch);
        }
        epoch
    }

    #[cold]
    #[inline(never)]
    fn begin_epoch(&mut self, epoch: Epoch) {
        self.around.rules.clear();
        self.epoch = epoch;
        self.frame_cache.drop_frames();
    }

    #[cold]
    #[inline(never)]
    fn intern(&self, most: usize) -> ProcessSite {
        let from = self.frame_cache.depth().saturating_sub(most);
        depot::intern(&RuleWindow { frame_cache: &self.frame_cache, from })
    }
}

/// The innermost frames of a frame cache, from `from` on.
struct RuleWindow<'a> {
    frame_cache: &'a FrameCache,
    from: usize,
}

impl FrameSource for RuleWindow<'_> {
    fn depth(&self) -> usize {
        self.frame_cache.depth() - self.from
    }

    fn pc(&self, index: usize) -> usize {
        let pc = self.frame_cache.pc(self.from + index);
        let generation = module_generations::number_at(rule_table::place_of(pc & !GUESSED));
        pc | (generation as usize) << TENANT
    }

    fn hash(&self, index: usize) -> u64 {
        self.frame_cache.hash(self.from, self.from + index)
    }

    fn ending(&self) -> StackEnd {
        match self.from {
            0 if self.frame_cache.is_lost() => StackEnd::Lost,
            0 => StackEnd::Whole,
            _ => StackEnd::Cut,
        }
    }
}

impl Source for Walk<'_> {
    #[inline(always)]
    fn rule(&self, pc: usize) -> UnwindRule {
        self.around.rules.get(pc, self.epoch)
    }

    fn saved(&self, pc: usize, register: u16) -> Option<Saved> {
        rule_table::saved_at(pc, register)
    }

    #[inline(always)]
    unsafe fn read(&self, address: usize) -> usize {
        // SAFETY: as the caller says; aligned.
        unsafe { (address as *const usize).read() }
    }

    #[inline(always)]
    fn nowhere(&self) -> usize {
        static NOWHERE: usize = 0;
        core::ptr::from_ref(&NOWHERE) as usize
    }

    fn is_readable(&self, from: usize, to: usize) -> bool {
        memory::is_readable(from, to)
    }

    fn is_stack(&self, from: usize, to: usize) -> bool {
        self.around.bounds.is_stack(from, to)
    }

    #[inline(always)]
    fn limit(&self, sp: usize) -> usize {
        self.around.bounds.limit(sp)
    }

    fn goes_on(&self, limit: usize, to: usize) -> bool {
        self.around.bounds.goes_on(limit, to)
    }

    #[inline(always)]
    fn generation(&self, pc: usize) -> u32 {
        if self.epoch.is_first() {
            0
        } else {
            module_generations::number_at(rule_table::place_of(pc))
        }
    }
}
