//! A checked block's way out: verified, poisoned, kept in the quarantine, given back to the heap.

use crate::sys::thread_number;
use core::ptr::NonNull;

use crate::arena::Owner;
use crate::arena::size_class::Class;
use crate::checks::fill::Fill;
use crate::checks::heap::{CheckedHeap, Pages};
use crate::checks::layout;
use crate::checks::layout::{BlockHeader, Canaries};
use crate::checks::poison;
use crate::checks::quarantine::{Quarantine, Quarantined};
use crate::checks::request::Release;
use crate::heap::Corrupt;
use crate::model::finding::{Defect, Finding, Operation};
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::shadow::block_table;
use crate::shadow::block_table::{BlockState, Sites, Taken};
use crate::stack::capture;
use crate::sys::{process, thread};

/// What part of a full quarantine goes at once: one by one costs more, many make a free slow.
const EVICTED_AT_ONCE: usize = 16;

impl CheckedHeap {
    /// A taken block, any: verify it and how it is given back, then let it wait.
    #[inline(never)]
    pub(crate) fn release_taken(
        &self,
        user: usize,
        taken: Taken,
        release: &Release,
        now: ProcessSite,
    ) {
        block_table::set_free_site(user, now);
        let Some(head) = self.verify_taken(user, taken, release.operation, now) else {
            return taken.set(BlockState::Quarantined);
        };
        // realloc has checked the block when it took it.
        if !release.operation.is_resize() {
            self.check_release(user, taken.site(), head, release);
        }
        if let Some(mapped) = self.list_of(user, head) {
            Self::count_freed(taken, head.size);
            return self.seal(mapped, taken.site(), head, now);
        }
        let size = head.size;
        let waiting =
            Quarantined { user, size, class: taken.class, thread: thread_number::number() };
        if size <= self.quarantine_share().bytes() / 2
            && let Some(owner) = self.owner()
        {
            return self.quarantine_block(owner, self.canaries(), waiting, &taken, Sites::taken());
        }
        Self::count_freed(taken, size);
        match self.large_limit() {
            most if size <= most && size != 0 => self.quarantine_large_block(waiting, &taken, most),
            _ => self.pass_by(waiting),
        }
    }

    /// Counts a freed block for the site that allocated it, outside of a turn.
    fn count_freed(taken: Taken, size: usize) {
        thread::enter_critical();
        capture::count_free(taken.site(), size);
        thread::leave_critical();
    }

    /// Verifies a taken block. A damaged one is a finding; `None` if it cannot be used any further.
    pub(crate) fn verify_taken(
        &self,
        user: usize,
        taken: Taken,
        operation: Operation,
        now: ProcessSite,
    ) -> Option<BlockHeader> {
        if !self.is_checked() {
            return self.bare_head(user, taken, operation, now);
        }
        // SAFETY: the shadow gave the block to us.
        match unsafe { self.canaries().verify(user) } {
            Ok(head) => {
                if let Some(damage) = self.damage_behind(user, head, taken.class) {
                    self.blame(user, damage, operation, now);
                }
                Some(head)
            }
            Err((head, damage)) => {
                self.blame(user, damage, operation, now);
                let fits = |head: &BlockHeader| {
                    let most = taken.class.map_or(usize::MAX, Class::capacity);
                    layout::plan(head.size, 16).is_some_and(|layout| layout.size <= most)
                };
                let head = head.filter(fits)?;
                // SAFETY: the block is ours alone; its head is whole, and it fits its chunk.
                unsafe { self.canaries().mend(user, head) };
                Some(head)
            }
        }
    }

    /// Poisons a verified block and keeps it. `sites`: where stacks are taken.
    #[inline(always)]
    pub(crate) fn quarantine_block<'a>(
        &'a self,
        owner: Owner<'a, Pages, Quarantine>,
        canaries: Canaries,
        waiting: Quarantined,
        taken: &Taken,
        sites: Option<Sites>,
    ) {
        let may_sum = |bytes| {
            let arena = owner.arena();
            arena.local().may_sum(bytes, arena.stats().frees())
        };
        // SAFETY: the block was taken and is ours alone.
        unsafe { self.poison(canaries, waiting, may_sum) };
        taken.set(BlockState::Quarantined);
        owner.arena().stats().count_free(waiting.size);
        if let Some(sites) = sites {
            capture::count_free(taken.site_in(sites), waiting.size);
        }
        match owner.arena().local().push_fast(waiting) {
            Some(bytes) if bytes <= self.quarantine_share().bytes() => {}
            Some(_) => self.evict_oldest(owner),
            None => {
                let class = waiting.class.map_or(0, Class::byte);
                self.find_place(owner, waiting.user, waiting.size, class, waiting.thread);
            }
        }
    }

    /// Keeps a block for which there is no place yet. It comes by its parts, which go in registers:
    /// the path that everything takes puts nothing together for this one.
    #[cold]
    #[inline(never)]
    fn find_place<'a>(
        &'a self,
        owner: Owner<'a, Pages, Quarantine>,
        user: usize,
        size: usize,
        class: u8,
        thread: u16,
    ) {
        let waiting = Quarantined { user, size, class: Class::from_byte(class), thread };
        let kept = owner.arena().local().push(waiting);
        self.evict_oldest(owner);
        if kept.is_none() {
            self.evict_with_care(waiting);
        }
    }

    /// Fills a freed block; its canaries are whole.
    ///
    /// # Safety
    /// The block is ours alone, and not mapped.
    #[inline(always)]
    pub(crate) unsafe fn poison(
        &self,
        canaries: Canaries,
        waiting: Quarantined,
        may_sum: impl FnOnce(usize) -> bool,
    ) {
        let Quarantined { user, size, .. } = waiting;
        // SAFETY: as the caller says: a chunk has 16 bytes from the user's first on.
        unsafe {
            poison::poison(user, size, most_poison(), Fill::of_freed(canaries, user), may_sum);
        }
    }

    /// Evicts the oldest blocks of a quarantine that is too full, a few more than need be.
    #[inline(never)]
    #[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_evict_oldest"))]
    fn evict_oldest<'a>(&'a self, mut owner: Owner<'a, Pages, Quarantine>) {
        let limit = self.quarantine_share().bytes();
        let quarantine = owner.arena().local();
        let look = self.look();
        while !self.is_frozen() {
            let mut evicted = Evicted::Yes;
            let last = quarantine.drain_over(limit - limit / EVICTED_AT_ONCE, |oldest| {
                evicted = self.evict_in(&mut owner, oldest, look);
                matches!(evicted, Evicted::Yes)
            });
            let Some(last) = last else { break };
            drop(owner);
            match evicted {
                Evicted::Beside(corrupt) => {
                    self.blame_corruption(corrupt, Operation::Free, capture::full_site());
                }
                _ => self.evict_with_care(last),
            }
            match self.owner() {
                Some(next) => owner = next,
                None => return,
            }
        }
        drop(owner);
        if quarantine.bytes() > 4 * limit {
            Self::hold_back();
        }
    }

    /// While the heap is frozen nothing leaves, and a thread that goes on would fill memory: who
    /// looks through the heap gets the processor first.
    #[cold]
    fn hold_back() {
        process::give_way();
    }

    /// A block that cannot wait.
    #[cold]
    fn pass_by(&self, waiting: Quarantined) {
        self.count_free(waiting.size);
        // Frozen, it stays where it is: nothing may move under a reader's hands.
        if self.is_frozen() {
            block_table::set(waiting.user, BlockState::Quarantined);
        } else {
            self.evict(waiting);
        }
    }

    /// Evicts a block in the turn that popped it, if nothing is wrong with it.
    #[inline(always)]
    fn evict_in(
        &self,
        owner: &mut Owner<'_, Pages, Quarantine>,
        oldest: Quarantined,
        look: PoisonCheck,
    ) -> Evicted {
        // SAFETY: a block lies behind its lead, so that this is not null.
        let payload = unsafe { NonNull::new_unchecked((oldest.user - layout::LEAD) as *mut u8) };
        let Some(class) = oldest.class.filter(|_| look.is_untouched(oldest)) else {
            return Evicted::Not;
        };
        // SAFETY: a block's.
        let Some(from) = (unsafe { block_table::evict(oldest.user) }) else { return Evicted::Not };
        if from == owner.arena().number() && owner.push(class, payload) {
            return Evicted::Yes;
        }
        // SAFETY: the block was taken when it came in: with its class, its arena, and nobody's
        // since.
        match unsafe { owner.release(payload, class, from, self.arenas()) } {
            Ok(()) => Evicted::Yes,
            Err(corrupt) => Evicted::Beside(corrupt),
        }
    }

    #[cold]
    #[inline(never)]
    fn evict_with_care(&self, waiting: Quarantined) {
        if !self.is_frozen() {
            self.verify_waiting(waiting, Operation::Evict);
            self.evict(waiting);
        }
    }

    fn pop_from(&self, quarantine: &Quarantine, limit: usize) -> Option<Quarantined> {
        if self.is_frozen() { None } else { quarantine.pop_over(limit) }
    }

    /// Evicts the oldest blocks of the thread's quarantine until at most `limit` bytes wait. Says
    /// whether any went.
    pub(crate) fn evict_over(&self, limit: usize) -> bool {
        let mut any = false;
        let oldest = || self.pop_from(self.owner()?.arena().local(), limit);
        while let Some(waiting) = oldest() {
            any = true;
            self.verify_waiting(waiting, Operation::Evict);
            self.evict(waiting);
        }
        self.evict_large_over(limit);
        any
    }

    /// Is a block that waits as it was when it was freed?
    pub(crate) fn is_untouched(&self, waiting: Quarantined) -> bool {
        self.look().is_untouched(waiting)
    }

    fn look(&self) -> PoisonCheck {
        PoisonCheck { canaries: self.canaries(), most: most_poison() }
    }

    /// Verifies a block that waits: nobody may have written to it. Says whether that holds.
    pub(crate) fn verify_waiting(&self, waiting: Quarantined, operation: Operation) -> bool {
        self.is_untouched(waiting) || self.report_waiting(waiting, operation)
    }

    #[cold]
    fn report_waiting(&self, waiting: Quarantined, operation: Operation) -> bool {
        let Quarantined { user, size, thread, .. } = waiting;
        let (most, fill) = (most_poison(), Fill::of_freed(self.canaries(), user));
        // SAFETY: the block is in the quarantine: ours alone, poisoned with these arguments.
        let damage = unsafe { poison::poison_damage(user, size, most, fill) };
        let Some(damage) = damage else {
            // SAFETY: the block is in the quarantine: it is ours alone and keeps its head and
            // canaries.
            return match unsafe { self.canaries().verify(user) } {
                Ok(_) => true,
                Err((_, damage)) => {
                    self.blame(user, damage, operation, ProcessSite::NONE);
                    false
                }
            };
        };
        let mut block = self.describe(user);
        block.free_thread = Some(thread);
        block.size = Some(size);
        let now = self.operation_site(operation);
        self.deliver(&Finding {
            block: Some(block),
            damage: Some(damage),
            ..Finding::new(Defect::WriteAfterFree, operation, user, thread_number::number(), now)
        });
        // SAFETY: the block is in the quarantine: ours alone. It is made whole so that it is
        // reported once.
        unsafe { self.poison(self.canaries(), waiting, |_| true) };
        false
    }

    /// Gives a freed block's chunk back to where it is from.
    #[inline]
    pub(crate) fn evict(&self, waiting: Quarantined) {
        let Quarantined { user, class, .. } = waiting;
        block_table::set(user, BlockState::Evicted);
        match (class, block_table::owner(user)) {
            (Some(class), Some(from)) => self.put(user, class, from, None),
            (_, from) => self.give_back(user, from, None),
        }
    }

    /// Counts a free where the thread's turn is not at hand.
    pub(crate) fn count_free(&self, size: usize) {
        match self.owner() {
            Some(owner) => {
                owner.arena().stats().count_free(size);
                owner.arena().stats().tell();
            }
            None => self.arenas().main().lock().stats.count_free(size),
        }
    }

    /// Sets what may wait in each thread: fewer bytes where many threads have an arena.
    pub fn share_quarantine(&self) {
        let each = options::number(Name::ThreadLocalQuarantineSizeKb) << 10;
        let all = options::number(Name::QuarantineSizeMb) << 20;
        let share = each.min(all / self.arenas().owners().max(1));
        self.quarantine_share().set(share);
    }
}

/// The result of an eviction.
enum Evicted {
    Yes,
    /// Nothing was done: the block is damaged, or not a cached one.
    Not,
    /// It is evicted, and another chunk was found smashed.
    Beside(Corrupt),
}

/// What a look at a block that waits goes by.
#[derive(Clone, Copy)]
struct PoisonCheck {
    canaries: Canaries,
    most: usize,
}

impl PoisonCheck {
    #[inline(always)]
    fn is_untouched(self, waiting: Quarantined) -> bool {
        let Quarantined { user, size, .. } = waiting;
        // SAFETY: the block is in the quarantine: ours alone, poisoned with these arguments.
        unsafe {
            let fill = Fill::of_freed(self.canaries, user);
            poison::is_poisoned(user, size, self.most, fill) && self.canaries.are_whole(user, size)
        }
    }
}

/// Bytes of poison at both ends of a freed block.
fn most_poison() -> usize {
    options::number(Name::MaxFreeFillSize)
}
