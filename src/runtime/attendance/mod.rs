//! Calls that somebody attends to: a fuzzer's hooks hear of each block, a plan refuses some
//! requests. No thread takes the shortest way then; without either, nothing of this costs the
//! program anything.

pub mod observers;
pub mod refusal;

use super::HEAP;
use crate::debug::{Release, Request};
use crate::leak::stop;
use crate::stack::capture::Caller;
use crate::sys::park::Place;
use crate::sys::{apart, thread};

/// Does somebody?
#[inline]
pub fn is_on() -> bool {
    thread::is_attended()
}

/// Somebody does from here on, on all threads.
fn begin() {
    thread::note_attended();
    // SAFETY: the calling thread's own.
    unsafe { thread::attend(thread::pointer()) };
    apart::run(|| {
        let stopped = stop::stop();
        for descriptor in stopped.parked().map(Place::descriptor) {
            // SAFETY: the thread stands still.
            unsafe { thread::attend(descriptor) };
        }
    });
}

/// A block, or null: there is no memory, or the request was refused.
///
/// # Safety
/// `caller` holds the registers at the entry of the program's call, on this thread.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_attended_allocate"))]
pub unsafe fn allocate(request: Request, caller: Caller) -> *mut u8 {
    if !thread::is_outside() {
        return HEAP.allocate(request);
    }
    // SAFETY: as the caller says.
    unsafe {
        if refusal::refuses(request.size, caller) {
            return core::ptr::null_mut();
        }
        let block = HEAP.allocate_attended(request, caller);
        observers::note_allocation(block as usize, request.size);
        block
    }
}

/// Frees a block.
///
/// # Safety
/// As for [`allocate`].
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_attended_free"))]
pub unsafe fn free(block: *mut u8, release: &Release, caller: Caller) {
    if !thread::is_outside() {
        return HEAP.free(block as usize, release);
    }
    observers::note_free(block as usize);
    // SAFETY: as the caller says.
    unsafe { HEAP.free_attended(block as usize, release, caller) };
}

/// Resizes a block; null: it stays as it was.
///
/// # Safety
/// As for [`allocate`].
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_attended_resize"))]
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
    if unsafe { refusal::refuses(request.size, caller) } {
        return core::ptr::null_mut();
    }
    let counts = observers::counts(block as usize);
    let new = HEAP.resize(block as usize, request, release);
    if !new.is_null() {
        observers::note_allocation(new as usize, request.size);
        if counts {
            observers::tell_free(block as usize);
        }
    }
    new
}
