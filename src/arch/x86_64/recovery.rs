//! Calls that a fault can be thrown out of: the way back is noted before, and a signal's handler
//! lets the thread go on there.

use core::arch::naked_asm;

/// Where a call is left by a fault: its stack pointer, with the registers that calls preserve on
/// the stack above it.
#[derive(Debug, Default)]
#[repr(C)]
pub struct WayBack {
    /// The stack pointer.
    pub sp: usize,
}

/// Calls `function` with `argument`. Returns 0 where that returns; another value where a handler
/// has let the thread go on at [`landing`] with the stack pointer that is noted in `way`.
///
/// # Safety
/// `function` takes `argument`.
#[unsafe(naked)]
pub unsafe extern "C" fn call_with_way_back(
    argument: *mut u8,
    function: extern "C" fn(*mut u8),
    way: &mut WayBack,
) -> usize {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdx], rsp",
        "sub rsp, 8",
        "call rsi",
        "add rsp, 8",
        "xor eax, eax",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

/// Where a thread goes on that leaves such a call.
#[unsafe(naked)]
pub extern "C" fn landing() {
    naked_asm!("cld", "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx", "ret",)
}
