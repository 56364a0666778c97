//! The calls behind the symbols: argument rules, the heap, errno.

use core::ptr;

use mallocop::debug::{Release, Request};
use mallocop::finding::{BadRequest, Defect, Finding, Kind, Operation};
use mallocop::options::{self, Name};
use mallocop::own::early;
use mallocop::stack::capture::{self, Caller};
use mallocop::sys::errno;

use crate::{HEAP, reporter, rules, start};

/// Allocates, without a word on failure.
///
/// # Safety
/// `caller` holds the registers at the entry of the program's call.
#[inline(always)]
pub(crate) unsafe fn try_allocate(request: Request, caller: Caller) -> *mut u8 {
    // SAFETY: as the caller says.
    match unsafe { HEAP.allocate_quickly(request, caller) } {
        Some(block) => block.as_ptr(),
        None => allocate_fully(request),
    }
}

#[inline(never)]
fn allocate_fully(request: Request) -> *mut u8 {
    match start::heap() {
        Some(heap) => heap.allocate(request),
        None => early::allocate(request.size, request.align),
    }
}

/// Allocates; on failure errno is ENOMEM and the result null.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(always)]
pub(crate) unsafe fn allocate(call: &'static str, request: Request, caller: Caller) -> *mut u8 {
    // SAFETY: as the caller says.
    match unsafe { HEAP.allocate_quickly(request, caller) } {
        Some(block) => block.as_ptr(),
        None => allocate_or_fail(call, request.size, request.align, request.kind, request.zeroed),
    }
}

/// Takes what it needs in registers: the short path spills nothing for it.
#[inline(never)]
fn allocate_or_fail(
    call: &'static str,
    size: usize,
    align: usize,
    kind: Kind,
    zeroed: bool,
) -> *mut u8 {
    let request = Request { size, align, kind, zeroed };
    let most = options::number(Name::MaxAllocationSizeMb) << 20;
    if let Err(bad) = rules::size(call, request.size, most) {
        return refuse(bad, libc::ENOMEM);
    }
    let block = allocate_fully(request);
    if block.is_null() {
        errno::set(libc::ENOMEM);
    }
    block
}

/// Warns of a request that cannot be met and fails it.
#[cold]
pub(crate) fn refuse(bad: BadRequest, code: i32) -> *mut u8 {
    warn(bad);
    errno::set(code);
    ptr::null_mut()
}

/// Warns of a request that is not right.
#[cold]
pub(crate) fn warn(bad: BadRequest) {
    if start::heap().is_none() || mallocop::sys::thread::is_critical() {
        return;
    }
    let site = capture::full_site();
    let finding = Finding::new(Defect::BadRequest(bad), Operation::Allocate, 0, site);
    mallocop::sys::apart::run(|| reporter::on_finding(&finding));
}

/// An aligned block for a call that takes any alignment.
///
/// # Safety
/// As for [`try_allocate`].
pub(crate) unsafe fn allocate_aligned(
    call: &'static str,
    align: usize,
    size: usize,
    caller: Caller,
) -> *mut u8 {
    let (bad, align) = rules::alignment(call, align);
    if let Some(bad) = bad {
        warn(bad);
    }
    let Some(align) = align else {
        errno::set(libc::EINVAL);
        return ptr::null_mut();
    };
    // SAFETY: as the caller says.
    unsafe { allocate(call, Request { size, align, kind: Kind::Memalign, zeroed: false }, caller) }
}

/// Frees; null is nothing.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(always)]
pub(crate) unsafe fn free(pointer: *mut u8, release: &Release, caller: Caller) {
    // SAFETY: as the caller says.
    if pointer.is_null() || unsafe { HEAP.free_quickly(pointer as usize, release, caller) } {
        return;
    }
    free_fully(pointer, release);
}

#[inline(never)]
fn free_fully(pointer: *mut u8, release: &Release) {
    // Before there is a heap, all there is comes from the early buffer, which keeps it.
    if let Some(heap) = start::heap() {
        heap.free(pointer as usize, release);
    }
}

/// realloc, once the size is known to be sound.
///
/// # Safety
/// As for [`try_allocate`].
pub(crate) unsafe fn resize(
    call: &'static str,
    pointer: *mut u8,
    size: usize,
    caller: Caller,
) -> *mut u8 {
    if pointer.is_null() {
        // SAFETY: as the caller says.
        return unsafe { allocate(call, Request::malloc(size), caller) };
    }
    if size == 0 {
        // SAFETY: as the caller says.
        unsafe { free(pointer, &Release::by(Operation::Free), caller) };
        return ptr::null_mut();
    }
    // SAFETY: as the caller says.
    if let Some(block) = unsafe { HEAP.move_quickly(pointer as usize, size, caller) } {
        return block.as_ptr();
    }
    let most = options::number(Name::MaxAllocationSizeMb) << 20;
    if let Err(bad) = rules::size(call, size, most) {
        return refuse(bad, libc::ENOMEM);
    }
    let block = start::heap().map_or(ptr::null_mut(), |heap| heap.resize(pointer as usize, size));
    if block.is_null() {
        errno::set(libc::ENOMEM);
    }
    block
}
