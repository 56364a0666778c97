//! The sanitizers' symbols, for fuzzers that look for them: weak, so that those of a real sanitizer's runtime, or of
//! libFuzzer built with one, come first.

macro_rules! define {
    ($($symbol:ident => $function:path;)*) => {
        $(
            core::arch::global_asm!(
                concat!(".weak ", stringify!($symbol)),
                concat!(".type ", stringify!($symbol), ", @function"),
                concat!(stringify!($symbol), ": jmp {}"),
                concat!(".size ", stringify!($symbol), ", . - ", stringify!($symbol)),
                sym $function,
            );
        )*
    };
}

crate::for_each_sanitizer_symbol!(define);

/// Has the linker take all of it: for weak references alone it would not.
pub(crate) fn keep() {
    unsafe extern "C" {
        fn __sanitizer_install_malloc_and_free_hooks();
    }
    core::hint::black_box(__sanitizer_install_malloc_and_free_hooks as *const ());
}
