//! The library's beginning: ready at the first malloc, which may come before any constructor.

use core::ffi::c_void;
use std::sync::atomic::{AtomicU8, Ordering};

use mallocop::debug::CheckedHeap;
use mallocop::stack::{capture, modules};
use mallocop::sys::thread::ToolWork;
use mallocop::sys::{ended, process, single, thread, thread_end};

use crate::{HEAP, exec, exit, filters, fork, hooks, operators, reader, shims};

const NEW: u8 = 0;
const PREPARING: u8 = 1;
const READY: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(NEW);

/// The heap, made ready if this is the first call. `None` while it cannot be: before relocation,
/// and for what is allocated while it is being made ready.
#[inline]
pub(crate) fn heap() -> Option<&'static CheckedHeap> {
    if !thread::is_relocated() {
        return None;
    }
    if STATE.load(Ordering::Acquire) == READY {
        return Some(&HEAP);
    }
    prepare()
}

#[cold]
fn prepare() -> Option<&'static CheckedHeap> {
    if STATE.compare_exchange(NEW, PREPARING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return None;
    }
    reader::read_options(|_| {});
    reader::exclude_program();
    reader::enter_tree();
    HEAP.prepare();
    thread_end::register(end_thread);
    let (start, end) = own_range();
    modules::set_own(start, end);
    if let Some((start, end)) = process::loader_range() {
        modules::set_loader(start, end);
    }
    STATE.store(READY, Ordering::Release);
    Some(&HEAP)
}

/// A thread ends; libc calls this after the destructors of thread-local variables.
extern "C" fn end_thread(_: *mut c_void) {
    HEAP.end_thread();
    capture::end_thread();
    ended::note();
}

/// First byte of this library and first byte behind it.
fn own_range() -> (usize, usize) {
    unsafe extern "C" {
        // Both are made by the linker, for this library.
        static __ehdr_start: u8;
        static _end: u8;
    }
    (&raw const __ehdr_start as usize, &raw const _end as usize)
}

/// Runs when the loader initialises this library: before the program's own constructors, but after
/// those of libraries, so that all of it has to work before this, too.
extern "C" fn construct() {
    if heap().is_none() {
        return;
    }
    let _work = ToolWork::begin();
    fork::register();
    // Registered before everything else, so that it runs after everything else.
    process::at_exit(exit::at_exit);
    filters::find();
    hooks::find();
    exec::find();
    reader::find();
    shims::prepare();
    operators::ensure_resolved();
    single::find();
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;
