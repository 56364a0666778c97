//! Definitions of symbols in the program and in a C++ runtime.

use core::ffi::{CStr, c_void};
use core::ptr;

use mallocop::sys::thread::ToolWork;

/// The definition of `symbol` behind ours: in what the program links, or else in a C++ runtime that
/// was loaded for one library alone.
pub(crate) fn look_behind(symbol: &CStr) -> *mut c_void {
    // SAFETY: dlsym(3) with a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, symbol.as_ptr()) };
    if found.is_null() { look_in_runtime(symbol) } else { found }
}

/// The definition of `symbol` in a C++ runtime that is loaded, in whatever scope.
fn look_in_runtime(symbol: &CStr) -> *mut c_void {
    let _work = ToolWork::begin();
    [c"libstdc++.so.6", c"libc++abi.so.1"]
        .into_iter()
        .map(|library| {
            // SAFETY: dlopen(3) and dlsym(3) with C strings; RTLD_NOLOAD loads nothing.
            unsafe {
                let flags = libc::RTLD_NOLOAD | libc::RTLD_LAZY;
                let handle = libc::dlopen(library.as_ptr(), flags);
                if handle.is_null() {
                    ptr::null_mut()
                } else {
                    libc::dlsym(handle, symbol.as_ptr())
                }
            }
        })
        .find(|found| !found.is_null())
        .unwrap_or(ptr::null_mut())
}

/// The definition of `symbol` that the program uses.
pub(crate) fn look_up(symbol: &CStr) -> *mut c_void {
    // SAFETY: dlsym(3) with a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, symbol.as_ptr()) };
    if found.is_null() { look_in_runtime(symbol) } else { found }
}
