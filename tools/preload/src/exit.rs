//! The one exit entry: runs after all destructors and exit handlers, with the status.

use core::ffi::{c_int, c_void};

use mallocop::finding::Operation;
use mallocop::options::{self, Name};
use mallocop::report::{self, record, summary};
use mallocop::sys::{apart, thread};

use crate::{HEAP, reader, reporter};

/// The sweep, and in the root process the summary.
fn look_at_everything() {
    HEAP.freeze();
    HEAP.check_all(Operation::Exit);
    let (ledger, _) = HEAP.totals();
    let wanted = options::flag(Name::PrintSummary) && !options::flag(Name::Quiet);
    if reader::is_root() && wanted {
        let sites = HEAP.in_use_by_site();
        let text =
            reporter::with_symbolizer(|symbolizer| summary::write(&sites, &ledger, symbolizer));
        if let Some(text) = text {
            report::emit(&text);
        }
    }
    record::leave(ledger.allocations, reader::is_root());
    #[cfg(feature = "oracle")]
    mallocop::sys::output::write_stderr(mallocop::stack::oracle::summary().as_bytes());
}

pub(crate) extern "C" fn on_exit(status: c_int, _argument: *mut c_void) {
    if thread::is_critical() {
        // exit from a signal handler that interrupted one of our locks: looking would wait for it.
        record::leave(0, false);
    } else {
        apart::run(look_at_everything);
    }
    // Under `mallocop run` only the command's own status tells: the parent must see the truth.
    if status == 0 && reporter::has_found() && !record::is_open() {
        let code = c_int::try_from(options::number(Name::ExitCode)).unwrap_or(23);
        if code != 0 {
            // SAFETY: exit(3) from an on_exit entry goes on with the remaining ones and flushes
            // stdio; this entry is not called again.
            unsafe { libc::exit(code) };
        }
    }
}
