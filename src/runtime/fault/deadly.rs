//! Signals that end a program which has no handler for them, as SIGTERM: the heap is looked through
//! and leaks are looked for, then the same signal ends it.

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use super::super::exit;
use crate::arch::FaultContext;
use crate::options::{self, Name};
use crate::stack::unwind::entry_point::Point;
use crate::sys::caught_signal::{CaughtSignal, OTHER_ENDS, REQUESTS};
use crate::sys::thread_number;
use crate::sys::{alt_stack, death, disposition, process, seccomp, thread};
use crate::trace;

/// Longest time for the leak check.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where a signal comes in the middle of our own work it is sent again after this time, so often at
/// most.
const PAUSE: Duration = Duration::from_millis(1);
const MOST_PAUSES: u32 = 300;

/// How often a signal was postponed so far.
static PAUSES: AtomicU32 = AtomicU32::new(0);
/// A signal that waits until our own work is done; 0: none does.
static POSTPONED: AtomicI32 = AtomicI32::new(0);

/// Takes the signals over that the option names.
pub(super) fn watch() {
    const AUTO: usize = 0;
    const ALL: usize = 2;
    // The first process of a namespace is not ended by them.
    if process::id() == 1 {
        return;
    }
    let wanted = options::number(Name::LeakCheckOnSignal);
    if wanted == ALL || wanted == AUTO && trace::is_open() {
        REQUESTS.into_iter().for_each(|signal| disposition::watch(signal, on_signal));
    }
    if wanted == ALL {
        OTHER_ENDS.into_iter().for_each(|signal| disposition::watch(signal, on_signal));
    }
}

/// Leaves them to the kernel for good.
pub(super) fn leave() {
    REQUESTS.into_iter().chain(OTHER_ENDS).for_each(disposition::leave);
}

fn on_signal(caught: &CaughtSignal<'_>, context: &mut FaultContext) {
    let is_ours =
        !disposition::is_foreign() && !thread_number::is_forked() && !seccomp::is_installed();
    if is_ours {
        let is_free = thread::is_outside() || PAUSES.fetch_add(1, Ordering::Relaxed) > MOST_PAUSES;
        POSTPONED.store(if is_free { 0 } else { caught.number() }, Ordering::Release);
        if !is_free && death::send_later(PAUSE, caught.number()) {
            return;
        }
        // The next one ends the program at once, in the middle of the look, too.
        REQUESTS.into_iter().chain(OTHER_ENDS).for_each(disposition::stop_watching);
        death::let_in(REQUESTS.into_iter().chain(OTHER_ENDS));
        if thread::is_outside() {
            let timer = death::Timer::set(PATIENCE, caught.number());
            let point = Point { sp: context.sp(), registers: context.words().collect() };
            alt_stack::run_in_handler(|| exit::look_before_death(&point));
            drop(timer);
        }
    }
    death::send_again(caught);
}

/// In front of exec, which takes the timer away by which a signal comes again: it comes now.
pub fn end_if_postponed() {
    match POSTPONED.load(Ordering::Acquire) {
        0 => {}
        signal => death::end_now(signal),
    }
}

/// The calling thread, to which the signal would come, ends: another one gets it.
pub fn pass_postponed_on() {
    match POSTPONED.load(Ordering::Acquire) {
        0 => {}
        signal => death::send_to_process(signal),
    }
}
