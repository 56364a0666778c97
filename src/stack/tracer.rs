//! What a thread keeps for its captures: the memo of its last stack, and the sites it has seen last. In
//! memory of its own, 24 KiB and as much as the stack is deep, outside of every heap.

use core::cell::Cell;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::depot::{self, Ending, SiteId, Stack};
use super::memo::{MOST_ASKED, Memo};
use super::rule::Rule;
use super::rules::{self, Epoch};
use super::unwind::{Frame, Source};
use crate::sys::{memory, process, thread};

/// Sites, and rules, that a thread remembers: near at hand, where the shared tables are spread wide.
const SITES: usize = 2048;
const RULES: usize = 2048;

#[derive(Clone, Copy)]
struct Known {
    hash: u64,
    site: SiteId,
}

/// A thread's captures.
pub(super) struct Tracer {
    memo: Memo,
    epoch: Epoch,
    /// Lowest address of the thread's own stack that is known to be readable up to `limit`.
    low: Cell<usize>,
    limit: Cell<usize>,
    /// Is a capture under way?
    busy: bool,
    known: [Known; SITES],
    rules: RuleCache,
}

/// Rules by pc and epoch; of each place the last.
struct RuleCache([Cell<(u64, u64)>; RULES]);

impl RuleCache {
    #[inline(always)]
    fn get(&self, pc: usize, epoch: Epoch) -> Rule {
        let key = epoch.key_of(pc);
        // Return addresses into one function are some bytes apart, functions some hundred.
        let place = (pc ^ (pc >> 10)) % RULES;
        let Some(cell) = self.0.get(place) else { return Rule::UNKNOWN };
        let (found, word) = cell.get();
        match Rule::from_word(word) {
            Some(rule) if found == key => rule,
            _ => Self::fetch(cell, pc, epoch),
        }
    }

    #[inline(never)]
    fn fetch(cell: &Cell<(u64, u64)>, pc: usize, epoch: Epoch) -> Rule {
        let rule = rules::rule_for(pc, epoch);
        // Where there is none now a module may be loaded.
        if rule != Rule::UNKNOWN {
            // What was guessed has its mark in the key, and is found by it.
            cell.set((epoch.key_of(pc), rule.word()));
        }
        rule
    }
}

/// The process as a walk sees it.
struct Process<'a> {
    epoch: Epoch,
    rules: &'a RuleCache,
    tracer_low: &'a Cell<usize>,
    tracer_limit: &'a Cell<usize>,
}

/// Tracers of threads that have ended, for others.
static IDLE: [AtomicPtr<Tracer>; 256] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 256];

impl Tracer {
    /// One that is nobody's; the caller's from here on. `None` without memory.
    pub(super) fn take() -> Option<*mut Self> {
        let idle = IDLE
            .iter()
            .filter(|slot| !slot.load(Ordering::Relaxed).is_null())
            .map(|slot| slot.swap(core::ptr::null_mut(), Ordering::Acquire))
            .find(|tracer| !tracer.is_null());
        // Zeroed memory is an idle tracer: no frames kept, no site known.
        idle.or_else(|| Some(memory::map(size_of::<Self>())? as *mut Self))
    }

    /// Leaves one to whoever needs it next.
    ///
    /// # Safety
    /// It is the caller's, who does not use it any more.
    pub(super) unsafe fn leave(tracer: *mut Self) {
        // SAFETY: the caller's own.
        unsafe {
            (*tracer).memo.drop_frames();
            (*tracer).limit.set(0);
        }
        let is_left = IDLE.iter().any(|slot| {
            let none = core::ptr::null_mut();
            slot.compare_exchange(none, tracer, Ordering::Release, Ordering::Relaxed).is_ok()
        });
        if !is_left {
            // SAFETY: as the caller says; the memo's rows go with it.
            unsafe {
                core::ptr::drop_in_place(&raw mut (*tracer).memo);
                memory::unmap(tracer as usize, size_of::<Self>());
            }
        }
    }

    /// The site of the stack from `start` outwards, its `most` innermost frames.
    #[inline(never)]
    pub(super) fn site(&mut self, start: Frame, most: usize) -> SiteId {
        if self.busy {
            return SiteId::NONE;
        }
        self.busy = true;
        let site = self.walk(start, most);
        self.busy = false;
        site
    }

    #[inline(always)]
    fn walk(&mut self, start: Frame, most: usize) -> SiteId {
        let epoch = Epoch::now();
        if epoch != self.epoch {
            self.epoch = epoch;
            self.memo.drop_frames();
        }
        let process =
            Process { epoch, rules: &self.rules, tracer_low: &self.low, tracer_limit: &self.limit };
        self.memo.walk(&process, start);
        let from = self.memo.depth().saturating_sub(most.min(MOST_ASKED));
        #[cfg(feature = "oracle")]
        super::oracle::compare(&mut self.memo);
        let Some(top) = self.memo.depth().checked_sub(1) else { return SiteId::NONE };
        let hash = self.memo.hash(from, top);
        let index = (hash >> 40) as usize % SITES;
        match self.known.get(index) {
            Some(known) if known.hash == hash => known.site,
            _ => self.intern(from, hash, index),
        }
    }

    #[inline(never)]
    fn intern(&mut self, from: usize, hash: u64, index: usize) -> SiteId {
        let site = depot::intern(&mut Window { memo: &mut self.memo, from });
        if let Some(known) = self.known.get_mut(index) {
            *known = Known { hash, site };
        }
        site
    }
}

/// The innermost frames of a memo, from `from` on.
struct Window<'a> {
    memo: &'a mut Memo,
    from: usize,
}

impl Stack for Window<'_> {
    fn depth(&self) -> usize {
        self.memo.depth() - self.from
    }

    fn pc(&self, index: usize) -> usize {
        self.memo.pc(self.from + index)
    }

    fn hash(&self, index: usize) -> u64 {
        self.memo.hash(self.from, self.from + index)
    }

    fn node(&self, index: usize) -> u32 {
        // What is noted stands for the whole stack.
        if self.from == 0 { self.memo.node(index) } else { 0 }
    }

    fn set_node(&mut self, index: usize, node: u32) {
        if self.from == 0 {
            self.memo.set_node(index, node);
        }
    }

    fn ending(&self) -> Ending {
        match self.from {
            0 if self.memo.is_lost() => Ending::Lost,
            0 => Ending::Whole,
            _ => Ending::Cut,
        }
    }
}

impl Source for Process<'_> {
    #[inline(always)]
    fn rule(&self, pc: usize) -> Rule {
        self.rules.get(pc, self.epoch)
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
        let limit = self.limit(from);
        if limit != self.tracer_limit.get() || from < self.tracer_low.get() {
            // All the way up: a thread's own stack stays, and need not be asked for again.
            if !memory::is_readable(from, limit) {
                return memory::is_readable(from, to);
            }
            self.tracer_limit.set(limit);
            self.tracer_low.set(memory::page_of(from));
        }
        to <= limit
    }

    /// A thread's descriptor lies above its stack, the first thread's random bytes above its own.
    #[inline]
    fn limit(&self, sp: usize) -> usize {
        let descriptor = thread::pointer();
        if sp < descriptor {
            return descriptor;
        }
        let top = process::stack_top();
        if sp < top { top } else { usize::MAX }
    }
}
