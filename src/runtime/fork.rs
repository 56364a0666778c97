//! fork: every lock of the malloc path is held over it, so that the child finds the heap whole.

use crate::sys::glibc::process_hooks;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::stack::capture;
use crate::sys::glibc::stream_list;
use crate::sys::thread_number;
use crate::sys::{handler_stack, output, safe_read, single_threaded, thread};
use crate::trace;

use super::{HEAP, reporter};
use crate::runtime::hooked::fault_injection;
use crate::runtime::{abort, config, exit, fault, guard_filter, way_out};

/// Registers the handlers. With the first block, so that others' handlers find malloc unlocked:
/// what is registered first prepares last and is the first to run behind the fork, as glibc's own
/// malloc.
pub(super) fn register() {
    process_hooks::at_fork(prepare, parent, child);
}

/// What else is renewed in a forked child: a `fn()`, or null.
static RENEW: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Has `renew` called in each forked child from here on, behind all that is renewed there anyway.
/// There is one such function.
pub fn in_child(renew: fn()) {
    RENEW.store(renew as *mut (), Ordering::Release);
}

/// Bit of [`thread::held`] for the list of streams; below are those of the heap's locks.
const STREAMS: u8 = 1 << 7;

extern "C" fn prepare() {
    // What a handler has interrupted keeps its locks until the handler is done.
    let interrupted = thread::is_critical();
    thread::begin_fork();
    loop {
        // In glibc's order. With one thread nobody else can be at the list.
        let streams = !single_threaded::is_single() && stream_list::lock();
        let (held, all) = HEAP.hold_over_fork();
        let bits = held.iter().rev().fold(0, |bits, &one| (bits << 1) | u8::from(one));
        thread::set_held(bits | if streams { STREAMS } else { 0 });
        // The child finds each lock free, and by the order of locks all behind it whole.
        if all || interrupted {
            return;
        }
        // A handler on another thread, which has interrupted the holder of a lock, may be waiting
        // for the list.
        if release() {
            // SAFETY: locked in this turn.
            unsafe { stream_list::unlock() };
        }
        std::thread::yield_now();
    }
}

/// Gives the heap's locks back. Was the list of streams locked?
fn release() -> bool {
    let bits = thread::held();
    let held = core::array::from_fn(|lock| bits & (1 << lock) != 0);
    // SAFETY: `prepare` took exactly these in this thread; in the child it is its only thread.
    unsafe { HEAP.release_after_fork(held) };
    bits & STREAMS != 0
}

extern "C" fn parent() {
    trace::count_fork();
    if release() {
        // SAFETY: `prepare` locked it, in this thread.
        unsafe { stream_list::unlock() };
    }
    thread::end_fork();
}

/// The child's list of streams: glibc makes it free if it knows of several threads. A fork that
/// this one has interrupted still counts on what it holds.
fn renew_streams() {
    // SAFETY: a child's handler runs in its only thread.
    unsafe { stream_list::reset() };
    thread::held_outside().filter(|bits| bits & STREAMS != 0).for_each(|_| {
        stream_list::lock();
    });
}

extern "C" fn child() {
    if release() {
        renew_streams();
    }
    thread::end_fork();
    HEAP.renew_locks();
    capture::renew_after_fork();
    thread_number::renew_after_fork();
    trace::renew_after_fork();
    HEAP.inherit_arenas();
    HEAP.thaw_after_fork();
    safe_read::renew_after_fork();
    config::forget_root();
    output::drop_copy();
    reporter::renew_after_fork();
    exit::renew_after_fork();
    fault_injection::renew_after_fork();
    guard_filter::renew_after_fork();
    abort::renew_after_fork();
    fault::renew_after_fork();
    way_out::renew_after_fork();
    handler_stack::renew_after_fork();
    let renew = RENEW.load(Ordering::Acquire);
    if !renew.is_null() {
        // SAFETY: `in_child` alone stores there, functions of this type.
        unsafe { core::mem::transmute::<*mut (), fn()>(renew)() };
    }
}
