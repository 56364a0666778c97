//! System calls without libc: some have no function there, and libc's `syscall` is interposed.

use crate::arch;

/// Makes a system call with up to four arguments. Returns what the kernel does: from -4095 to -1 an
/// error, negated. errno stays.
///
/// # Safety
/// The call with these arguments does nothing to memory but what the caller allows.
#[inline]
pub(super) unsafe fn call(number: libc::c_long, arguments: [usize; 4]) -> isize {
    let [first, second, third, fourth] = arguments;
    // SAFETY: the caller of this function promises the same.
    unsafe { arch::system_call(number, [first, second, third, fourth, 0]) }
}

/// The same with five arguments.
///
/// # Safety
/// As [`call`].
#[inline]
pub(super) unsafe fn call5(number: libc::c_long, arguments: [usize; 5]) -> isize {
    // SAFETY: the caller of this function promises the same.
    unsafe { arch::system_call(number, arguments) }
}
