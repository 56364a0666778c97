//! Hooks that glibc calls at fork and at exit, by functions that only it has.

/// Registers what runs before fork in the parent and after it in parent and child, to the process's
/// very end: pthread_atfork(3) would tie it to this library, whose handlers libc takes away at
/// exit, while other threads may be in the middle of a fork.
pub fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
    unsafe extern "C" {
        // What pthread_atfork calls (glibc 2.3.2), with the module that it was called from.
        fn __register_atfork(
            prepare: Option<extern "C" fn()>,
            parent: Option<extern "C" fn()>,
            child: Option<extern "C" fn()>,
            module: *mut libc::c_void,
        ) -> libc::c_int;
    }
    // SAFETY: the three functions live as long as the process.
    unsafe { __register_atfork(Some(prepare), Some(parent), Some(child), core::ptr::null_mut()) };
}

/// Registers `entry` to run at quick_exit(3), after everything registered later.
pub fn at_quick_exit(entry: extern "C" fn(*mut libc::c_void)) {
    unsafe extern "C" {
        // The function behind at_quick_exit (glibc 2.10), with the module that it was called from.
        fn __cxa_at_quick_exit(
            entry: extern "C" fn(*mut libc::c_void),
            module: *mut libc::c_void,
        ) -> libc::c_int;
    }
    // SAFETY: the function lives as long as the process.
    unsafe { __cxa_at_quick_exit(entry, core::ptr::null_mut()) };
}

/// Registers `entry` to run at exit, with the status, after everything registered later (on_exit).
pub fn at_exit(entry: unsafe extern "C" fn(libc::c_int, *mut libc::c_void)) {
    unsafe extern "C" {
        fn on_exit(
            entry: unsafe extern "C" fn(libc::c_int, *mut libc::c_void),
            argument: *mut libc::c_void,
        ) -> libc::c_int;
    }
    // SAFETY: the function lives as long as the library.
    unsafe { on_exit(entry, core::ptr::null_mut()) };
}
