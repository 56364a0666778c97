//! fork: every lock of the malloc path is held over it, so that the child finds the heap whole.

use crate::record;
use crate::stack::capture;
use crate::sys::{output, process, thread};

use super::attendance::refusal;
use super::{HEAP, death, ending, reader, reporter, scope};

/// Registers the handlers.
pub(super) fn register() {
    process::at_fork(prepare, parent, child);
}

extern "C" fn prepare() {
    thread::begin_fork();
    let held = HEAP.hold_over_fork();
    thread::set_held(held.iter().rev().fold(0, |bits, &one| (bits << 1) | u8::from(one)));
}

fn release() {
    let bits = thread::held();
    let held = core::array::from_fn(|lock| bits & (1 << lock) != 0);
    // SAFETY: `prepare` took exactly these in this thread; in the child it is its only thread.
    unsafe { HEAP.release_after_fork(held) };
    thread::end_fork();
}

extern "C" fn parent() {
    release();
}

extern "C" fn child() {
    release();
    capture::renew_after_fork();
    thread::renew_after_fork();
    record::renew_after_fork();
    HEAP.inherit_arenas();
    HEAP.thaw_after_fork();
    reader::forget_root();
    output::drop_copy();
    reporter::renew_after_fork();
    ending::renew_after_fork();
    refusal::renew_after_fork();
    death::renew_after_fork();
    scope::renew_after_fork();
}
