//! Definitions of symbols in the program.

use core::ffi::{CStr, c_void};

use mallocop::sys::process;

/// The definition of `symbol` that the program uses; null if there is none.
pub(crate) fn look_up(symbol: &CStr) -> *mut c_void {
    process::find_symbol(symbol) as *mut c_void
}
