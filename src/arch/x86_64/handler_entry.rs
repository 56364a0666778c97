//! Entries in front of a program's signal handlers: the kernel knows the entry, which goes on to
//! the handler, on another stack if need be.

use core::arch::naked_asm;

/// Number of entries.
pub const ENTRIES: usize = 32;

/// Where an entry goes on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Onward {
    /// The handler.
    pub handler: usize,
    /// The stack pointer there: the return address lies at it, the kernel's record behind.
    pub sp: usize,
}

/// Decides where an entry goes on: its number, its stack pointer, the signal, and the kernel's
/// record, as a handler gets it.
pub type Decide = extern "C" fn(usize, usize, usize, *mut u8) -> Onward;

/// Defines the entries, all of which ask one function.
#[macro_export]
#[doc(hidden)]
macro_rules! handler_entries {
    ($name:ident by $decide:ident; $($number:literal)*) => {
        /// The entries' addresses.
        pub static $name: [unsafe extern "C" fn(); $crate::arch::ENTRIES] = [
            $({
                /// # Safety
                /// Only the kernel enters it, as a handler with SA_SIGINFO.
                #[unsafe(naked)]
                unsafe extern "C" fn entry() {
                    const _: $crate::arch::Decide = $decide;
                    core::arch::naked_asm!(
                        "mov r11d, {number}",
                        "lea r10, [rip + {decide}]",
                        "jmp {go_on}",
                        number = const $number,
                        decide = sym $decide,
                        go_on = sym $crate::arch::enter_handler,
                    )
                }
                entry
            },)*
        ];
    };
}

/// A handler that does nothing.
#[unsafe(naked)]
pub extern "C" fn leave_handler() {
    naked_asm!("ret")
}

/// r10: the function that decides, r11: the entry's number; the rest as the kernel enters a
/// handler: signal in rdi, information in rsi, record in rdx, all of which lie in one piece from
/// rsp on. A handler's three arguments go with the stack.
///
/// # Safety
/// Only an entry jumps here, with these registers.
#[unsafe(naked)]
pub unsafe extern "C" fn enter_handler() {
    naked_asm!(
        "mov rax, rsp",
        "push rdi",
        "push rsi",
        "push rdx",
        "mov rcx, rdx",
        "mov rdx, rdi",
        "mov rsi, rax",
        "mov rdi, r11",
        "call r10",
        "pop r9",
        "pop r10",
        "pop rdi",
        // rax: the handler; rdx: its stack pointer. By how much the piece has moved goes for the
        // pointers into it.
        "mov r8, rdx",
        "sub r8, rsp",
        "mov rsp, rdx",
        "lea rsi, [r10 + r8]",
        "lea rdx, [r9 + r8]",
        "jmp rax",
    )
}
