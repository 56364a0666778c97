//! The stack: calls on another one, and the part below the stack pointer.

use core::arch::{asm, naked_asm};

/// Calls `function` with `argument` on another stack. rbp holds on to the caller's, and unwind
/// information says so.
///
/// # Safety
/// `top` is the 16-aligned end of a stack that nobody uses; `function` takes `argument`.
#[unsafe(naked)]
pub unsafe extern "C" fn call_on(top: usize, argument: *mut u8, function: extern "C" fn(*mut u8)) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, rdi",
        "mov rdi, rsi",
        "call rdx",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// Clears so many bytes right below the caller's frame, in which nothing lives. It has no
/// frame of its own.
#[unsafe(naked)]
pub extern "C" fn wipe_below(bytes: usize) {
    naked_asm!(
        // The direction flag is clear, by the ABI; only registers that calls do not keep are used.
        "mov rcx, rdi",
        "shr rcx, 3",
        "lea rdi, [rcx * 8]",
        "neg rdi",
        "add rdi, rsp",
        "xor eax, eax",
        "rep stosq",
        "ret",
    )
}

/// The stack pointer.
#[inline(always)]
pub fn pointer_to_stack() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {sp}, rsp", sp = out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Sets `count` words from `start` on to 0, without a call.
///
/// # Safety
/// The words are mapped, and nothing lives in them.
#[inline(always)]
pub unsafe fn fill_words(start: usize, count: usize) {
    // SAFETY: writes these words and nothing else; the direction flag is clear, by the ABI.
    unsafe {
        asm!(
            "rep stosq",
            inout("rdi") start => _,
            inout("rcx") count => _,
            in("rax") 0,
            options(nostack, preserves_flags),
        );
    }
}
