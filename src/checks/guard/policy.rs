//! Which blocks are guarded, and on which side: by the site's count of blocks alone, so that the
//! same run guards the same.
//!
//! Of a site's blocks number 1, 2, 4, 8 ... are guarded: its bug, if it has one, is in most of them
//! as a rule. The sides take turns. `guard_seed` moves both.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::checks::header::noted_align;
use crate::checks::request::Request;
use crate::heap::size::{GRANULE, PAGE, round_up};
use crate::model::finding::AllocKind;
use crate::options::{self, Name};
use crate::shadow::guarded_slots::CLASSES;

/// Values of the option `guard`.
pub(super) const AUTO: usize = 0;
pub(super) const OFF: usize = 1;
pub(super) const ALL: usize = 2;

/// Where a block's guard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Behind the block, which ends where the guard begins, but for its alignment.
    After,
    /// In front of the block, which starts where the guard ends.
    Before,
}

/// What is added to a count, and above that the bits by which a sum is judged.
static RULE: AtomicU64 = AtomicU64::new((u32::MAX as u64) << 32);

/// Takes the options over; before the first block.
pub(crate) fn prepare() {
    let mask = if options::number(Name::Guard) == ALL { 0 } else { u64::from(u32::MAX) };
    RULE.store(mask << 32 | u64::from(shift()), Ordering::Relaxed);
}

/// What is added to counts: of the form 2^n - 1, so that a site's first block is always guarded.
fn shift() -> u32 {
    const SHIFTS: usize = 6;
    (1 << (options::number(Name::GuardSeed) / 2 % SHIFTS)) - 1
}

/// Is a site's block with that number, from 1, one to be guarded?
#[inline(always)]
pub(crate) fn is_sampled(ordinal: u32) -> bool {
    let rule = RULE.load(Ordering::Relaxed);
    let sum = ordinal.wrapping_add(rule as u32);
    sum & sum.wrapping_sub(1) & (rule >> 32) as u32 == 0
}

/// Are blocks wanted of some sites alone?
pub(super) fn has_patterns() -> bool {
    [Name::GuardSites, Name::GuardModules].into_iter().any(|name| options::text(name).is_some())
}

/// Bytes from a block's start to the guard behind it. Rust says which alignment it needs: up to
/// that the guard is at the block's very end.
pub(super) const fn reach_of(size: usize, align: usize, kind: AllocKind) -> usize {
    let size = if size == 0 { 1 } else { size };
    let is_exact = matches!(kind, AllocKind::Rust) || align > GRANULE;
    round_up(size, if is_exact { align } else { GRANULE })
}

/// Is a request that is number `ordinal` of its site meant to be guarded?
pub(super) fn is_meant(request: Request, ordinal: u32) -> bool {
    options::number(Name::Guard) != OFF
        && ordinal != 0
        && options::size_range(Name::GuardSizes).contains(&request.size)
}

/// How a block is guarded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(super) side: Side,
    pub(super) class: usize,
    /// Bytes from the block's start to the guard behind it, where that is its side.
    pub(super) reach: usize,
}

impl Plan {
    /// For a request that is number `ordinal` of its site, from 1. `None`: it cannot be guarded.
    pub(super) fn of(request: Request, ordinal: u32) -> Option<Self> {
        let Request { size, align, kind, .. } = request;
        let mode = options::number(Name::Guard);
        if align > PAGE {
            return None;
        }
        let reach = reach_of(size, noted_align(kind, align), kind);
        let pages = reach.div_ceil(PAGE);
        let class = CLASSES.iter().position(|&room| pages <= room)?;
        let turn = match mode {
            ALL => ordinal as usize,
            _ => (ordinal + shift()).ilog2() as usize,
        };
        let turns = (turn + options::number(Name::GuardSeed)) % 2;
        let is_after = if mode == ALL { turns == 1 } else { turns == 0 };
        let side = if is_after { Side::After } else { Side::Before };
        Some(Self { side, class, reach })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_sampled() {
        let sampled: Vec<u32> = (1..70).filter(|&ordinal| is_sampled(ordinal)).collect();
        assert_eq!(sampled, [1, 2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn sides_take_turns() {
        let sides: Vec<Side> = [1, 2, 4, 8]
            .into_iter()
            .filter_map(|ordinal| Plan::of(Request::malloc(10), ordinal))
            .map(|plan| plan.side)
            .collect();
        assert_eq!(sides, [Side::After, Side::Before, Side::After, Side::Before]);
        let huge = Request { align: 2 * PAGE, ..Request::malloc(10) };
        assert!(Plan::of(huge, 1).is_none() && Plan::of(Request::malloc(2 << 20), 1).is_none());
        let rust = Request { size: 13, align: 1, kind: AllocKind::Rust, zeroed: false };
        assert_eq!(Plan::of(rust, 1).map(|plan| plan.reach), Some(13));
        assert_eq!(Plan::of(Request { align: 8, ..rust }, 1).map(|plan| plan.reach), Some(16));
        assert!(!is_meant(Request::malloc(10), 0) && is_meant(Request::malloc(10), 1));
    }
}
