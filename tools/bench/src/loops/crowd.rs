//! Threads that come, allocate, and go, as those of a server do that starts one for each request.

use std::thread;

use super::block::{Block, Ledger};
use super::one_thread::release_all;
use super::slot::{Slot, slots};
use crate::random::Random;

/// Blocks that a thread allocates.
const BLOCKS: usize = 400;
/// Of these, how many it leaves to later threads.
const LEFT: usize = 40;

/// Two threads at a time; each frees what an earlier one left.
pub(crate) fn threads_come_and_go(operations: u64) -> Ledger {
    let left = slots(2 * LEFT);
    let mut stats = Ledger::default();
    for round in 0..operations.div_ceil(4 * BLOCKS as u64) {
        let one = |which| {
            let left = &left;
            move || live(left, 2 * round + which)
        };
        // Joining in order of starting: the two take about the same time.
        thread::scope(|scope| {
            for thread in [scope.spawn(one(0)), scope.spawn(one(1))] {
                match thread.join() {
                    Ok(theirs) => stats = std::mem::take(&mut stats).merge(&theirs),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
    }
    for block in left.iter().filter_map(|slot| slot.swap(None)) {
        stats.release(block);
    }
    stats
}

/// What a thread does.
fn live(left: &[Slot], seed: u64) -> Ledger {
    let mut stats = Ledger::default();
    let mut random = Random::new(seed);
    let mut blocks: [Option<Block>; BLOCKS] = [const { None }; BLOCKS];
    for block in &mut blocks {
        *block = Some(stats.allocate(random.by_magnitude(3, 11)));
    }
    for block in blocks.iter_mut().take(LEFT) {
        if let Some(earlier) = left[random.below(left.len())].swap(block.take()) {
            stats.release(earlier);
        }
    }
    release_all(&mut stats, &mut blocks);
    stats
}
