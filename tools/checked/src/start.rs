//! The library's constructor, and the end of a program that cannot go on.

use crate::original::Original;
use crate::{check, compare, input, memory, output, printing, sorting, strings, wide};

/// The constructor. libc can be used.
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
    // The order is that of tools/preload/src/memory_functions.rs.
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

/// Ends the program with SIGILL: it has called a function that this libc does not have, or an IFUNC
/// resolver has called one of those without a replacement in [`crate::plain`].
#[cold]
pub(crate) fn give_up() -> ! {
    // SAFETY: an instruction that cannot be executed ends the program.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}
