//! The calls: the hooks hear of the block, the plan may refuse it.

use super::{alloc_hooks, fault_injection, fuzz_input};
use crate::arch::Caller;
use crate::checks::fast_path;
use crate::checks::{Release, Request};
use crate::runtime::HEAP;
use crate::sys::thread;

/// A block, or null: there is no memory, or the request was refused.
///
/// # Safety
/// `caller` holds the registers at the entry of the program's call, on this thread.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_hooked_allocate"))]
pub unsafe fn allocate(request: Request, caller: Caller) -> *mut u8 {
    if !thread::is_outside() {
        return HEAP.allocate(request);
    }
    // SAFETY: the caller of this function promises the same.
    unsafe {
        if fault_injection::refuses(request.size, caller) {
            return core::ptr::null_mut();
        }
        let is_copy = fuzz_input::attend(caller);
        let block = fast_path::allocate_hooked(&HEAP, request, caller);
        if is_copy {
            fuzz_input::note_copy(block as usize, request);
        }
        alloc_hooks::note_allocation(block as usize, request.size);
        block
    }
}

/// Frees a block.
///
/// # Safety
/// As [`allocate`] asks.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_hooked_free"))]
pub unsafe fn free(block: *mut u8, release: &Release, caller: Caller) {
    if !thread::is_outside() {
        return HEAP.free(block as usize, release);
    }
    alloc_hooks::note_free(block as usize);
    // SAFETY: the caller of this function promises the same.
    unsafe { fast_path::free_hooked(&HEAP, block as usize, release, caller) };
}

/// Resizes a block; null: it stays as it was.
///
/// # Safety
/// As [`allocate`] asks.
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
    // SAFETY: the caller of this function promises the same.
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
