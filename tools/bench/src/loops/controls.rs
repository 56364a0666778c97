//! What the comparisons of one thread with two are held against: the machine's part and the loop's
//! own, in which no allocator has a share.

use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::process;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::block::Ledger;
use super::exchange::{self, SLOTS};
use super::{calls, cores, one_thread};
use crate::random::Random;

/// Places that a thread hands on in turn, as many as blocks may be on their way.
const PLACES: usize = 4096;
/// Bytes of each.
const PLACE: usize = 256;

/// mixed-1024 in each of two processes, half of the operations each: what the machine takes for two
/// at once.
pub(crate) fn mixed_in_two_processes(operations: u64) -> Ledger {
    in_two_processes(|| one_thread::mixed_1024(operations / 2))
}

/// calls-1t in each of two processes, half of the operations each.
pub(crate) fn calls_in_two_processes(operations: u64) -> Ledger {
    in_two_processes(|| calls::one_thread(operations / 2))
}

/// swap-2t with places of each thread's own handed on instead of blocks.
pub(crate) fn hand_on_in_two_threads(operations: u64) -> Ledger {
    let shared = shared();
    exchange::in_two_threads(
        || hand_on(&shared, [6].map(Random::new), operations / 2),
        || hand_on(&shared, [7].map(Random::new), operations / 2),
    )
}

/// The same by one thread, in turns.
pub(crate) fn hand_on_in_one_thread(operations: u64) -> Ledger {
    hand_on(&shared(), [6, 7].map(Random::new), operations)
}

fn shared() -> Vec<AtomicPtr<u8>> {
    (0..SLOTS).map(|_| AtomicPtr::default()).collect()
}

/// What swap-2t and swap-1t do, but for malloc and free.
fn hand_on<const ROLES: usize>(
    shared: &[AtomicPtr<u8>],
    mut roles: [Random; ROLES],
    operations: u64,
) -> Ledger {
    let mut stats = Ledger::default();
    let mut memory = vec![0u8; PLACES * PLACE];
    let places: Vec<_> = memory.chunks_exact_mut(PLACE).map(<[u8]>::as_mut_ptr).collect();
    let mut places = places.iter().copied().cycle();
    for _ in 0..operations / 2 / ROLES as u64 {
        for random in &mut roles {
            let size = exchange::small(random);
            let Some(place) = places.next() else { continue };
            // SAFETY: within this thread's own place, which nobody else reads or writes. Volatile,
            // as blocks are written.
            unsafe {
                place.write_volatile(1);
                place.add(size % PLACE).write_volatile(2);
            }
            stats.allocated += 1;
            black_box(shared[random.below(SLOTS)].swap(place, Ordering::AcqRel));
            stats.freed += 1;
        }
    }
    stats
}

/// Runs it in this process and in a forked one at once, each on a core of its own.
fn in_two_processes(work: impl Fn() -> Ledger) -> Ledger {
    match run_in_two_processes(work) {
        Ok(stats) => stats,
        Err(error) => {
            eprintln!("mallocop-bench: {error}");
            process::exit(1)
        }
    }
}

fn run_in_two_processes(work: impl Fn() -> Ledger) -> io::Result<Ledger> {
    let (mut reader, mut writer) = io::pipe()?;
    // SAFETY: the child works by itself, tells its counts and leaves; of this process's other
    // threads it needs nothing.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    cores::stay_on(usize::from(child == 0));
    let own = work();
    if child == 0 {
        let counts = [own.allocated, own.freed].map(u64::to_ne_bytes).concat();
        let code = i32::from(writer.write_all(&counts).is_err());
        // SAFETY: a call without pointers, which does not return.
        unsafe { libc::_exit(code) };
    }
    drop(writer);
    let (mut allocated, mut freed) = ([0; 8], [0; 8]);
    reader.read_exact(&mut allocated)?;
    reader.read_exact(&mut freed)?;
    // SAFETY: waits for the child; nobody wants its status.
    if unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } != child {
        return Err(io::Error::last_os_error());
    }
    let other =
        Ledger { allocated: u64::from_ne_bytes(allocated), freed: u64::from_ne_bytes(freed) };
    Ok(own.merge(&other))
}
