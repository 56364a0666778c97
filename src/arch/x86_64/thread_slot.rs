//! The thread slot: 128 bytes of initial-exec TLS, and the thread pointer.

use core::arch::{asm, global_asm};

global_asm!(
    ".section .tbss.mallocop_thread_slot,\"awT\",@nobits",
    ".globl mallocop_thread_slot",
    ".hidden mallocop_thread_slot",
    ".type mallocop_thread_slot,@object",
    ".size mallocop_thread_slot,128",
    ".p2align 6",
    "mallocop_thread_slot:",
    ".zero 128",
    ".text",
);

/// Offset of the slot from the thread pointer; 0 before this library was relocated.
#[inline]
pub fn slot_offset() -> isize {
    let offset: isize;
    // SAFETY: reads a word of our own global offset table.
    unsafe {
        asm!(
            "mov {offset}, qword ptr [rip + mallocop_thread_slot@GOTTPOFF]",
            offset = out(reg) offset,
            options(nostack, preserves_flags, readonly, pure),
        );
    }
    offset
}

/// Can thread slots be used yet? Not in an IFUNC resolver that runs before our relocations.
#[inline]
pub fn is_slot_relocated() -> bool {
    slot_offset() != 0
}

/// Address of the calling thread's slot: tells threads apart.
#[inline]
pub fn slot_address() -> usize {
    let slot: usize;
    // SAFETY: the x86-64 TLS ABI (variant II): the thread pointer is at fs:0, the offset in the
    // GOT. Neither changes while a thread runs, so that one look serves a whole function.
    unsafe {
        asm!(
            "mov {slot}, qword ptr fs:[0]",
            "add {slot}, qword ptr [rip + mallocop_thread_slot@GOTTPOFF]",
            slot = out(reg) slot,
            options(nostack, nomem, pure),
        );
    }
    slot
}

/// The thread pointer: the address of the thread's descriptor, which lies above its stack unless it
/// is the first thread (glibc's nptl).
#[inline]
pub fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: the x86-64 TLS ABI: the thread pointer is at fs:0.
    unsafe {
        asm!(
            "mov {pointer}, qword ptr fs:[0]",
            pointer = out(reg) pointer,
            options(nostack, nomem, pure, preserves_flags),
        );
    }
    pointer
}
