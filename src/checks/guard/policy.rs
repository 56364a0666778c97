//! Which blocks are guarded, and on which side: by the site's count of blocks alone, so that the
//! same run guards the same.
//!
//! Of a site's blocks number 1, 2, 4, 8 ... are guarded: its bug, if it has one, is in most of them
//! as a rule. The sides take turns. `guard_seed` moves both.
//!
//! In a fuzz campaign a process sees many inputs, and the same input is to end the same way again:
//! there the site, the block's size and the input's bytes decide, whatever came before.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::checks::header::noted_align;
use crate::checks::request::Request;
use crate::heap::size::{GRANULE, PAGE, round_up};
use crate::model::finding::AllocKind;
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::shadow::guarded_slots::CLASSES;
use crate::stack::depot;

/// What decides which blocks are guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A site's count of blocks.
    Counts,
    /// Site and size.
    Contents,
    /// Nothing: all are.
    All,
}

/// Sum of the seed and the hash of the fuzzer's input, if that is known. Where site and size
/// decide, another sum chooses other blocks.
static SALT: AtomicUsize = AtomicUsize::new(0);

/// Sets the hash of the fuzzer's input; 0 if it is not known.
pub(super) fn set_input(hash: usize) {
    SALT.store(options::number(Name::GuardSeed).wrapping_add(hash), Ordering::Relaxed);
}

/// Do site and size decide?
static BY_CONTENTS: AtomicBool = AtomicBool::new(false);

/// What decides.
pub(super) fn rule() -> Rule {
    match options::number(Name::Guard) {
        options::GUARD_ALL => Rule::All,
        _ if BY_CONTENTS.load(Ordering::Relaxed) => Rule::Contents,
        _ => Rule::Counts,
    }
}

/// Lets site and size decide from here on.
pub(crate) fn go_by_contents() {
    BY_CONTENTS.store(true, Ordering::Relaxed);
    prepare();
}

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
    set_input(0);
    let mask = if rule() == Rule::Counts { u64::from(u32::MAX) } else { 0 };
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

/// Bytes from a block's start to the guard behind it: its size, rounded up to the alignment that
/// Rust's Layout or the call asks for, or else to 16 or `guard_align`.
pub(super) fn reach_of(size: usize, align: usize, kind: AllocKind) -> usize {
    let size = if size == 0 { 1 } else { size };
    let is_exact = matches!(kind, AllocKind::Rust | AllocKind::Memalign) || align > GRANULE;
    round_up(size, if is_exact { align } else { GRANULE >> options::number(Name::GuardAlign) })
}

/// Is a request that is number `ordinal` of its site meant to be guarded?
pub(super) fn is_meant(request: Request, ordinal: u32) -> bool {
    options::number(Name::Guard) != options::GUARD_OFF
        && ordinal != 0
        && options::size_range(Name::GuardSizes).contains(&request.size)
}

/// Of the blocks that site and size decide on, one pair in so many is guarded, and of these one in
/// so many has its slot closed when it is freed. The first part is decided by the size alone.
const SIZES: usize = 64;
const SPREAD: usize = 0x9e37_79b9_7f4a_7c15;
const PAIRS: u64 = 2;
const CLOSED: u64 = 16;

/// A number that is the same in each run for a site and a size: of addresses only that part counts
/// which the loader does not choose.
fn number_of(site: ProcessSite, size: usize) -> u64 {
    const IN_PAGE: usize = PAGE - 1;
    let seed = size.wrapping_add(SALT.load(Ordering::Relaxed)) as u64;
    depot::frames(site).fold(seed, |number, frame| {
        let mixed = (number ^ (frame.pc() & IN_PAGE) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    })
}

/// May a block of that size be chosen, where site and size decide?
#[inline(always)]
pub(crate) fn is_size_chosen(size: usize) -> bool {
    let turn = size.wrapping_add(SALT.load(Ordering::Relaxed));
    turn.wrapping_mul(SPREAD) >> (usize::BITS - SIZES.ilog2()) == 0
        || !BY_CONTENTS.load(Ordering::Relaxed)
}

/// Is a block of that size and site chosen, where these decide?
pub(super) fn is_chosen(site: ProcessSite, size: usize) -> bool {
    rule() != Rule::Contents || is_size_chosen(size) && number_of(site, size).is_multiple_of(PAIRS)
}

/// Is its slot closed when it is freed?
pub(super) fn is_closed(site: ProcessSite, size: usize) -> bool {
    (number_of(site, size) >> 8).is_multiple_of(CLOSED)
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
    pub(super) fn of(request: Request, site: ProcessSite, ordinal: u32) -> Option<Self> {
        let Request { size, align, kind, .. } = request;
        if align > PAGE {
            return None;
        }
        let reach = reach_of(size, noted_align(kind, align), kind);
        let pages = reach.div_ceil(PAGE);
        let class = CLASSES.iter().position(|&room| pages <= room)?;
        let turn = match rule() {
            Rule::All => ordinal as usize + 1,
            Rule::Contents => (number_of(site, size) >> 16) as usize,
            Rule::Counts => (ordinal + shift()).ilog2() as usize,
        };
        let is_after = match options::number(Name::GuardSide) {
            0 => (turn + options::number(Name::GuardSeed)).is_multiple_of(2),
            side => side == 1,
        };
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
            .filter_map(|ordinal| Plan::of(Request::malloc(10), ProcessSite::NONE, ordinal))
            .map(|plan| plan.side)
            .collect();
        assert_eq!(sides, [Side::After, Side::Before, Side::After, Side::Before]);
        let huge = Request { align: 2 * PAGE, ..Request::malloc(10) };
        assert!(
            Plan::of(huge, ProcessSite::NONE, 1).is_none()
                && Plan::of(Request::malloc(2 << 20), ProcessSite::NONE, 1).is_none()
        );
        let rust = Request { size: 13, align: 1, kind: AllocKind::Rust, zeroed: false };
        assert_eq!(Plan::of(rust, ProcessSite::NONE, 1).map(|plan| plan.reach), Some(13));
        assert_eq!(
            Plan::of(Request { align: 8, ..rust }, ProcessSite::NONE, 1).map(|plan| plan.reach),
            Some(16)
        );
        assert!(!is_meant(Request::malloc(10), 0) && is_meant(Request::malloc(10), 1));
    }
}
