//! Loops of one thread over plain blocks.

use super::block::{Block, Ledger};
use crate::random::Random;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Blocks live at once in the loops of mixed sizes.
const MIXED_LIVE: usize = 10_000;

const GROWTH_STEP: usize = 64 * KIB;
/// Steps to 256 MiB.
pub(crate) const GROWTH_STEPS: u64 = 4096;

/// One size, first in, first out.
pub(crate) fn one_size(operations: u64) -> Ledger {
    const LIVE: u64 = 64;
    let mut stats = Ledger::default();
    let mut blocks: [Option<Block>; LIVE as usize] = [const { None }; LIVE as usize];
    for step in 0..operations / 2 {
        replace(&mut stats, &mut blocks[(step % LIVE) as usize], |stats| stats.allocate(64));
    }
    release_all(&mut stats, &mut blocks);
    stats
}

/// 8 to 1024 bytes, each as likely.
pub(crate) fn mixed_1024(operations: u64) -> Ledger {
    mixed(1, operations, |random| random.between(8, KIB))
}

/// 8 bytes to 32 KiB, each power of two as likely.
pub(crate) fn mixed_32k(operations: u64) -> Ledger {
    mixed(2, operations, |random| random.by_magnitude(3, 15))
}

/// Replaces blocks chosen at random: some live long, some do not.
pub(crate) fn mixed(seed: u64, operations: u64, size: fn(&mut Random) -> usize) -> Ledger {
    let mut stats = Ledger::default();
    let mut random = Random::new(seed);
    let mut blocks: Vec<Option<Block>> = Vec::with_capacity(MIXED_LIVE);
    blocks.resize_with(MIXED_LIVE, || None);
    for _ in 0..operations / 2 {
        let block = &mut blocks[random.below(MIXED_LIVE)];
        replace(&mut stats, block, |stats| stats.allocate(size(&mut random)));
    }
    release_all(&mut stats, &mut blocks);
    stats
}

/// Grows a buffer as a reader of unknown length does, `GROWTH_STEPS` times, and starts again.
pub(crate) fn realloc_growth(operations: u64) -> Ledger {
    let mut stats = Ledger::default();
    let mut left = operations;
    while left > 0 {
        let steps = left.min(GROWTH_STEPS) as usize;
        left -= steps as u64;
        let mut block = stats.allocate_used(GROWTH_STEP, GROWTH_STEP);
        for step in 1..steps {
            block = stats.resize(block, step * GROWTH_STEP, (step + 1) * GROWTH_STEP);
        }
        stats.release(block);
    }
    stats
}

/// 5 to 25 MiB of which the first MiB is used.
pub(crate) fn large(operations: u64) -> Ledger {
    const LIVE: usize = 4;
    let mut stats = Ledger::default();
    let mut random = Random::new(3);
    let mut blocks: [Option<Block>; LIVE] = [const { None }; LIVE];
    for _ in 0..operations / 2 {
        replace(&mut stats, &mut blocks[random.below(LIVE)], |stats| {
            stats.allocate_used(random.between(5 * MIB, 25 * MIB), MIB)
        });
    }
    release_all(&mut stats, &mut blocks);
    stats
}

/// Frees what is there, then allocates.
#[inline]
fn replace(
    stats: &mut Ledger,
    place: &mut Option<Block>,
    allocate: impl FnOnce(&mut Ledger) -> Block,
) {
    if let Some(old) = place.take() {
        stats.release(old);
    }
    *place = Some(allocate(stats));
}

/// Frees what is left.
pub(crate) fn release_all(stats: &mut Ledger, blocks: &mut [Option<Block>]) {
    for block in blocks.iter_mut().filter_map(Option::take) {
        stats.release(block);
    }
}
