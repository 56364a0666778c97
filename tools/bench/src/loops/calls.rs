//! Loops that allocate and free at the bottom of calls, as programs do: what a stack at each costs.

use super::block::{Block, Ledger};
use super::exchange::in_two_threads;
use super::one_thread::release_all;

/// Blocks live at once.
const LIVE: usize = 64;

/// What the calls hand down.
struct Work {
    stats: Ledger,
    blocks: [Option<Block>; LIVE],
    step: usize,
}

impl Work {
    fn new() -> Self {
        Self { stats: Ledger::default(), blocks: [const { None }; LIVE], step: 0 }
    }

    /// Frees the oldest block and allocates one.
    #[inline(always)]
    fn replace(&mut self) {
        let place = self.step % LIVE;
        self.step += 1;
        if let Some(old) = self.blocks[place].take() {
            self.stats.release(old);
        }
        self.blocks[place] = Some(self.stats.allocate(64));
    }

    fn end(mut self) -> Ledger {
        release_all(&mut self.stats, &mut self.blocks);
        self.stats
    }
}

/// A module of twelve functions that call each other, each with something left to do, and so no
/// jump; with the four or so that lead to the loop they are the 16 calls.
macro_rules! calls {
    ($module:ident: $($name:ident => $next:path;)*) => {
        mod $module {
            use super::Work;

            $(
                #[inline(never)]
                fn $name(work: &mut Work) {
                    $next(work);
                    std::hint::black_box(work.step);
                }
            )*

            pub(super) fn run(work: &mut Work, operations: u64) {
                (0..operations / 2).for_each(|_| call_1(work));
            }
        }
    };
    ($($module:ident),*) => {$(
        calls! {
            $module:
            call_1 => call_2; call_2 => call_3; call_3 => call_4; call_4 => call_5;
            call_5 => call_6; call_6 => call_7; call_7 => call_8; call_8 => call_9;
            call_9 => call_10; call_10 => call_11; call_11 => call_12; call_12 => Work::replace;
        }
    )*};
}

// Two of them, so that each of two threads can have places of its own.
calls!(one, other);

fn at_the_bottom(run: fn(&mut Work, u64), operations: u64) -> Ledger {
    let mut work = Work::new();
    run(&mut work, operations);
    work.end()
}

/// One thread.
pub(crate) fn one_thread(operations: u64) -> Ledger {
    at_the_bottom(one::run, operations)
}

/// Two threads at the same places.
pub(crate) fn same_sites(operations: u64) -> Ledger {
    let half = move || at_the_bottom(one::run, operations / 2);
    in_two_threads(half, half)
}

/// Two threads, each at places of its own.
pub(crate) fn own_sites(operations: u64) -> Ledger {
    in_two_threads(
        move || at_the_bottom(one::run, operations / 2),
        move || at_the_bottom(other::run, operations / 2),
    )
}
