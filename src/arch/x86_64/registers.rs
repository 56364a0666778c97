//! Registers: where the stack goes on, what calls preserve, and where the kernel keeps them while a
//! signal is handled.

use core::arch::naked_asm;

/// The registers at the entry of a function that the program called: where the stack above us
/// begins.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Caller {
    /// rsp: the return address is there.
    pub sp: usize,
    /// rbp, the caller's.
    pub fp: usize,
}

/// A frame: where it goes on, and what the two registers that rules speak of are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFrame {
    /// Return address into the frame's function, with marks.
    pub pc: usize,
    /// rsp there. A multiple of 8.
    pub sp: usize,
    /// rbp there.
    pub fp: usize,
}

/// The registers that calls preserve, at the entry of a function.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Registers {
    /// The return address.
    pub pc: usize,
    /// rsp of the caller behind the return address.
    pub sp: usize,
    /// rbp.
    pub fp: usize,
    /// rbx, r12, r13, r14, r15.
    pub others: [usize; 5],
}

/// DWARF numbers of what calls preserve (System V ABI, AMD64 supplement, figure 3.36): rbx, rbp,
/// r12 to r15.
pub const PRESERVED: [u16; 6] = [3, 6, 12, 13, 14, 15];
/// Where the kernel keeps a thread's registers when a signal came in, from the handler's caller's
/// rsp on (`ucontext_t`, asm/ucontext.h): mcontext at 40, registers in the order of
/// asm/sigcontext.h.
const REGISTERS: usize = 40;
/// Offset of rbp from there.
pub const SIGNAL_FP: usize = REGISTERS + 8 * 10;
/// Offset of rsp from there.
pub const SIGNAL_SP: usize = REGISTERS + 8 * 15;
/// Offset of rip from there.
pub const SIGNAL_PC: usize = REGISTERS + 8 * 16;
/// Places there of the registers by DWARF number: rax rdx rcx rbx rsi rdi rbp rsp r8-r15.
const BY_NUMBER: [usize; 16] = [13, 12, 14, 11, 9, 8, 10, 15, 0, 1, 2, 3, 4, 5, 6, 7];

/// Offset of a register from there, by its DWARF number.
pub fn signal_register(number: u16) -> Option<usize> {
    BY_NUMBER.get(usize::from(number)).map(|place| REGISTERS + 8 * place)
}

/// The caller's frame as it is.
#[unsafe(naked)]
pub extern "C" fn note_registers(frame: &mut CallFrame) {
    naked_asm!(
        "mov rax, [rsp]",
        "mov [rdi + {pc}], rax",
        "lea rax, [rsp + 8]",
        "mov [rdi + {sp}], rax",
        "mov [rdi + {fp}], rbp",
        "ret",
        pc = const core::mem::offset_of!(CallFrame, pc),
        sp = const core::mem::offset_of!(CallFrame, sp),
        fp = const core::mem::offset_of!(CallFrame, fp),
    )
}
