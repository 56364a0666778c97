//! The beginning: ready at the first block, which may be asked for before any constructor.

use crate::sys::glibc::process_hooks;
use core::ffi::c_void;
use std::sync::atomic::{AtomicU8, Ordering};

use super::{HEAP, fork};
use crate::checks::CheckedHeap;
use crate::runtime::fault::deadly;
use crate::runtime::hooked::fault_injection;
use crate::runtime::{afl, guard_filter, lsan_user_hooks};
use crate::runtime::{config, exit};
use crate::stack::{capture, modules};
use crate::sys::glibc::{stream_buffer, stream_list, thread_descriptor};
use crate::sys::{handler_stack, process, single_threaded, thread, thread_exit};

const NEW: u8 = 0;
const PREPARING: u8 = 1;
const READY: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(NEW);

/// The heap, made ready if this is the first call. `None` while it cannot be: before relocation,
/// and for what is allocated while it is being made ready. `find_own` is called first, once.
#[inline]
pub fn heap(find_own: fn()) -> Option<&'static CheckedHeap> {
    if !thread::is_relocated() {
        return None;
    }
    if STATE.load(Ordering::Acquire) == READY {
        return Some(&HEAP);
    }
    prepare(find_own)
}

#[cold]
fn prepare(find_own: fn()) -> Option<&'static CheckedHeap> {
    if STATE.compare_exchange(NEW, PREPARING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return None;
    }
    find_own();
    afl::prepare();
    config::read_options();
    config::exclude_program();
    config::enter_tree();
    process::keep_id();
    HEAP.prepare();
    thread_descriptor::find_tid_offset();
    thread_exit::register(end_thread);
    if let Some((start, end)) = process::loader_range() {
        modules::set_loader(start, end);
    }
    fork::register();
    STATE.store(READY, Ordering::Release);
    Some(&HEAP)
}

/// The heap, if it is ready.
pub fn ready() -> Option<&'static CheckedHeap> {
    (thread::is_relocated() && STATE.load(Ordering::Acquire) == READY).then_some(&HEAP)
}

/// A thread ends; libc calls this after the destructors of thread-local variables.
extern "C" fn end_thread(_: *mut c_void) {
    HEAP.end_thread();
    deadly::pass_postponed_on();
    capture::end_thread();
    handler_stack::detach();
    thread_exit::note();
}

/// What needs libc and the loader, once both work: before the program's own constructors, or with
/// its first block. The tool is at work meanwhile. `find_more` looks up what only the caller knows
/// of.
pub fn construct(find_more: impl FnOnce()) {
    // Registered before everything else, so that it runs after everything else.
    process_hooks::at_exit(exit::at_exit);
    lsan_user_hooks::find();
    find_more();
    config::find();
    single_threaded::find();
    stream_list::find();
    stream_buffer::find();
    fault_injection::begin();
    guard_filter::begin();
}
