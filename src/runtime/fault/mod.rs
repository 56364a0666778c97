//! Deadly signals: a process that is about to die says why, and dies as it would have without us.
//!
//! The handler stands where a signal has its default effect, nowhere else: a program's own comes
//! first, and if it then gives the signal its default back, ours is there again. What is known is
//! told, the heap is looked through, and the signal comes again, with its default effect, where the
//! thread was. So status, signal and core dump are the program's.

pub mod deadly;
mod explain;
mod guarded;
mod others;

use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{abort, exit, report_sink, reporter};
use crate::arch::FaultContext;
use crate::model::fault::FaultReport;
use crate::options::{self, Name};
use crate::own;
use crate::stack::unwind::entry_point::Point;
use crate::sys::caught_signal::{self, CaughtSignal};
use crate::sys::glibc::thread_descriptor::current_tid;
use crate::sys::{
    alt_stack, death, disposition, fault_net, handler_entry, process, seccomp, thread,
    thread_number,
};

/// The signals, and the option that each goes by.
const SIGNALS: [(c_int, Name); 7] = [
    (caught_signal::SEGMENT, Name::HandleSegv),
    (caught_signal::BUS, Name::HandleSigbus),
    (caught_signal::ARITHMETIC, Name::HandleSigfpe),
    (caught_signal::ILLEGAL, Name::HandleSigill),
    (caught_signal::ABORT, Name::HandleAbort),
    (caught_signal::TRAP, Name::HandleSigtrap),
    (caught_signal::SYSTEM_CALL, Name::HandleSigsys),
];

/// Longest time for all that is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kernel id of the thread that tells; 0: none does.
static TELLER: AtomicU32 = AtomicU32::new(0);

/// Takes the signals over.
pub fn watch() {
    // The first process of a namespace is not ended by signals that are sent.
    let is_first = process::id() == 1;
    for (signal, option) in SIGNALS {
        let is_sent = matches!(signal, caught_signal::ABORT | caught_signal::TRAP);
        if options::flag(option) && !(is_first && is_sent) {
            disposition::watch(signal, on_fault);
        }
    }
    guarded::watch(false);
    deadly::watch();
}

/// Takes nothing but accesses that guard pages have caught: in a program whose calls for signal
/// handlers do not come to us.
pub fn watch_guards() {
    guarded::watch(true);
}

/// A seccomp filter is about to be installed: signals that are sent, not raised by an instruction,
/// end the program by calls that it may refuse to us.
pub fn keep_to_faults() {
    [caught_signal::ABORT, caught_signal::TRAP].into_iter().for_each(disposition::leave);
    deadly::leave();
    handler_entry::give_back_resets();
}

/// In a forked child: nobody tells anything.
pub(super) fn renew_after_fork() {
    // A page that is not written to need not be copied.
    guarded::renew_after_fork();
    if TELLER.load(Ordering::Relaxed) != 0 {
        TELLER.store(0, Ordering::Relaxed);
    }
}

fn on_fault(caught: &CaughtSignal<'_>, context: &mut FaultContext) {
    if caught.is_memory_fault() && fault_net::leave_look(context) {
        return;
    }
    if guarded::take(caught, context) {
        return;
    }
    if caught.is_timers() && TELLER.load(Ordering::Acquire) == current_tid() {
        death::end_now(caught.number());
    }
    if !disposition::is_foreign() && !abort::is_under_way() {
        tell_once(caught, context);
    }
    death::die_of(caught, context);
}

/// Tells, if no other thread does. Where one does, waits for the process's end.
fn tell_once(caught: &CaughtSignal<'_>, context: &FaultContext) {
    let me = current_tid();
    match TELLER.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire) {
        // A fault of the telling itself.
        Err(teller) if teller == me => {}
        Err(_) => death::await_end(PATIENCE),
        Ok(_) => {
            let timer = death::Timer::set(PATIENCE, caught.number());
            death::let_in([caught.number()].into_iter());
            alt_stack::run_in_handler(|| tell(caught, context));
            drop(timer);
        }
    }
}

fn tell(caught: &CaughtSignal<'_>, context: &FaultContext) {
    let is_busy = thread::is_critical();
    let mut report = explain::begin(caught, context);
    if is_busy {
        // It was in the middle of our own work: its locks are not to be waited for.
        report_sink::record_fault_in_place(&report);
        return;
    }
    explain::complete(&mut report, caught, context);
    if !seccomp::is_installed() {
        others::note_others(&mut report);
    }
    name_threads(&mut report);
    if report.is_heap_error() {
        reporter::note_error();
    }
    reporter::on_fault(&report);
    if !seccomp::is_installed() {
        own::heap::leave_out_of_core_dump();
    }
    exit::look_before_death(&Point { sp: context.sp(), registers: context.words().collect() });
}

/// Adds the names of the threads that it speaks of.
fn name_threads(report: &mut FaultReport) {
    report.thread_name = match report.thread {
        Some(number) => reporter::thread_name(number),
        None => thread_number::name_of(current_tid()),
    }
    .unwrap_or_default();
    let blocks = report.address.iter().chain(report.registers.iter().map(|(_, value)| value));
    let mut numbers: Vec<u16> = blocks
        .filter_map(|value| value.block)
        .flat_map(|block| [block.thread, block.free_thread])
        .flatten()
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let name = |number| Some((number, reporter::thread_name(number)?));
    report.threads = numbers.into_iter().filter_map(name).collect();
}
