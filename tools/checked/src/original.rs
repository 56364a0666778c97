//! libc's functions, which those of the same name here stand in front of.

use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

use mallocop::arch::thread_pointer;
use mallocop::sys::process;

/// A function of libc's.
pub(crate) struct Original(&'static CStr, AtomicUsize);

/// Holds its own address once the loader has relocated this library.
static RELOCATED: Pointer = Pointer(&raw const RELOCATED);

struct Pointer(*const Pointer);

// SAFETY: the loader alone writes to it, before there is a second thread.
unsafe impl Sync for Pointer {}

/// The thread that is looking a symbol up, by its thread pointer.
static SEEKER: AtomicUsize = AtomicUsize::new(0);

impl Original {
    /// By its name; not looked up so far.
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self(name, AtomicUsize::new(0))
    }

    /// Its address, looked up if that has not been done; 0: libc has none, or nothing can be looked
    /// up: the loader has not relocated this library, or the lookup itself has called.
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

/// The definition of a symbol that the program uses.
pub(crate) fn look_up(symbol: &CStr) -> *mut c_void {
    process::find_symbol(symbol) as *mut c_void
}

/// Statics of libc's functions, by their symbols, and their types.
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

            /// Looks all of them up: a signal handler or a forked child may be the first to call.
            pub(crate) fn find() {
                for original in [$(&$symbol),*] {
                    original.find();
                }
            }
        }

        /// libc's functions as such. `None`: there is none, or it cannot be looked up.
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
