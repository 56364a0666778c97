//! Whether a hook or a plan attends to calls: each thread knows it, so that no thread takes the
//! short way.

use crate::leak::stop;
use crate::sys::stop_signal::ParkedThread;
use crate::sys::{alt_stack, thread};

/// Does somebody?
#[inline]
pub fn is_on() -> bool {
    thread::is_hooked()
}

/// Somebody does from here on, on all threads.
pub(super) fn begin() {
    thread::note_hooked();
    // SAFETY: the calling thread's own.
    unsafe { thread::hook(thread::pointer()) };
    alt_stack::run(|| {
        let stopped = stop::stop();
        for descriptor in stopped.parked().map(ParkedThread::descriptor) {
            // SAFETY: the thread stands still.
            unsafe { thread::hook(descriptor) };
        }
    });
}
