//! The entries: each symbol notes the stack and the frame pointer as the program left them, behind its own
//! arguments, and jumps on. So a walk up the stack starts at the program's call, and none of our own frames
//! is on it.

/// `symbol(number of arguments) => function(arguments) -> result`: exports each symbol; the function behind it
/// gets a `Caller` after its arguments. All arguments are words.
///
/// A `Caller`, two words, is passed in the next two registers (System V ABI, AMD64 supplement, 3.2.3).
macro_rules! entries {
    ($abi:literal; $($(#[$note:meta])* $symbol:ident($count:tt) => $function:ident($($name:ident: $kind:ty),*) $(-> $result:ty)?,)*) => {
        $(
            $(#[$note])*
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern $abi fn $symbol($($name: $kind),*) $(-> $result)? {
                const _: unsafe extern $abi fn($($kind,)* mallocop::stack::capture::Caller) $(-> $result)? = $function;
                $crate::entry::jump!($count, $function)
            }
        )*
    };
}

/// The jump behind so many arguments.
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
}

pub(crate) use {entries, jump};
