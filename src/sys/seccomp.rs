//! Has the program installed a filter for system calls (seccomp) since it started? From then on
//! none is made that malloc has not made before: the filter may end the program for it. A filter
//! that was there at the start, as a container's, has let the program start and is no matter.

use core::sync::atomic::{AtomicBool, Ordering};

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Notes that a filter is about to be installed.
pub fn note() {
    INSTALLED.store(true, Ordering::Release);
}

/// Has that been noted?
#[inline]
pub fn is_installed() -> bool {
    INSTALLED.load(Ordering::Acquire)
}
