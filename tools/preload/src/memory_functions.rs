//! memcpy and the like for this library's own calls, which go straight to libc: neither
//! libmallocop_checked.so nor another library that interposes these functions gets them.
//!
//! The compiler emits calls of these names. The symbols defined here are hidden, so that only this
//! library uses them.

use core::arch::global_asm;
use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering};

use mallocop::sys::process;

/// The functions, in the order of the slots.
const NAMES: [&CStr; 6] = [c"memcpy", c"memmove", c"memset", c"memcmp", c"bcmp", c"strlen"];

unsafe extern "C" {
    static mallocop_memory_functions: [AtomicUsize; NAMES.len()];
}

/// Sets the slots, in the order of `NAMES`.
///
/// # Safety
/// They are libc's functions, or 0.
pub(crate) unsafe fn take(found: &[usize; NAMES.len()]) {
    for (slot, function) in slots().iter().zip(found) {
        slot.store(*function, Ordering::Release);
    }
}

/// Looks up the functions whose slots are 0.
pub(crate) fn find() {
    for (slot, name) in slots().iter().zip(NAMES) {
        if slot.load(Ordering::Acquire) == 0 {
            slot.store(process::find_next_symbol(name), Ordering::Release);
        }
    }
}

fn slots() -> &'static [AtomicUsize; NAMES.len()] {
    // SAFETY: the assembly below defines so many words; they are only accessed as atomics.
    unsafe { &mallocop_memory_functions }
}

// Each function jumps to libc's. If its slot is 0, before the library's constructor, it uses the
// processor's string instructions. The direction flag is clear at entry and at return, by the ABI.
global_asm!(
    ".pushsection .bss.mallocop_memory_functions,\"aw\",@nobits",
    ".balign 8",
    ".globl mallocop_memory_functions",
    ".hidden mallocop_memory_functions",
    ".type mallocop_memory_functions,@object",
    ".size mallocop_memory_functions, 48",
    "mallocop_memory_functions: .zero 48",
    ".popsection",
    ".macro mallocop_memory_function name, slot",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name,@function",
    ".p2align 4",
    "\\name:",
    ".cfi_startproc",
    "mov rax, [rip + mallocop_memory_functions + 8 * \\slot]",
    "test rax, rax",
    "jz 1f",
    "jmp rax",
    "1:",
    ".endm",
    ".macro mallocop_memory_function_end name",
    ".cfi_endproc",
    ".size \\name, . - \\name",
    ".endm",
    ".pushsection .text.mallocop_memory_functions,\"ax\",@progbits",
    // rdi: to, rsi: from, rdx: bytes.
    "mallocop_memory_function memcpy, 0",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    "mallocop_memory_function_end memcpy",
    "mallocop_memory_function memmove, 1",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov rdx, rdi",
    "sub rdx, rsi",
    "cmp rdx, rcx",
    "jb 2f",
    "rep movsb",
    "ret",
    // The destination starts inside the source: copy backwards.
    "2:",
    "lea rdi, [rdi + rcx - 1]",
    "lea rsi, [rsi + rcx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    "mallocop_memory_function_end memmove",
    // rdi: to, esi: byte, rdx: bytes.
    "mallocop_memory_function memset, 2",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    "mallocop_memory_function_end memset",
    // rdi: one, rsi: other, rdx: bytes.
    "mallocop_memory_function memcmp, 3",
    "jmp 3f",
    "mallocop_memory_function_end memcmp",
    "mallocop_memory_function bcmp, 4",
    "3:",
    "xor eax, eax",
    "mov rcx, rdx",
    // Sets the zero flag, which repe leaves alone if there are no bytes.
    "test eax, eax",
    "repe cmpsb",
    "je 4f",
    "movzx eax, byte ptr [rdi - 1]",
    "movzx ecx, byte ptr [rsi - 1]",
    "sub eax, ecx",
    "4:",
    "ret",
    "mallocop_memory_function_end bcmp",
    // rdi: text.
    "mallocop_memory_function strlen, 5",
    "mov rdx, rdi",
    "xor eax, eax",
    "mov rcx, -1",
    "repne scasb",
    "lea rax, [rdi - 1]",
    "sub rax, rdx",
    "ret",
    "mallocop_memory_function_end strlen",
    ".popsection",
);
