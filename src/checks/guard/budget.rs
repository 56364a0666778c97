//! The budget of guards: a share of the allocations, so that a program is never much slower, and
//! a share of its memory.

use crate::checks::guard::policy::{Rule, rule};
use crate::options::{self, Name};

/// Guards that every process has at once.
const FIRST: u64 = 64;
/// Allocations for which one block more may be guarded, and one page more be touched, or one guard
/// more be made by a system call.
const FOR_A_BLOCK: u64 = 128;
const FOR_A_COST: u64 = 1000;
/// With `guard=all`: of so many frees one may close its slot by a system call.
const FOR_A_CLOSE: u64 = 16;
/// Most live guarded blocks with `guard=auto`.
const MOST_LIVE: usize = 4096;
/// Bytes of slots that every process may have, the part of its live bytes on top of that, and the
/// most.
const LEAST_BYTES: usize = 1 << 20;
const SHARE: usize = 16;
const MOST_BYTES: usize = 16 << 20;
/// Bytes that a used slot takes besides its pages: record, states, page table.
pub(super) const OVERHEAD: usize = 320;

/// The blocks, calls, page faults and bytes used so far.
pub(super) struct Budget {
    blocks: u64,
    faults: u64,
    calls: u64,
    /// Live blocks.
    pub(super) live: usize,
    /// Bytes of slots that are open.
    pub(super) open: usize,
    /// Bytes of open slots outside of live blocks.
    spare: usize,
    /// Bytes of what is known of all slots that were ever used.
    overhead: usize,
    /// Most bytes with `guard=all`.
    pub(super) most: usize,
}

impl Budget {
    /// Nothing was.
    pub(super) const fn new() -> Self {
        Self { blocks: 0, faults: 0, calls: 0, live: 0, open: 0, spare: 0, overhead: 0, most: 0 }
    }

    /// May one block more be guarded, after so many allocations?
    pub(super) fn may_guard(&self, allocations: u64) -> bool {
        !is_auto() || self.live < MOST_LIVE && self.blocks < FIRST + allocations / FOR_A_BLOCK
    }

    /// A slot is used for the first time.
    pub(super) const fn count_slot(&mut self) {
        self.overhead += OVERHEAD;
    }

    /// A slot of so many bytes is opened.
    pub(super) const fn open_slot(&mut self, bytes: usize) {
        self.open += bytes;
        self.spare += bytes;
    }

    /// One is closed.
    pub(super) const fn close_slot(&mut self, bytes: usize) {
        self.open = self.open.saturating_sub(bytes);
        self.spare = self.spare.saturating_sub(bytes);
    }

    /// So many bytes of an open slot are a live block's, or are no more.
    pub(super) const fn lend(&mut self, bytes: usize, is_live: bool) {
        self.spare = if is_live { self.spare.saturating_sub(bytes) } else { self.spare + bytes };
    }

    /// One block more is; returns its number, from 1.
    pub(super) const fn count_block(&mut self) -> u64 {
        self.blocks += 1;
        self.live += 1;
        self.blocks
    }

    /// May one page more be touched, and `calls` guards more be made?
    pub(super) fn may_touch(&self, calls: u64, allocations: u64) -> bool {
        let most = FIRST + allocations / FOR_A_COST;
        !is_auto() || self.faults < most && self.calls + calls <= most
    }

    /// One page more is touched, and so many guards more are made.
    pub(super) const fn count_touch(&mut self, calls: u64) {
        self.faults += 1;
        self.calls += calls;
    }

    /// May a freed slot be closed?
    pub(super) fn may_close(&self, allocations: u64) -> bool {
        let share = if is_auto() { FOR_A_COST } else { FOR_A_CLOSE };
        let closes_all = options::number(Name::GuardFreed) != 0 || rule() == Rule::Contents;
        closes_all || self.calls < FIRST + allocations / share
    }

    /// One is.
    pub(super) const fn count_close(&mut self) {
        self.calls += 1;
    }

    /// May so many bytes more be used, where the program had at most `peak` live bytes?
    pub(super) fn has_room(&self, bytes: usize, peak: usize) -> bool {
        let most = match options::number(Name::GuardBudgetMb) {
            0 => match rule() {
                Rule::Counts => (LEAST_BYTES + peak / SHARE).min(MOST_BYTES),
                Rule::Contents => MOST_BYTES,
                Rule::All => self.most,
            },
            megabytes => megabytes << 20,
        };
        self.spare + self.overhead + bytes <= most
    }
}

fn is_auto() -> bool {
    rule() == Rule::Counts
}
