//! Loops of two threads, and of one thread in the roles of two.

use std::hint;
use std::thread;

use super::block::{Block, Ledger};
use super::cores;
use super::one_thread;
use super::slot::{Slot, slots};
use crate::random::Random;

/// Places between producer and consumer, and those that swapping threads share.
pub(super) const SLOTS: usize = 1024;
/// Looks at a place before the thread yields.
const PATIENCE: u32 = 200;

/// mixed-1024 in each of two threads, half of the operations each.
pub(crate) fn pairs(operations: u64) -> Ledger {
    let half = |seed| move || one_thread::mixed(seed, operations / 2, small);
    in_two_threads(half(1), half(4))
}

/// One thread allocates, another frees, and a ring of places is between them.
pub(crate) fn producer_consumer(operations: u64) -> Ledger {
    let ring = slots(SLOTS);
    let blocks = operations / 2;
    let place = |number: u64| &ring[number as usize % SLOTS];
    in_two_threads(
        || {
            let mut stats = Ledger::default();
            let mut random = Random::new(5);
            for number in 0..blocks {
                let block = stats.allocate(small(&mut random));
                wait_until(|| place(number).is_empty());
                place(number).swap(Some(block));
            }
            stats
        },
        || {
            let mut stats = Ledger::default();
            for number in 0..blocks {
                wait_until(|| !place(number).is_empty());
                if let Some(block) = place(number).swap(None) {
                    stats.release(block);
                }
            }
            stats
        },
    )
}

/// Two threads put blocks into shared places and free what was there.
pub(crate) fn swap_two_threads(operations: u64) -> Ledger {
    let shared = slots(SLOTS);
    let stats = in_two_threads(
        || swap(&shared, [6].map(Random::new), operations / 2),
        || swap(&shared, [7].map(Random::new), operations / 2),
    );
    clear(stats, &shared)
}

/// One thread does what the two do, in turns.
pub(crate) fn swap_one_thread(operations: u64) -> Ledger {
    let shared = slots(SLOTS);
    let stats = swap(&shared, [6, 7].map(Random::new), operations);
    clear(stats, &shared)
}

/// Swaps in each of the roles in turn.
fn swap<const ROLES: usize>(
    shared: &[Slot],
    mut roles: [Random; ROLES],
    operations: u64,
) -> Ledger {
    let mut stats = Ledger::default();
    for _ in 0..operations / 2 / ROLES as u64 {
        for random in &mut roles {
            let block: Block = stats.allocate(small(random));
            if let Some(previous) = shared[random.below(SLOTS)].swap(Some(block)) {
                stats.release(previous);
            }
        }
    }
    stats
}

/// Frees what the places still hold.
fn clear(mut stats: Ledger, shared: &[Slot]) -> Ledger {
    for block in shared.iter().filter_map(|slot| slot.swap(None)) {
        stats.release(block);
    }
    stats
}

pub(super) fn small(random: &mut Random) -> usize {
    random.between(8, 1024)
}

/// Runs both at once, each on a core of its own.
pub(super) fn in_two_threads(
    one: impl FnOnce() -> Ledger + Send,
    other: impl FnOnce() -> Ledger + Send,
) -> Ledger {
    thread::scope(|scope| {
        let one = scope.spawn(|| {
            cores::stay_on(1);
            one()
        });
        cores::stay_on(0);
        let other = other();
        one.join().map_or_else(|panic| std::panic::resume_unwind(panic), |one| one.merge(&other))
    })
}

/// Spins, and yields after a while, since the other thread may be waiting for this core.
pub(super) fn wait_until(ready: impl Fn() -> bool) {
    loop {
        for _ in 0..PATIENCE {
            if ready() {
                return;
            }
            hint::spin_loop();
        }
        thread::yield_now();
    }
}
