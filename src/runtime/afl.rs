//! Under AFL++: thousands of short processes, forked from one that waits, whose standard error
//! nobody reads.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::options::{self, Name};
use crate::runtime::HEAP;
use crate::stack::symbolize;
use crate::sys::process;

static SKIPS_FINAL_CHECK: AtomicBool = AtomicBool::new(false);

/// What holds then, unless the options say otherwise. To be called before those are read.
pub(crate) fn prepare() {
    if process::environment(c"__AFL_SHM_ID").is_none() {
        return;
    }
    options::set_number(Name::Quiet, 1);
    HEAP.guard_by_contents();
    // Names take longer than AFL++ waits for an input.
    symbolize::forgo_names();
    // Nor is there time to look for leaks after each input, but where that is asked for: by the
    // program (__AFL_LEAK_CHECK in include/mallocop.h) or the user.
    let list = process::environment(c"MALLOCOP_OPTIONS").unwrap_or_default();
    let is_wanted = list.windows(13).any(|part| part == b"detect_leaks=");
    SKIPS_FINAL_CHECK.store(!is_wanted, Ordering::Relaxed);
}

/// Is there no leak check at exit?
pub(crate) fn skips_final_check() -> bool {
    SKIPS_FINAL_CHECK.load(Ordering::Relaxed)
}

/// AFL++ sees signals, and no exit status: ends the process by SIGABRT where it is there.
pub(crate) fn abort_if_here() {
    if process::environment(c"__AFL_SHM_ID").is_some() {
        process::abort();
    }
}
