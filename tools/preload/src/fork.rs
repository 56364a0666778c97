//! fork: every lock of the malloc path is held over it, so that the child finds the heap whole.

use std::sync::atomic::{AtomicU8, Ordering};

use mallocop::sys::{process, thread};

use crate::{HEAP, reader, reporter};

/// Which locks the forking thread took, a bit each. Only one thread forks at a time: the first
/// lock is held meanwhile.
static HELD: AtomicU8 = AtomicU8::new(0);
/// Forks under way in that thread: a signal handler may fork in the middle of one.
static DEPTH: AtomicU8 = AtomicU8::new(0);

/// Registers the handlers.
pub(crate) fn register() {
    process::at_fork(prepare, parent, child);
}

extern "C" fn prepare() {
    let held = HEAP.hold_over_fork();
    let bits = held.iter().rev().fold(0, |bits, &one| (bits << 1) | u8::from(one));
    if DEPTH.fetch_add(1, Ordering::Relaxed) == 0 {
        HELD.store(bits, Ordering::Relaxed);
    }
}

fn release() {
    // Before the depth falls: a fork from a handler then has its own idea of what is held.
    let bits = HELD.load(Ordering::Relaxed);
    if DEPTH.fetch_sub(1, Ordering::Relaxed) != 1 {
        return;
    }
    let held = core::array::from_fn(|lock| bits & (1 << lock) != 0);
    // SAFETY: `prepare` took exactly these in this thread; in the child it is its only thread.
    unsafe { HEAP.release_after_fork(held) };
}

extern "C" fn parent() {
    release();
}

extern "C" fn child() {
    release();
    thread::renew_after_fork();
    HEAP.inherit_arenas();
    reader::forget_root();
    reporter::renew_after_fork();
}
