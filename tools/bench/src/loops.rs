//! Loops that do nothing but allocate and free, run in a process of their own so that every column
//! measures them as it measures a program. They call libc's functions and keep their own records in
//! memory set up beforehand.

mod block;
mod calls;
mod controls;
mod cores;
mod crowd;
mod drift;
mod exchange;
mod one_thread;
mod passage;
mod slot;
mod structures;

pub(crate) use block::Ledger;
pub(crate) use drift::drift;
pub(crate) use passage::passage;

use crate::section::Section;

/// A loop and how much it does.
pub(crate) struct Loop {
    /// Its name, in the tables and for `--only`.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) about: &'static str,
    /// The table it stands in.
    pub(crate) section: Section,
    /// Threads at once.
    pub(crate) threads: u64,
    /// Runs it with about this number of operations (a malloc, free or realloc each) in all.
    pub(crate) run: fn(u64) -> Ledger,
    /// Operations of a full run.
    pub(crate) operations: u64,
    /// Operations of a quick run.
    pub(crate) quick: u64,
}

const MILLION: u64 = 1_000_000;

/// All of them. The counts give 0.5 to 1 s under glibc's malloc, where two threads are in each
/// other's way more; quick runs take about an eighth of that.
pub(crate) const TABLE: [Loop; 18] = [
    Loop {
        name: "one-size",
        about: "64-byte blocks, 64 live",
        section: Section::OneThread,
        threads: 1,
        run: one_thread::one_size,
        operations: 100 * MILLION,
        quick: 10 * MILLION,
    },
    Loop {
        name: "mixed-1024",
        about: "8 to 1024 bytes, 10 000 live",
        section: Section::OneThread,
        threads: 1,
        run: one_thread::mixed_1024,
        operations: 24 * MILLION,
        quick: 3 * MILLION,
    },
    Loop {
        name: "mixed-32k",
        about: "8 bytes to 32 KiB, small ones the more frequent, 10 000 live",
        section: Section::OneThread,
        threads: 1,
        run: one_thread::mixed_32k,
        operations: 8 * MILLION,
        quick: MILLION,
    },
    Loop {
        name: "structures",
        about: "linked lists and binary trees built and torn down",
        section: Section::OneThread,
        threads: 1,
        run: structures::structures,
        operations: 60 * MILLION,
        quick: 8 * MILLION,
    },
    Loop {
        name: "realloc-growth",
        about: "a buffer grown to 256 MiB in steps of 64 KiB",
        section: Section::OneThread,
        threads: 1,
        run: one_thread::realloc_growth,
        operations: 4 * one_thread::GROWTH_STEPS,
        quick: one_thread::GROWTH_STEPS,
    },
    Loop {
        name: "large",
        about: "5 to 25 MiB, 4 live, the first MiB used",
        section: Section::OneThread,
        threads: 1,
        run: one_thread::large,
        operations: 10_000,
        quick: 2_500,
    },
    Loop {
        name: "pairs-2t",
        about: "mixed-1024 in two threads at once, each its own blocks",
        section: Section::TwoThreads,
        threads: 2,
        run: exchange::pairs,
        operations: 48 * MILLION,
        quick: 6 * MILLION,
    },
    Loop {
        name: "producer-consumer",
        about: "one thread allocates, another frees",
        section: Section::TwoThreads,
        threads: 2,
        run: exchange::producer_consumer,
        operations: 3 * MILLION,
        quick: 400_000,
    },
    Loop {
        name: "swap-2t",
        about: "two threads exchange blocks: half of the frees are of the other's",
        section: Section::TwoThreads,
        threads: 2,
        run: exchange::swap_two_threads,
        operations: 24 * MILLION,
        quick: 3 * MILLION,
    },
    Loop {
        name: "threads-come-and-go",
        about: "short threads, two at a time, that leave blocks to the next",
        section: Section::TwoThreads,
        threads: 2,
        run: crowd::threads_come_and_go,
        operations: 8 * MILLION,
        quick: 2 * MILLION,
    },
    Loop {
        name: "swap-1t",
        about: "one thread in both roles of swap-2t",
        section: Section::Scaling,
        threads: 1,
        run: exchange::swap_one_thread,
        operations: 24 * MILLION,
        quick: 3 * MILLION,
    },
    Loop {
        name: "calls-1t",
        about: "one-size at the bottom of 16 calls",
        section: Section::Scaling,
        threads: 1,
        run: calls::one_thread,
        operations: 20 * MILLION,
        quick: 2 * MILLION,
    },
    Loop {
        name: "calls-2t",
        about: "the same in two threads at once, at the same places",
        section: Section::Scaling,
        threads: 2,
        run: calls::same_sites,
        operations: 40 * MILLION,
        quick: 4 * MILLION,
    },
    Loop {
        name: "own-calls-2t",
        about: "the same in two threads at once, each at places of its own",
        section: Section::Scaling,
        threads: 2,
        run: calls::own_sites,
        operations: 40 * MILLION,
        quick: 4 * MILLION,
    },
    Loop {
        name: "pairs-2p",
        about: "mixed-1024 in two processes at once",
        section: Section::Scaling,
        threads: 2,
        run: controls::mixed_in_two_processes,
        operations: 48 * MILLION,
        quick: 6 * MILLION,
    },
    Loop {
        name: "calls-2p",
        about: "calls-1t in two processes at once",
        section: Section::Scaling,
        threads: 2,
        run: controls::calls_in_two_processes,
        operations: 40 * MILLION,
        quick: 4 * MILLION,
    },
    Loop {
        name: "slots-1t",
        about: "swap-1t without malloc and free",
        section: Section::Scaling,
        threads: 1,
        run: controls::hand_on_in_one_thread,
        operations: 24 * MILLION,
        quick: 3 * MILLION,
    },
    Loop {
        name: "slots-2t",
        about: "swap-2t without malloc and free",
        section: Section::Scaling,
        threads: 2,
        run: controls::hand_on_in_two_threads,
        operations: 24 * MILLION,
        quick: 3 * MILLION,
    },
];

/// Allocates before Rust's start-up code sets a signal handler: liblsan, preloaded, crashes on a
/// program that does it the other way round.
extern "C" fn allocate_first() {
    // SAFETY: malloc takes every size, and the block is freed once.
    unsafe { libc::free(std::hint::black_box(libc::malloc(1))) };
}

#[used]
// SAFETY: the linker's section of functions that libc calls without heeding what they return, and
// such a function.
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = allocate_first;

/// The loop of this name.
pub(crate) fn named(name: &str) -> Option<&'static Loop> {
    TABLE.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_allocates_and_frees_everything() {
        for entry in &TABLE {
            let stats = (entry.run)(5000);
            assert!(stats.allocated > 0, "{}", entry.name);
            assert_eq!(stats.allocated, stats.freed, "{}", entry.name);
        }
    }

    #[test]
    fn every_loop_does_about_as_many_operations_as_asked() {
        for entry in TABLE.iter().filter(|entry| entry.name != "realloc-growth") {
            let stats = (entry.run)(100_000);
            let done = stats.allocated + stats.freed;
            assert!((90_000..=130_000).contains(&done), "{}: {done}", entry.name);
        }
    }

    #[test]
    fn two_loops_that_scaling_compares_do_the_same_work() {
        for count in [|entry: &Loop| entry.operations, |entry: &Loop| entry.quick] {
            let operations = |name| named(name).map(count).unwrap();
            assert_eq!(operations("pairs-2t"), 2 * operations("mixed-1024"));
            assert_eq!(operations("swap-2t"), operations("swap-1t"));
            assert_eq!(operations("calls-2t"), 2 * operations("calls-1t"));
            assert_eq!(operations("own-calls-2t"), 2 * operations("calls-1t"));
            assert_eq!(operations("pairs-2p"), operations("pairs-2t"));
            assert_eq!(operations("calls-2p"), operations("calls-2t"));
            assert_eq!(operations("slots-1t"), operations("swap-1t"));
            assert_eq!(operations("slots-2t"), operations("swap-2t"));
        }
    }
}
