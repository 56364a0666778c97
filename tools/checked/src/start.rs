//! The library's beginning and end of means.

use crate::original::Original;
use crate::{check, compare, input, memory, output, printing, sorting, strings, wide};

/// Runs when the loader initialises this library, with libc's functions at hand.
extern "C-unwind" fn begin() {
    unsafe extern "C" {
        // Both are made by the linker, for this library.
        static __ehdr_start: u8;
        static _end: u8;
    }
    memory::originals::find();
    strings::originals::find();
    compare::originals::find();
    wide::originals::find();
    input::originals::find();
    output::originals::find();
    printing::originals::find();
    sorting::originals::find();
    // In the order of tools/preload/src/memory_functions.rs.
    let found = [
        &memory::originals::memcpy,
        &memory::originals::memmove,
        &memory::originals::memset,
        &compare::originals::memcmp,
        &compare::originals::memcmp,
        &strings::originals::strlen,
    ]
    .map(Original::find);
    check::prepare(&raw const __ehdr_start as usize, &raw const _end as usize, &found);
}

#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C-unwind" fn() = begin;

/// Ends a program that calls what cannot be done: libc has no such function, or an IFUNC resolver
/// has called one that needs libc while the loader relocates.
#[cold]
pub(crate) fn give_up() -> ! {
    // SAFETY: an instruction that cannot be executed ends the program.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}
