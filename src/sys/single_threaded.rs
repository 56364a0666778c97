//! Does the process have one thread? Then what only another thread could disturb need not be
//! atomic.

use core::sync::atomic::{AtomicPtr, Ordering};

/// glibc's flag of the process: 1 until a second thread starts.
static SINGLE: AtomicPtr<u8> = AtomicPtr::new((&raw const NOT_SINGLE).cast_mut());
static NOT_SINGLE: u8 = 0;

/// Finds out where libc tells whether there are threads (`__libc_single_threaded`, since glibc
/// 2.32). Calls dlsym(3).
pub fn find() {
    let found = super::process::find_symbol(c"__libc_single_threaded");
    if found != 0 {
        SINGLE.store(found as *mut u8, Ordering::Release);
    }
}

/// Is the calling thread the only one there ever was? May say no where it is so.
#[inline]
pub fn is_single() -> bool {
    // SAFETY: ours, or libc's variable, which lives as long as libc; it is written before a second
    // thread starts.
    unsafe { SINGLE.load(Ordering::Relaxed).read_volatile() != 0 }
}
