//! The ways by which a process leaves without its exit handlers: `_exit`, `quick_exit`, `exec`. The
//! heap is looked through there, too, for a limited time.

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::fault::deadly;
use super::{HEAP, config, report_sink, reporter};
use crate::options::{self, Name};
use crate::sys::fault_net::attempt;
use crate::sys::glibc::process_hooks;
use crate::sys::{alt_stack, disposition, single_threaded, thread, thread_number};
use crate::trace::{self, ProcessState};

/// Longest look of a forked child that ends without exit handlers: there may be thousands.
const OF_CHILD: Duration = Duration::from_millis(5);
/// Blocks of that look where there is one thread, which asks for no time.
const MOST_OF_CHILD: usize = 40_000;

/// Was the heap looked through already?
static IS_DONE: AtomicBool = AtomicBool::new(false);

/// In a forked child: its own look is to come.
pub(super) fn renew_after_fork() {
    // A page that is not written to need not be copied.
    if IS_DONE.load(Ordering::Relaxed) {
        IS_DONE.store(false, Ordering::Relaxed);
    }
}

/// Has the heap looked through at quick_exit(3), too, behind all handlers that are registered
/// later.
pub fn register() {
    process_hooks::at_quick_exit(at_quick_exit);
}

extern "C" fn at_quick_exit(_: *mut c_void) {
    leave(0);
}

/// The event behind the look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The end.
    End,
    /// Another program, if it can be had.
    Exec,
}

/// Looks through the heap, which is ready, once. Safe where exec is: in signal handlers it may do
/// nothing, in a child of vfork it does nothing.
pub fn look(next: Next) {
    if !thread::is_outside() || disposition::is_foreign() {
        return;
    }
    let limit = Duration::from_millis(options::number(Name::ExitCheckMs) as u64);
    if !HEAP.is_checked() || limit.is_zero() || IS_DONE.load(Ordering::Acquire) {
        return;
    }
    // A child writes as little as can be: each page that it writes to is copied first.
    if next == Next::Exec || !thread_number::is_forked() {
        IS_DONE.store(true, Ordering::Release);
    }
    if thread_number::is_forked() && single_threaded::is_single() {
        attempt(|| HEAP.check_written(MOST_OF_CHILD));
    } else {
        alt_stack::run(|| look_for(limit));
    }
    if next == Next::Exec {
        deadly::end_if_postponed();
    }
}

fn look_for(limit: Duration) {
    let limit = if thread_number::is_forked() { limit.min(OF_CHILD) } else { limit };
    HEAP.freeze();
    let is_whole = attempt(|| HEAP.check_until(Instant::now() + limit)).unwrap_or(false);
    HEAP.thaw();
    if !is_whole && !thread_number::is_forked() {
        report_sink::emit(
            "mallocop: the last look at the heap was cut short: not all blocks were checked \
             (exit_check_ms)\n",
        );
    }
}

/// Notes that the process leaves with that status; returns the status to leave with.
pub fn leave(status: i32) -> i32 {
    look(Next::End);
    trace::end_if_own(ProcessState::Left);
    // As at exit: under `mallocop run` the command's status tells.
    let is_told = trace::is_open() || disposition::is_foreign();
    if status == 0 && reporter::has_found() && config::is_root() && !is_told {
        return i32::try_from(options::number(Name::ExitCode)).unwrap_or(23);
    }
    status
}
