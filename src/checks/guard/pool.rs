//! The slots: fresh ones by spans, freed ones by age.

use crate::checks::guard::budget::{Budget, OVERHEAD};
use crate::checks::guard::list::SlotList;
use crate::checks::guard::policy::{Plan, Rule, rule};
use crate::checks::guard::{obstacle, reserve};
use crate::heap::size::PAGE;
use crate::model::leak_report::GuardObstacle;
use crate::shadow::guarded_slots::{self, CLASSES, SPAN, Slot};
use crate::sys::{guard_pages, seccomp};

/// Slots for which guards are made at once, ahead of their use.
const AHEAD: usize = 64;
/// With `guard=all`: freed slots of a class that wait before the oldest is used again.
const KEPT: usize = 256;
/// The same in fuzz campaigns, where the slots are to stay in the cache.
const KEPT_NEAR: usize = 8;

/// Refusals of the kernel in a row after which it is asked no more.
const MOST_REFUSALS: u32 = 8;

/// A slot that was taken for a block, and what is still to be done.
#[derive(Clone, Copy)]
pub(super) struct TakenSlot {
    pub(super) slot: Slot,
    pub(super) was: Was,
    /// Which of the process's guarded blocks it is for, from 1.
    pub(super) number: u64,
}

/// What a slot was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Was {
    /// Never used.
    Fresh,
    /// Open, with a freed block's poison in it.
    Waiting,
    /// Closed.
    Closed,
}

/// The fresh slots of a class: a span, and those of it that were used.
#[derive(Clone, Copy)]
struct Cursor {
    /// Number of the span plus one; 0: there is none.
    span: u32,
    used: u32,
}

/// All slots.
pub(crate) struct Pool {
    is_tried: bool,
    /// Spans that are cut.
    spans: usize,
    cursors: [Cursor; CLASSES.len()],
    waiting: [SlotList; CLASSES.len()],
    closed: [SlotList; CLASSES.len()],
    /// Refusals of the kernel in a row.
    refusals: u32,
    pub(super) budget: Budget,
}

impl Pool {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self {
            is_tried: false,
            spans: 0,
            cursors: [Cursor { span: 0, used: 0 }; CLASSES.len()],
            waiting: [SlotList::EMPTY; CLASSES.len()],
            closed: [SlotList::EMPTY; CLASSES.len()],
            refusals: 0,
            budget: Budget::new(),
        }
    }

    /// Bytes of open pages that a block takes in its slot.
    fn pages_of(plan: Plan) -> usize {
        plan.reach.div_ceil(PAGE) * PAGE
    }

    /// A slot for a block, after so many allocations. `None`: there is none that the budget allows.
    pub(super) fn take(&mut self, plan: Plan, allocations: u64) -> Option<TakenSlot> {
        if !self.is_tried {
            self.is_tried = true;
            match reserve::reserve() {
                Ok(most) => self.budget.most = most,
                Err(obstacle) => obstacle::note(obstacle),
            }
        }
        if guarded_slots::spans() == 0 || !self.budget.may_guard(allocations) {
            return None;
        }
        let mut taken = self.find(plan, allocations)?;
        taken.number = self.budget.count_block();
        self.budget.lend(plan.reach, true);
        Some(taken)
    }

    fn find(&mut self, plan: Plan, allocations: u64) -> Option<TakenSlot> {
        let class = plan.class;
        let kept = match rule() {
            Rule::Counts => usize::MAX,
            Rule::Contents => KEPT_NEAR,
            Rule::All => KEPT,
        };
        let may_wait = self.count_of(class) < kept;
        let spare = Self::pages_of(plan) - plan.reach;
        let has_room = self.budget.has_room(spare + OVERHEAD, reserve::peak());
        if may_wait && has_room && !seccomp::is_installed() {
            if self.budget.may_touch(0, allocations)
                && let Some(slot) = self.take_fresh(class)
            {
                self.budget.count_touch(0);
                self.budget.count_slot();
                self.budget.open_slot(slot.pages * PAGE);
                return Some(TakenSlot { slot, was: Was::Fresh, number: 0 });
            }
            if self.budget.may_touch(1, allocations)
                && guard_pages::chosen() != guard_pages::Backend::None
                && let Some(slot) = self.list(class, false).and_then(SlotList::pop)
            {
                self.budget.count_touch(1);
                self.budget.open_slot(slot.pages * PAGE);
                return Some(TakenSlot { slot, was: Was::Closed, number: 0 });
            }
        }
        let slot = self.list(class, true)?.pop()?;
        Some(TakenSlot { slot, was: Was::Waiting, number: 0 })
    }

    fn count_of(&mut self, class: usize) -> usize {
        self.list(class, true).map_or(0, |list| list.count)
    }

    fn list(&mut self, class: usize, waiting: bool) -> Option<&mut SlotList> {
        let lists = if waiting { &mut self.waiting } else { &mut self.closed };
        lists.get_mut(class)
    }

    /// The next slot that was never used.
    fn take_fresh(&mut self, class: usize) -> Option<Slot> {
        let count = Slot::of_span(class);
        let mut cursor = *self.cursors.get(class)?;
        if cursor.span == 0 || cursor.used as usize == count {
            cursor = Cursor { span: self.cut_span(class)? + 1, used: 0 };
        }
        let (span, index) = (cursor.span as usize - 1, cursor.used as usize);
        if index.is_multiple_of(AHEAD) && !self.lay_ahead(span, class, index) {
            return None;
        }
        cursor.used += 1;
        *self.cursors.get_mut(class)? = cursor;
        Some(Slot::new(span, class, index))
    }

    /// Makes guards ahead. Where the kernel refuses time and again, as it does in locked memory,
    /// there are no more from then on.
    fn lay_ahead(&mut self, span: usize, class: usize, index: usize) -> bool {
        let is_done = lay_ahead(span, class, index);
        self.refusals = if is_done { 0 } else { self.refusals + 1 };
        if self.refusals == MOST_REFUSALS {
            guard_pages::give_up();
            obstacle::note(GuardObstacle::Refused);
        }
        is_done
    }

    fn cut_span(&mut self, class: usize) -> Option<u32> {
        let span = self.spans;
        if span >= guarded_slots::spans() || !guarded_slots::cut(span, class) {
            return None;
        }
        self.spans += 1;
        let start = guarded_slots::start() + span * SPAN;
        // The first span was committed when the way was tried.
        let is_committed = span == 0 || guard_pages::commit(start, SPAN);
        (is_committed && guard_pages::lay(start, PAGE, 1)).then_some(span as u32)
    }

    /// May a freed slot be closed, after so many allocations? It counts as closed then.
    pub(super) fn may_close(&mut self, allocations: u64) -> bool {
        let may_close = self.budget.may_close(allocations);
        if may_close {
            self.budget.count_close();
        }
        may_close
    }

    /// A slot whose block had so many bytes comes into its list, the youngest at the end.
    pub(super) fn put(&mut self, slot: Slot, reach: usize, is_closed: bool) {
        self.budget.lend(reach, false);
        self.budget.live -= 1;
        if is_closed {
            self.budget.close_slot(slot.pages * PAGE);
        }
        if let Some(list) = self.list(slot.class(), !is_closed) {
            list.push(slot);
        }
    }

    /// The lists of slots that wait and of closed ones, by class.
    pub(super) const fn lists(&self) -> (&[SlotList], &[SlotList]) {
        (&self.waiting, &self.closed)
    }

    /// Bytes of the slots that hold a block or a freed one.
    pub(crate) const fn open_bytes(&self) -> usize {
        self.budget.open
    }
}

/// Makes the guards behind a span's next slots; the one in front of the first is there.
fn lay_ahead(span: usize, class: usize, index: usize) -> bool {
    let slot = Slot::new(span, class, index);
    let count = (Slot::of_span(class) - index).min(AHEAD);
    // What lies behind a span is reserved and faults, or is the next span's first guard.
    let end = guarded_slots::start() + (span + 1) * SPAN;
    let stride = (slot.pages + 1) * PAGE;
    let is_last_inside = slot.end() + (count - 1) * stride < end;
    guard_pages::lay(slot.end(), stride, if is_last_inside { count } else { count - 1 })
}
