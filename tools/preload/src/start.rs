//! The library's beginning.

use mallocop::debug::CheckedHeap;
use mallocop::runtime::start;
use mallocop::stack::modules;
use mallocop::sys::process;
use mallocop::sys::thread::ToolWork;

use crate::{exec, filters, operators, shims};

/// The heap, made ready if this is the first call; see [`start::heap`].
#[inline]
pub(crate) fn heap() -> Option<&'static CheckedHeap> {
    start::heap(note_own_range)
}

/// Says where this library lies.
fn note_own_range() {
    unsafe extern "C" {
        // Both are made by the linker, for this library.
        static __ehdr_start: u8;
        static _end: u8;
    }
    modules::set_own(&raw const __ehdr_start as usize, &raw const _end as usize);
}

/// Runs when the loader initialises this library: before the program's own constructors, but after
/// those of libraries, so that all of it has to work before this, too.
extern "C" fn begin() {
    if heap().is_none() {
        return;
    }
    let _work = ToolWork::begin();
    start::construct(|| {
        filters::find();
        exec::find();
        shims::prepare();
        operators::ensure_resolved();
        if !modules::is_own(process::find_symbol(c"malloc")) {
            start::note_own_malloc();
        }
    });
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = begin;
