//! A load like a long-running server's: the sizes drift, the live bytes do not.

use super::block::{Block, Ledger};
use crate::random::Random;

/// Bytes live at once, more or less.
const LIVE: usize = 60 << 20;
/// Of these, bytes of blocks that live long.
const LONG_LIVED: usize = 9 << 20;
/// One allocation in so many is of a block that lives long.
const LONG_LIVED_SHARE: usize = 64;
/// Operations before the sizes change.
const PHASE: u64 = 3_000_000;
/// Powers of two between which the sizes lie, phase by phase: from small ones to large ones and
/// back, with a mixture between.
const PHASES: [(usize, usize); 8] =
    [(6, 9), (7, 10), (5, 13), (9, 12), (10, 15), (8, 11), (6, 16), (6, 8)];
/// Samples over a run.
const SAMPLES: u64 = 10;

/// Blocks with their sizes, in two lists that take less memory than one of pairs.
struct Population {
    blocks: Vec<Block>,
    sizes: Vec<u32>,
    bytes: usize,
}

impl Population {
    fn with_capacity(capacity: usize) -> Self {
        let (blocks, sizes) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        Self { blocks, sizes, bytes: 0 }
    }

    fn add(&mut self, stats: &mut Ledger, size: usize) {
        self.blocks.push(stats.allocate_used(size, size));
        self.sizes.push(size as u32);
        self.bytes += size;
    }

    fn remove(&mut self, stats: &mut Ledger, which: usize) {
        stats.release(self.blocks.swap_remove(which));
        self.bytes -= self.sizes.swap_remove(which) as usize;
    }

    fn clear(&mut self, stats: &mut Ledger) {
        self.blocks.drain(..).for_each(|block| stats.release(block));
    }
}

/// Does that many operations (a malloc or a free each) and calls `sample` with the number done,
/// ten times.
pub(crate) fn drift(operations: u64, mut sample: impl FnMut(u64)) -> Ledger {
    // The smallest phase's mean is 170 bytes or so: neither list grows beyond this.
    let mut short = Population::with_capacity(LIVE / 64);
    let mut long = Population::with_capacity(LONG_LIVED / 64);
    let mut stats = Ledger::default();
    let mut random = Random::new(8);
    let interval = (operations / SAMPLES).max(1);
    for operation in 0..operations {
        if short.bytes + long.bytes < LIVE {
            let (low, high) = PHASES[(operation / PHASE) as usize % PHASES.len()];
            let size = random.by_magnitude(low, high);
            let lives_long = random.below(LONG_LIVED_SHARE) == 0;
            if lives_long { &mut long } else { &mut short }.add(&mut stats, size);
        } else {
            let chosen = if long.bytes > LONG_LIVED { &mut long } else { &mut short };
            let which = random.below(chosen.blocks.len());
            chosen.remove(&mut stats, which);
        }
        if (operation + 1).is_multiple_of(interval) {
            sample(operation + 1);
        }
    }
    short.clear(&mut stats);
    long.clear(&mut stats);
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_samples_ten_times_and_frees_everything() {
        let mut samples = Vec::new();
        let stats = drift(1_000_000, |operations| samples.push(operations));
        assert_eq!(samples, (1..=10).map(|sample| sample * 100_000).collect::<Vec<_>>());
        assert_eq!(stats.allocated, stats.freed);
    }
}
