//! errno, kept for the program.

/// Runs `f` and puts errno back to what it was before.
pub fn preserve<T>(f: impl FnOnce() -> T) -> T {
    let before = get();
    let result = f();
    set(before);
    result
}

/// The calling thread's errno.
pub fn get() -> i32 {
    // SAFETY: __errno_location returns the address of the thread's errno, always valid.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's errno.
pub fn set(value: i32) {
    // SAFETY: __errno_location returns the address of the thread's errno, always valid.
    unsafe { *libc::__errno_location() = value };
}
