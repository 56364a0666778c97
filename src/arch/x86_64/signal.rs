//! The way into the kernel, and back from a signal's handler.

use core::arch::{asm, naked_asm};

/// Makes a system call with up to five arguments. Returns what the kernel does: from -4095 to -1 an
/// error, negated. errno stays.
///
/// # Safety
/// The call with these arguments does nothing to memory but what the caller allows.
#[inline]
pub unsafe fn system_call(number: i64, arguments: [usize; 5]) -> isize {
    let [first, second, third, fourth, fifth] = arguments;
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
            in("r8") fifth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// The return address of a signal handler: it calls rt_sigreturn(2), number 15.
#[unsafe(naked)]
pub extern "C" fn restore_from_signal() {
    naked_asm!("mov rax, 15", "syscall")
}
