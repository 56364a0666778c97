//! System calls without libc: some have no function there, and `syscall` may be somebody's own.

use core::arch::asm;

/// Makes a system call with up to four arguments. Returns what the kernel does: from -4095 to -1 an
/// error, negated. errno stays.
///
/// # Safety
/// The call with these arguments does nothing to memory but what the caller allows.
#[inline]
pub(super) unsafe fn call(number: libc::c_long, arguments: [usize; 4]) -> isize {
    let [first, second, third, fourth] = arguments;
    let result;
    // SAFETY: the kernel's convention (System V ABI, AMD64 supplement, A.2.1); memory as the caller
    // says.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
