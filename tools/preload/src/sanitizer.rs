//! The sanitizers' symbols, for programs and fuzzers that look for them.

macro_rules! export {
    ($($symbol:ident => $function:path;)*) => {
        $(
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn $symbol() {
                core::arch::naked_asm!("jmp {}", sym $function)
            }
        )*
    };
}

mallocop::for_each_sanitizer_symbol!(export);
