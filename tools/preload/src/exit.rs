//! The one exit entry: runs after all destructors and exit handlers, with the status.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};

use mallocop::finding::Operation;
use mallocop::leak::Check;
use mallocop::leak::check::Obstacle;
use mallocop::options::{self, Name};
use mallocop::report::{self, leaks, record, summary};
use mallocop::stack::caller::{Point, Registers};
use mallocop::sys::{apart, thread};

use crate::entry::with_registers;
use crate::{HEAP, hooks, reader, reporter, rules_for_leaks};

/// Was the program's one leak check made before its end?
static LEAKS_CHECKED: AtomicBool = AtomicBool::new(false);

/// Looks for leaks, and reports them. `speaks`: also where there are none. Are there?
pub(crate) fn look_for_leaks(caller: &Point, speaks: bool) -> bool {
    let (ledger, _) = HEAP.totals();
    let check = match Check::make(&HEAP, caller) {
        Ok(check) => check,
        Err(obstacle) => {
            if speaks {
                count_what_is_in_use(Some(obstacle));
            }
            return false;
        }
    };
    let any_lost = check.has_lost();
    if any_lost && hooks::is_turned_off() {
        if speaks {
            count_what_is_in_use(Some(Obstacle::TurnedOff));
        }
        return false;
    }
    let mut rules = rules_for_leaks::read(any_lost);
    let report = reporter::with_symbolizer(|symbolizer| {
        leaks::write(&check, &mut rules, &ledger, speaks, symbolizer)
    });
    let Some(report) = report else { return false };
    if report.is_error {
        reporter::note_error();
    }
    if !report.text.is_empty() {
        report::emit(&report.text);
    }
    report.is_error
}

/// The summary without a verdict.
fn count_what_is_in_use(obstacle: Option<Obstacle>) {
    let (ledger, _) = HEAP.totals();
    let sites = HEAP.in_use_by_site();
    let text = reporter::with_symbolizer(|symbolizer| summary::write(&sites, &ledger, symbolizer));
    let why = obstacle.map(leaks::write_obstacle).unwrap_or_default();
    if let Some(text) = text {
        report::emit(&(why + &text));
    }
}

/// The one check of the whole process is made now, not at its end.
pub(crate) fn take_final_check() -> bool {
    !LEAKS_CHECKED.swap(true, Ordering::Relaxed)
}

/// In a forked child: its own check is to come.
pub(crate) fn renew_after_fork() {
    LEAKS_CHECKED.store(false, Ordering::Relaxed);
}

/// The sweep, the leak check, and in the root process the summary.
fn look_at_everything(registers: &Registers) {
    HEAP.settle();
    HEAP.freeze();
    HEAP.check_all(Operation::Exit);
    let speaks =
        reader::is_root() && options::flag(Name::PrintSummary) && !options::flag(Name::Quiet);
    if options::flag(Name::DetectLeaks) && take_final_check() {
        look_for_leaks(&registers.point_of_module_call(), speaks);
    } else if speaks {
        count_what_is_in_use(None);
    }
    record::leave(HEAP.totals().0.allocations, reader::is_root());
    #[cfg(feature = "oracle")]
    mallocop::sys::output::write_stderr(mallocop::stack::oracle::summary().as_bytes());
}

with_registers! {
    /// What libc calls at exit.
    at_exit(2) => at_exit_from(status: c_int, argument: *mut c_void);
}

extern "C" fn at_exit_from(status: c_int, _argument: *mut c_void, registers: &Registers) {
    if thread::is_critical() {
        // exit from a signal handler that interrupted one of our locks: looking would wait for it.
        record::leave(0, false);
    } else {
        apart::run(|| look_at_everything(registers));
    }
    // A parent must see the truth: under `mallocop run` only the command's own status tells, without it only the
    // first process's.
    if status == 0 && reporter::has_found() && reader::is_root() && !record::is_open() {
        end_with_exit_code();
    }
}

/// Ends the program with the status for findings, if there is one.
pub(crate) fn end_with_exit_code() {
    let code = c_int::try_from(options::number(Name::ExitCode)).unwrap_or(23);
    if code != 0 {
        // SAFETY: exit(3), which from an on_exit entry goes on with the remaining ones and flushes stdio; that
        // entry is not called again.
        unsafe { libc::exit(code) };
    }
}
