//! How an error ends the process, and who is told before.

use core::ffi::{c_int, c_void};
use core::mem;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::sys::fault_net::attempt;
use crate::sys::glibc::stream_buffer;
use crate::sys::{process, thread_number};

static DEATH_CALLBACK: AtomicUsize = AtomicUsize::new(0);
static IS_CRASHING: AtomicBool = AtomicBool::new(false);

/// Sets the function that is called before an error ends the process.
pub extern "C" fn set_death_callback(callback: *const c_void) {
    DEATH_CALLBACK.store(callback as usize, Ordering::Release);
}

/// Who reports a crash? 1: the caller, who is the first to ask; 0: somebody else.
pub extern "C" fn acquire_crash_state() -> c_int {
    c_int::from(!IS_CRASHING.swap(true, Ordering::AcqRel))
}

/// Is the process about to end for an error that was reported?
pub(super) fn is_under_way() -> bool {
    IS_CRASHING.load(Ordering::Acquire)
}

/// Ends the process for an error that was reported: whoever wants to is told before.
///
/// Text that the program has printed and libc has not written so far is written; a forked child's
/// may be its parent's.
pub fn die() -> ! {
    if !thread_number::is_forked() {
        attempt(stream_buffer::write_out);
    }
    let callback = DEATH_CALLBACK.load(Ordering::Acquire);
    if acquire_crash_state() != 0 && callback != 0 {
        // SAFETY: whoever set it says that it is a function without arguments.
        unsafe { mem::transmute::<usize, extern "C" fn()>(callback)() };
    }
    process::abort()
}

/// In a forked child: it has not crashed.
pub(super) fn renew_after_fork() {
    IS_CRASHING.store(false, Ordering::Relaxed);
}
