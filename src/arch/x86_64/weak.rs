//! Weak references: symbols that may not be there.

/// `name => function`: a weak reference to the symbol `name`, and a function that gives its
/// address; 0 where it is not there, or before this library was relocated.
#[macro_export]
#[doc(hidden)]
macro_rules! weak_reference {
    ($name:literal => $function:ident) => {
        core::arch::global_asm!(concat!(".weak ", $name));

        fn $function() -> usize {
            let address: usize;
            // SAFETY: reads a word of our own global offset table.
            unsafe {
                core::arch::asm!(
                    concat!("mov {address}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                    address = out(reg) address,
                    options(nostack, preserves_flags, readonly, pure),
                );
            }
            address
        }
    };
}

/// A weak function `symbol` that goes on, arguments untouched, to the one whose address is in
/// `known`, or, where that is 0, to the one that `look_up` gives.
#[macro_export]
#[doc(hidden)]
macro_rules! weak_forward {
    ($symbol:ident, $known:ident, $look_up:ident) => {
        // All arguments are kept; a look at the symbol leaves the stack as the caller had it.
        core::arch::global_asm!(
            concat!(".weak ", stringify!($symbol)),
            concat!(".type ", stringify!($symbol), ", @function"),
            concat!(stringify!($symbol), ":"),
            "mov rax, qword ptr [rip + {known}]",
            "test rax, rax",
            "jnz 2f",
            "push rdi",
            "push rsi",
            "push rdx",
            "push rcx",
            "push r8",
            "call {look_up}",
            "pop r8",
            "pop rcx",
            "pop rdx",
            "pop rsi",
            "pop rdi",
            "2:",
            "jmp rax",
            concat!(".size ", stringify!($symbol), ", . - ", stringify!($symbol)),
            known = sym $known,
            look_up = sym $look_up,
        );
    };
}
