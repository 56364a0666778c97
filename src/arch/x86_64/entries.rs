//! The entries: each symbol notes the stack and the frame pointer as the program left them, behind
//! its own arguments, and jumps on. So a walk up the stack starts at the program's call, and none
//! of our own frames is on it.

/// `symbol(number of arguments) => function(arguments) -> result`: exports each symbol; the
/// function behind it gets a `Caller` after its arguments. All arguments are words.
///
/// A `Caller`, two words, is passed in the next two registers (System V ABI, AMD64 supplement,
/// 3.2.3).
#[macro_export]
#[doc(hidden)]
macro_rules! entries {
    ($abi:literal; $(
        $(#[$note:meta])*
        $symbol:ident($count:tt) =>
            $function:ident($($name:ident: $kind:ty),*) $(-> $result:ty)?,
    )*) => {
        $(
            $(#[$note])*
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern $abi fn $symbol($($name: $kind),*) $(-> $result)? {
                const _: unsafe extern $abi fn($($kind,)* $crate::arch::Caller) $(-> $result)? =
                    $function;
                $crate::jump!($count, $function)
            }
        )*
    };
}

/// The same for functions that are not exported.
#[macro_export]
#[doc(hidden)]
macro_rules! inner_entries {
    ($(
        $symbol:ident($count:tt) =>
            $function:ident($($name:ident: $kind:ty),*) $(-> $result:ty)?,
    )*) => {
        $(
            /// # Safety
            /// As the function behind it.
            #[unsafe(naked)]
            unsafe extern "C" fn $symbol($($name: $kind),*) $(-> $result)? {
                const _: unsafe extern "C" fn($($kind,)* $crate::arch::Caller) $(-> $result)? =
                    $function;
                $crate::jump!($count, $function)
            }
        )*
    };
}

/// The jump behind so many arguments.
#[macro_export]
#[doc(hidden)]
macro_rules! jump {
    (1, $function:ident) => {
        core::arch::naked_asm!("mov rsi, rsp", "mov rdx, rbp", "jmp {}", sym $function)
    };
    (2, $function:ident) => {
        core::arch::naked_asm!("mov rdx, rsp", "mov rcx, rbp", "jmp {}", sym $function)
    };
    (3, $function:ident) => {
        core::arch::naked_asm!("mov rcx, rsp", "mov r8, rbp", "jmp {}", sym $function)
    };
    (4, $function:ident) => {
        core::arch::naked_asm!("mov r8, rsp", "mov r9, rbp", "jmp {}", sym $function)
    };
}

/// `symbol(number of arguments) => function(arguments) -> result`: makes a function of that name
/// that calls the other one with the registers at its own entry behind its arguments, all of which
/// are words.
#[macro_export]
#[doc(hidden)]
macro_rules! with_registers {
    ($(
        $(#[$note:meta])*
        $symbol:ident($count:tt) =>
            $function:ident($($name:ident: $kind:ty),*) $(-> $result:ty)?;
    )*) => {
        $(
            $(#[$note])*
            ///
            /// # Safety
            /// As the function behind it.
            #[unsafe(naked)]
            pub unsafe extern "C" fn $symbol($($name: $kind),*) $(-> $result)? {
                const _: extern "C" fn($($kind,)* &$crate::arch::Registers) $(-> $result)? =
                    $function;
                $crate::note_and_call!($count, $function)
            }
        )*
    };
}

/// The call with the registers, which lie on the stack meanwhile, in the argument of that number.
#[macro_export]
#[doc(hidden)]
macro_rules! note_and_call {
    (0, $function:ident) => { $crate::note_and_call!(@ "rdi", $function) };
    (2, $function:ident) => { $crate::note_and_call!(@ "rdx", $function) };
    (4, $function:ident) => { $crate::note_and_call!(@ "r8", $function) };
    (@ $place:literal, $function:ident) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            "mov rax, [rsp]",
            "lea r11, [rsp + 8]",
            "sub rsp, 72",
            ".cfi_adjust_cfa_offset 72",
            "mov [rsp], rax",
            "mov [rsp + 8], r11",
            "mov [rsp + 16], rbp",
            "mov [rsp + 24], rbx",
            "mov [rsp + 32], r12",
            "mov [rsp + 40], r13",
            "mov [rsp + 48], r14",
            "mov [rsp + 56], r15",
            concat!("mov ", $place, ", rsp"),
            "call {function}",
            "add rsp, 72",
            ".cfi_adjust_cfa_offset -72",
            "ret",
            ".cfi_endproc",
            function = sym $function,
        )
    };
}
