//! Functions of libc's that ones of ours stand in front of.

use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering};

use mallocop::sys::process;

/// A function of libc's.
pub(crate) struct Real(&'static CStr, AtomicUsize);

impl Real {
    /// By its name; not looked up so far.
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self(name, AtomicUsize::new(0))
    }

    /// Its address, looked up if that has not been done; 0: libc has none. Calls dlsym(3) then.
    pub(crate) fn find(&self) -> usize {
        match self.1.load(Ordering::Acquire) {
            0 => {
                let found = process::find_next_symbol(self.0);
                self.1.store(found, Ordering::Release);
                found
            }
            known => known,
        }
    }
}
