//! A guarded block for a request.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use crate::checks::guard::obstacle;
use crate::checks::guard::policy;
use crate::checks::guard::policy::Plan;
use crate::checks::heap::CheckedHeap;
use crate::checks::request::Request;
use crate::model::leak_report::GuardObstacle;
use crate::model::site::{HeapStats, ProcessSite};
use crate::shadow::guarded_slots::{self, SPAN};
use crate::stack::capture;
use crate::sys::guard_pages;
use crate::sys::thread;

impl CheckedHeap {
    /// Guards blocks of those sites alone of which `filter` says so. It may allocate.
    pub fn filter_guards(&self, filter: fn(ProcessSite) -> bool) {
        self.guards().filter.store(filter as usize, Ordering::Release);
    }

    /// Has `attend` called with the process's first guarded blocks but three, then with number 32,
    /// 64, 128 ...: whoever takes their faults sees to it that they still come to him.
    pub fn attend_to_guards(&self, attend: fn()) {
        self.guards().attend.store(attend as usize, Ordering::Release);
    }

    /// Lets sites and sizes decide which blocks are guarded, whatever came before: for fuzz
    /// campaigns.
    pub fn guard_by_contents(&self) {
        policy::go_by_contents();
    }

    /// Sets the hash of the fuzzer's input, which then decides, too; 0 if it is not known.
    pub fn guard_for_input(&self, hash: usize) {
        policy::set_input(hash);
    }

    fn attend(&self, number: u64) {
        // The first ones come while a program's runtime sets its own handlers.
        const FIRST: core::ops::RangeInclusive<u64> = 4..=16;
        let attend = self.guards().attend.load(Ordering::Acquire);
        if attend != 0 && (FIRST.contains(&number) || number > 16 && number.is_power_of_two()) {
            // SAFETY: `attend_to_guards` alone stores there, functions of this type.
            unsafe { core::mem::transmute::<usize, fn()>(attend)() };
        }
    }

    /// Blocks that were to be guarded and were not, since there was no memory for it.
    pub fn unguarded(&self) -> u64 {
        self.guards().unguarded.load(Ordering::Relaxed)
    }

    /// Why blocks were not guarded from some time on, if they were to be.
    pub fn guard_obstacle(&self) -> Option<GuardObstacle> {
        obstacle::met()
    }

    /// A guarded block for the request, number `ordinal` of its site, if it is to be one and there
    /// is a slot. The caller counts it. The thread is in no turn of its arena.
    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_guarded(
        &self,
        request: Request,
        site: ProcessSite,
        ordinal: u32,
    ) -> Option<NonNull<u8>> {
        if !self.is_checked() || self.is_frozen() {
            return None;
        }
        if !policy::is_meant(request, ordinal)
            || !policy::is_chosen(site, request.size)
            || !self.is_wanted(site)
        {
            return None;
        }
        let plan = self.count_unguarded(Plan::of(request, site, ordinal))?;
        let allocations = self.counted_allocations();
        let taken = { self.guards().pool.lock().take(plan, allocations) };
        let taken = self.count_unguarded(taken)?;
        if !self.make_ready(taken, plan.reach) {
            return None;
        }
        self.attend(taken.number);
        Some(self.init_guarded(taken, plan, request, (site, ordinal)))
    }

    /// The same where nothing of it is counted yet, by the slow path.
    #[cold]
    pub(crate) fn allocate_guarded_slowly(
        &self,
        request: Request,
        site: ProcessSite,
        ordinal: u32,
    ) -> Option<NonNull<u8>> {
        let block = self.allocate_guarded(request, site, ordinal)?;
        match self.owner() {
            Some(owner) => owner.arena().stats().count_allocation(request.size),
            None => self.arenas().main().lock().stats.count_allocation(request.size),
        }
        thread::enter_critical();
        capture::count_block(site, request.size);
        thread::leave_critical();
        Some(block)
    }

    /// Counts a block that is not guarded although it was meant to be.
    fn count_unguarded<T>(&self, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.guards().unguarded.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// In a forked child: guards that it has not inherited are made again.
    pub(crate) fn renew_guards(&self) {
        let start = guarded_slots::start();
        guard_pages::renew_after_fork(start, start + guarded_slots::used_spans() * SPAN);
    }

    fn is_wanted(&self, site: ProcessSite) -> bool {
        match self.guards().filter.load(Ordering::Acquire) {
            0 => !policy::has_patterns(),
            // SAFETY: `filter_guards` alone stores there, functions of this type.
            filter => unsafe {
                core::mem::transmute::<usize, fn(ProcessSite) -> bool>(filter)(site)
            },
        }
    }

    /// Allocations so far, by the owners' own counts: no lock is taken.
    pub(super) fn counted_allocations(&self) -> u64 {
        let mut totals = HeapStats::default();
        self.arenas().for_each(|arena| arena.stats().add_to(&mut totals));
        totals.allocations
    }
}
