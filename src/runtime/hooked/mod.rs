//! Calls that somebody attends to: a fuzzer's hooks hear of each block, a plan refuses some
//! requests. No thread takes the shortest way then; without either, nothing of this costs the
//! program anything.

pub mod alloc_hooks;
pub mod fault_injection;

use super::HEAP;
use crate::checks::{Release, Request};
use crate::leak::stop;
use crate::stack::capture::Caller;
use crate::sys::stop_signal::ParkedThread;
use crate::sys::{alt_stack, thread};

/// Does somebody?
#[inline]
pub fn is_on() -> bool {
    thread::is_hooked()
}

/// Somebody does from here on, on all threads.
fn begin() {
    thread::note_hooked();
    // SAFETY: the calling thread's own.
    unsafe { thread::hook(thread::pointer()) };
    alt_stack::run(|| {
        let stopped = stop::stop();
        for descriptor in stopped.parked().map(ParkedThread::descriptor) {
            // SAFETY: the thread stands still.
            unsafe { thread::hook(descriptor) };
        }
    });
}

/// A block, or null: there is no memory, or the request was refused.
///
/// # Safety
/// `caller` holds the registers at the entry of the program's call, on this thread.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_hooked_allocate"))]
pub unsafe fn allocate(request: Request, caller: Caller) -> *mut u8 {
    if !thread::is_outside() {
        return HEAP.allocate(request);
    }
    // SAFETY: as the caller says.
    unsafe {
        if fault_injection::refuses(request.size, caller) {
            return core::ptr::null_mut();
        }
        let block = HEAP.allocate_hooked(request, caller);
        alloc_hooks::note_allocation(block as usize, request.size);
        block
    }
}

/// Frees a block.
///
/// # Safety
/// As for [`allocate`].
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_hooked_free"))]
pub unsafe fn free(block: *mut u8, release: &Release, caller: Caller) {
    if !thread::is_outside() {
        return HEAP.free(block as usize, release);
    }
    alloc_hooks::note_free(block as usize);
    // SAFETY: as the caller says.
    unsafe { HEAP.free_hooked(block as usize, release, caller) };
}

/// Resizes a block; null: it stays as it was.
///
/// # Safety
/// As for [`allocate`].
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_hooked_resize"))]
pub unsafe fn resize(
    block: *mut u8,
    request: Request,
    release: &Release,
    caller: Caller,
) -> *mut u8 {
    if !thread::is_outside() {
        return HEAP.resize(block as usize, request, release);
    }
    // SAFETY: as the caller says.
    if unsafe { fault_injection::refuses(request.size, caller) } {
        return core::ptr::null_mut();
    }
    let counts = alloc_hooks::counts(block as usize);
    let new = HEAP.resize(block as usize, request, release);
    if !new.is_null() {
        alloc_hooks::note_allocation(new as usize, request.size);
        if counts {
            alloc_hooks::tell_free(block as usize);
        }
    }
    new
}
