//! The library's beginning.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;

use mallocop::checks::CheckedHeap;
use mallocop::options::{self, Name};
use mallocop::runtime::{fault, init, way_out};
use mallocop::stack::modules;
use mallocop::sys::thread::ToolWork;
use mallocop::sys::{handler_stack, process, thread_start};

use crate::{buffers, exec, filters, memory_functions, operators, shims, signals, threads};

/// The heap, made ready if this is the first call; see [`init::heap`].
#[inline]
pub(crate) fn heap() -> Option<&'static CheckedHeap> {
    init::heap(note_own_range)
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
    init::construct(|| {
        filters::find();
        exec::find();
        shims::prepare();
        way_out::register();
        memory_functions::find();
        buffers::find();
        signals::find();
        threads::find();
        operators::ensure_resolved();
        if is_defined_elsewhere(process::find_symbol(c"malloc")) {
            mallocop::runtime::config::note_own_malloc();
        }
        watch_signals();
    });
}

/// Takes deadly signals over. A Go program's runtime asks the kernel for what was there before it,
/// and would take us for the program's own; it explains its faults itself.
fn watch_signals() {
    if process::is_go_program() {
        // Nobody could tell of an access that a guard has caught.
        options::set_number(Name::Guard, options::GUARD_OFF);
        thread_start::leave_alone();
        return;
    }
    fault::watch();
    if options::flag(Name::UseSigaltstack) {
        handler_stack::attach();
    }
}

/// Is the function of a symbol that is looked up for everybody not in this library? A program that
/// is loaded at a fixed address and takes a function's address has that of its own jump to it,
/// under a symbol that is not defined there.
fn is_defined_elsewhere(address: usize) -> bool {
    type Dladdr1 = unsafe extern "C" fn(
        *const c_void,
        *mut libc::Dl_info,
        *mut *const libc::Elf64_Sym,
        c_int,
    ) -> c_int;
    const SYMBOL: c_int = 1;
    let found = process::find_symbol(c"dladdr1");
    if address == 0 || modules::is_own(address) || found == 0 {
        return false;
    }
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    let mut symbol = core::ptr::null();
    // SAFETY: glibc's dladdr1(3), which fills both where it does not return 0; a module's symbols
    // stay where they are.
    unsafe {
        let dladdr1 = core::mem::transmute::<usize, Dladdr1>(found);
        let address = address as *const c_void;
        dladdr1(address, info.as_mut_ptr(), &raw mut symbol, SYMBOL) != 0
            && symbol.as_ref().is_some_and(|symbol| symbol.st_shndx != 0)
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = begin;
