//! The calls of Rust's global allocator, to the letter of their Layouts.

use crate::arch::Caller;
use crate::checks::fast_path::{self, Any};
use crate::checks::{CheckedHeap, Release, Request};
use crate::model::finding::{AllocKind, Operation};
use crate::own::{self, Region, emergency};
use crate::sys::thread;

use crate::abi::test_scope;
use crate::runtime::{HEAP, hooked};

/// How the process's heap is made ready.
pub type Start = fn() -> Option<&'static CheckedHeap>;

/// `size` bytes on a multiple of `align`; null: there is no memory.
///
/// # Safety
/// `caller` holds the registers at the entry of the program's call, on this thread; `align` is a
/// power of two.
#[inline(always)]
pub unsafe fn allocate(
    size: usize,
    align: usize,
    zeroed: bool,
    caller: Caller,
    start: Start,
) -> *mut u8 {
    let request = Request { size, align, kind: AllocKind::Rust, zeroed };
    // SAFETY: the caller of this function promises the same.
    unsafe {
        match fast_path::allocate::<Any>(&HEAP, request, caller) {
            Some(block) => block.as_ptr(),
            None => allocate_slowly(request, caller, start),
        }
    }
}

/// # Safety
/// As [`allocate`] asks.
#[inline(never)]
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_allocate_slowly"))]
unsafe fn allocate_slowly(request: Request, caller: Caller, start: Start) -> *mut u8 {
    test_scope::note_thread();
    match start() {
        _ if thread::is_in_tool() => allocate_for_tool(request),
        // SAFETY: the caller of this function promises the same.
        Some(_) if hooked::is_on() => unsafe { hooked::allocate(request, caller) },
        Some(heap) => heap.allocate(request),
        None => allocate_for_tool(request),
    }
}

/// A block for the tool itself, or for a handler that interrupted it.
#[cold]
fn allocate_for_tool(request: Request) -> *mut u8 {
    let Request { size, align, zeroed, .. } = request;
    let block = match own::heap::try_allocate(size, align) {
        Some(block) => block.as_ptr(),
        None if thread::is_critical() => emergency::allocate(size, align),
        None => own::heap::allocate(size, align),
    };
    if zeroed && !block.is_null() {
        // SAFETY: the block has that many bytes.
        unsafe { block.write_bytes(0, size) };
    }
    block
}

/// Takes a block back that has that Layout.
///
/// # Safety
/// As [`allocate`] asks; the block may be any address.
#[inline(always)]
pub unsafe fn release(block: *mut u8, size: usize, align: usize, caller: Caller, start: Start) {
    let release = Release::sized(Operation::Dealloc, Some(size), Some(align));
    // SAFETY: the caller of this function promises the same.
    unsafe {
        if !fast_path::free::<Any>(&HEAP, block as usize, &release, caller) {
            release_slowly(block, &release, caller, start);
        }
    }
}

/// # Safety
/// As [`release`] asks.
#[inline(never)]
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_release_slowly"))]
unsafe fn release_slowly(block: *mut u8, release: &Release, caller: Caller, start: Start) {
    test_scope::note_thread();
    match start() {
        // SAFETY: the caller of this function promises the same.
        Some(_) if hooked::is_on() => unsafe { hooked::free(block, release, caller) },
        Some(heap) => heap.free(block as usize, release),
        // Being made ready: what there is is the tool's, which keeps it.
        None => {}
    }
}

/// A block of `new_size` bytes with what was in one of that Layout; null: that one stays.
///
/// # Safety
/// As [`release`] asks.
#[inline(always)]
pub unsafe fn resize(
    block: *mut u8,
    size: usize,
    align: usize,
    new_size: usize,
    caller: Caller,
    start: Start,
) -> *mut u8 {
    let release = Release::sized(Operation::Reallocate, Some(size), Some(align));
    let request = Request { size: new_size, align, kind: AllocKind::Rust, zeroed: false };
    // SAFETY: the caller of this function promises the same.
    unsafe {
        match fast_path::reallocate::<Any>(&HEAP, block as usize, request, &release, caller) {
            Some(block) => block.as_ptr(),
            None => resize_slowly(block, request, &release, caller, start),
        }
    }
}

/// # Safety
/// As [`release`] asks.
#[inline(never)]
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_resize_slowly"))]
unsafe fn resize_slowly(
    block: *mut u8,
    request: Request,
    release: &Release,
    caller: Caller,
    start: Start,
) -> *mut u8 {
    if let Some(region) = own::region_of(block as usize) {
        // The tool may be at its lists under a lock; or a handler has interrupted it, maybe in its
        // heap.
        if region == Region::Own && thread::is_critical() && own::heap::is_busy() {
            return core::ptr::null_mut();
        }
        let old = own::size_of_block(region, block);
        // SAFETY: the caller of this function promises the same.
        let new = unsafe { allocate_slowly(request, caller, start) };
        if !new.is_null() {
            // SAFETY: both blocks are live, apart, and at least that long.
            unsafe {
                core::ptr::copy_nonoverlapping(block, new, old.min(request.size));
                release_slowly(block, release, caller, start);
            }
        }
        return new;
    }
    match start() {
        // SAFETY: the caller of this function promises the same.
        Some(_) if hooked::is_on() => unsafe { hooked::resize(block, request, release, caller) },
        Some(heap) => heap.resize(block as usize, request, release),
        None => core::ptr::null_mut(),
    }
}
