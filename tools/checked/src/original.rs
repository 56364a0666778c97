//! libc's functions with the names that this library defines.

use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering};

use mallocop::arch::thread_pointer;
use mallocop::sys::process;

/// A function of libc's.
pub(crate) struct Original(&'static CStr, AtomicUsize);

/// Contains its own address after the loader has relocated this library.
static RELOCATED: Pointer = Pointer(&raw const RELOCATED);

struct Pointer(*const Pointer);

// SAFETY: the loader alone writes to it, before there is a second thread.
unsafe impl Sync for Pointer {}

/// Thread pointer of the thread that is looking up a symbol.
static SEEKER: AtomicUsize = AtomicUsize::new(0);

impl Original {
    /// A function that has not been looked up.
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self(name, AtomicUsize::new(0))
    }

    /// Its address, looked up at the first call. 0 if libc has no such function, if this library is
    /// not relocated yet, or if the lookup itself calls the function.
    #[inline(always)]
    pub(crate) fn find(&self) -> usize {
        match self.1.load(Ordering::Relaxed) {
            0 => self.look_up(),
            known => known,
        }
    }

    #[cold]
    #[inline(never)]
    fn look_up(&self) -> usize {
        // SAFETY: this library's own static.
        if unsafe { (&raw const RELOCATED.0).read_volatile() }.is_null() {
            return 0;
        }
        let me = thread_pointer();
        if SEEKER.load(Ordering::Relaxed) == me {
            return 0;
        }
        let before = SEEKER.swap(me, Ordering::Relaxed);
        let found = process::find_next_symbol(self.0);
        SEEKER.store(before, Ordering::Relaxed);
        self.1.store(found, Ordering::Relaxed);
        found
    }
}

/// Declares libc's functions.
macro_rules! originals {
    ($($symbol:ident: ($($argument:ty),*) -> $result:ty;)*) => {
        /// libc's functions.
        #[allow(non_upper_case_globals, reason = "named as libc's functions")]
        pub(super) mod originals {
            use crate::original::Original;

            $(pub(crate) static $symbol: Original = Original::new(
                match core::ffi::CStr::from_bytes_with_nul(
                    concat!(stringify!($symbol), "\0").as_bytes(),
                ) {
                    Ok(name) => name,
                    Err(_) => c"",
                },
            );)*

            /// Looks up all of them, so that no signal handler or forked child has to.
            pub(crate) fn find() {
                for original in [$(&$symbol),*] {
                    original.find();
                }
            }
        }

        /// libc's functions with their types; `None` where [`Original::find`] is 0.
        #[allow(unused, reason = "not all are called by name")]
        mod real {
            use super::*;

            $(
                #[inline(always)]
                pub(super) fn $symbol()
                -> Option<unsafe extern "C-unwind" fn($($argument),*) -> $result> {
                    let found = super::originals::$symbol.find();
                    // SAFETY: 0, or the address of libc's function of that name and type.
                    unsafe { core::mem::transmute::<usize, Option<_>>(found) }
                }
            )*
        }
    };
}
pub(crate) use originals;
