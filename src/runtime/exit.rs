//! The one exit entry: runs after all destructors and exit handlers, with the status.

use crate::sys::thread_number;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::arch::Registers;
use crate::checks::deferred_free;
use crate::leak::Check;
use crate::model::finding::Operation;
use crate::model::leak_report::LeakCheckObstacle;
use crate::model::leak_report::{LeakReport, LeakSummary, Reachable};
use crate::model::site::HeapStats;
use crate::model::site::ProcessSite;
use crate::model::site::SiteTotals;
use crate::options::{self, Name};
use crate::runtime::report_sink;
use crate::stack::capture;
use crate::stack::depot;
use crate::stack::unwind::entry_point::Point;
use crate::sys::fault_net::attempt;
use crate::sys::{alt_stack, fault_net, process, thread};
use crate::text::style::Renderer;
use crate::trace;
use crate::trace::ProcessState;

use super::{HEAP, reporter};
use crate::runtime::hooked::fault_injection;
use crate::runtime::{afl, lsan_user_hooks};
use crate::runtime::{config, leak_rules};
use crate::with_registers;

/// Was the program's one leak check made before its end?
static LEAKS_CHECKED: AtomicBool = AtomicBool::new(false);

/// Has the exit entry been reached?
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Looks for leaks, and reports them. `speaks`: also where there are none. Are there?
pub fn look_for_leaks(caller: &Point, speaks: bool) -> bool {
    let check = match Check::make(&HEAP, caller) {
        Ok(check) => check,
        Err(obstacle) => return tell_what_is_in_use(Some(obstacle), speaks),
    };
    let any_lost = check.has_lost();
    if any_lost && lsan_user_hooks::is_turned_off() {
        return tell_what_is_in_use(Some(LeakCheckObstacle::TurnedOff), speaks);
    }
    let mut rules = leak_rules::read(any_lost);
    let (verdict, notes) = if rules.is_empty() {
        (check.verdict(), String::new())
    } else {
        let judge = |with: &mut Renderer<'_, ProcessSite>| {
            leak_rules::verdict(&check, &mut rules, speaks, with)
        };
        match reporter::with_renderer(judge) {
            Some(found) => found,
            None => return false,
        }
    };
    let unread_pages = check.unread_pages as u64;
    let (missed, is_blind) = (check.missed, check.is_blind);
    let sum = LeakSummary {
        is_checked: true,
        missed,
        is_blind,
        unread_pages,
        suppressed: verdict.suppressed,
        notes,
        ..sum(speaks)
    };
    let report =
        LeakReport { leaks: verdict.leaks, reachable: with_counts(verdict.reachable), sum };
    if report.is_error() {
        reporter::note_error();
    }
    tell(&report);
    report.is_error()
}

/// The same without a verdict: what is in use. Nothing is known to be lost.
fn tell_what_is_in_use(obstacle: Option<LeakCheckObstacle>, speaks: bool) -> bool {
    let sum = LeakSummary { obstacle, ..sum(speaks) };
    let reachable = with_counts(attempt(|| HEAP.in_use_by_site()).unwrap_or_default());
    tell(&LeakReport { leaks: Vec::new(), reachable, sum });
    false
}

fn sum(speaks: bool) -> LeakSummary {
    LeakSummary {
        pid: process::id(),
        is_final: IS_ENDING.load(Ordering::Relaxed),
        speaks,
        has_own_malloc: config::has_own_malloc(),
        stats: HEAP.totals().0,
        lost_frees: deferred_free::lost() as u64,
        folded: depot::folded() as u64,
        lost_looks: u64::from(fault_net::lost()),
        unguarded: if options::number(Name::Guard) == options::GUARD_ALL {
            HEAP.unguarded()
        } else {
            0
        },
        guard_obstacle: HEAP.guard_obstacle(),
        ..LeakSummary::default()
    }
}

/// What a forked child has inherited is its parent's to tell.
fn with_counts(sites: Vec<(ProcessSite, SiteTotals)>) -> Vec<Reachable> {
    if thread_number::is_forked() {
        return Vec::new();
    }
    let add = |(site, totals)| Reachable { site, totals, counts: capture::counts_of(site) };
    sites.into_iter().map(add).collect()
}

fn tell(report: &LeakReport) {
    if !report_sink::record_leak_report(report) {
        reporter::with_renderer(|with| report_sink::emit_leak_report(report, with));
    }
}

/// The one check of the whole process is made now, not at its end.
pub fn take_final_check() -> bool {
    !LEAKS_CHECKED.swap(true, Ordering::Relaxed)
}

/// In a forked child: its own check is to come.
pub fn renew_after_fork() {
    LEAKS_CHECKED.store(false, Ordering::Relaxed);
}

/// The sweep, the leak check, and in the root process the summary. `point` is where the calling
/// thread's stack begins to be the program's, `limit` the longest time for the sweep.
fn look_at_everything(point: impl FnOnce() -> Point, limit: Option<Duration>) {
    IS_ENDING.store(true, Ordering::Relaxed);
    fault_injection::end();
    HEAP.freeze();
    match limit {
        Some(limit) => drop(HEAP.check_until(Instant::now() + limit)),
        None => drop(HEAP.check_all(Operation::Exit)),
    }
    let speaks =
        config::is_root() && options::flag(Name::PrintSummary) && !options::flag(Name::Quiet);
    if options::flag(Name::DetectLeaks) && !afl::skips_final_check() && take_final_check() {
        look_for_leaks(&point(), speaks);
    } else if speaks || trace::is_open() {
        tell_what_is_in_use(None, speaks);
    }
    #[cfg(feature = "oracle")]
    crate::sys::output::write_stderr(crate::stack::oracle::summary().as_bytes());
}

fn note_totals() {
    let HeapStats { allocations, frees, allocated, peak, .. } = HEAP.totals().0;
    trace::note_totals(allocations, frees, allocated, peak);
}

/// Looks at everything in a process that a signal is about to end; `point` is where the signal came
/// in. Nothing in the process is certain to be whole.
pub(super) fn look_before_death(point: &Point) {
    if thread_number::is_forked() || IS_ENDING.load(Ordering::Relaxed) {
        return;
    }
    attempt(|| {
        let limit = Duration::from_millis(options::number(Name::ExitCheckMs) as u64);
        look_at_everything(|| point.clone(), Some(limit));
        note_totals();
    });
}

with_registers! {
    /// What libc calls at exit.
    at_exit(2) => at_exit_from(status: c_int, argument: *mut c_void);
}

extern "C" fn at_exit_from(status: c_int, _argument: *mut c_void, registers: &Registers) {
    if thread::is_critical() {
        // exit from a signal handler that interrupted one of our locks: looking would wait for it.
        trace::end(ProcessState::Left, status as u32);
    } else {
        alt_stack::run(|| {
            HEAP.settle();
            // In a program without a loader libc's frames are not told from its own.
            let point = || match cfg!(target_feature = "crt-static") {
                true => registers.point(),
                false => registers.point_of_module_call(),
            };
            // Where a look is ended by a fault, what is in use is told without one.
            if attempt(|| look_at_everything(point, None)).is_none() {
                attempt(|| tell_what_is_in_use(Some(LeakCheckObstacle::Fault), true));
            }
        });
        note_totals();
        trace::end(ProcessState::Exited, status as u32);
    }
    if status == 0 && reporter::has_found() {
        afl::abort_if_here();
    }
    // A parent must see the truth: under `mallocop run` only the command's own status tells,
    // without it only the first process's.
    if status == 0 && reporter::has_found() && config::is_root() && !trace::is_open() {
        end_with_exit_code();
    }
}

/// Ends the program with the status for findings, if there is one.
pub fn end_with_exit_code() {
    // What was found is told: the process is not one that was killed.
    trace::end(ProcessState::Exited, options::number(Name::ExitCode) as u32);
    afl::abort_if_here();
    let code = c_int::try_from(options::number(Name::ExitCode)).unwrap_or(23);
    if code != 0 {
        process::exit(code);
    }
}
