//! The calls behind the symbols: argument rules, the heap, errno.

use core::ptr::{self, NonNull};

use mallocop::arch::Caller;
use mallocop::checks::{Release, Request};
use mallocop::heap::size::GRANULE;
use mallocop::model::finding::{BadRequest, Defect, Finding, Operation};
use mallocop::options::{self, Name};
use mallocop::own::early;
use mallocop::shadow::block_table::Sites;
use mallocop::stack::capture;
use mallocop::sys::{errno, thread};

use mallocop::abi::test_scope;
use mallocop::runtime::{hooked, reporter};

use crate::call::Call;
use crate::{HEAP, rules, start};

/// Allocates, without a word on failure.
///
/// # Safety
/// `caller` holds the registers at the entry of the program's call.
#[inline(never)]
pub(crate) unsafe fn try_allocate(request: Request, caller: Caller) -> *mut u8 {
    // SAFETY: as the caller says.
    match unsafe { HEAP.allocate_quickly(request, caller) } {
        Some(block) => block.as_ptr(),
        // SAFETY: as the caller says.
        None => unsafe { allocate_fully(request, caller) },
    }
}

/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe fn allocate_fully(request: Request, caller: Caller) -> *mut u8 {
    if thread::is_relocated() {
        test_scope::note_thread();
    }
    match start::heap() {
        // SAFETY: as the caller says.
        Some(_) if hooked::is_on() => unsafe { hooked::allocate(request, caller) },
        Some(heap) => heap.allocate(request),
        None => early::allocate(request.size, request.align),
    }
}

/// Allocates; on failure errno is ENOMEM and the result null.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(always)]
pub(crate) unsafe fn allocate(call: Call, size: usize, align: usize, caller: Caller) -> *mut u8 {
    // SAFETY: as the caller says.
    unsafe {
        match (call, HEAP.is_guarded()) {
            (Call::Malloc, true) if Sites::taken().is_some() => allocate_plain(size, caller),
            (Call::Malloc, true) => allocate_plain_unsited(size, caller),
            (Call::Malloc, false) => allocate_plain_bare(size, caller),
            (Call::Calloc, _) | (_, true) => allocate_any(size, caller, align, call),
            (_, false) => allocate_bare(size, caller, align, call),
        }
    }
}

/// malloc, which most calls are, with stacks. `extern "C"`, as what it goes on to: what does not
/// unwind can be jumped to.
///
/// # Safety
/// As for [`try_allocate`], and stacks are taken.
#[inline(never)]
unsafe extern "C" fn allocate_plain(size: usize, caller: Caller) -> *mut u8 {
    // SAFETY: as the caller says.
    unsafe {
        let block = HEAP.allocate_guarded(Request::malloc(size), caller, Some(Sites::assumed()));
        or_fully(block, size, caller, GRANULE, Call::Malloc)
    }
}

/// The same without stacks.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe extern "C" fn allocate_plain_unsited(size: usize, caller: Caller) -> *mut u8 {
    // SAFETY: as the caller says.
    unsafe {
        let block = HEAP.allocate_guarded(Request::malloc(size), caller, None);
        or_fully(block, size, caller, GRANULE, Call::Malloc)
    }
}

/// All other calls of C's.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe extern "C" fn allocate_any(
    size: usize,
    caller: Caller,
    align: usize,
    call: Call,
) -> *mut u8 {
    // SAFETY: as the caller says.
    unsafe {
        let block = HEAP.allocate_quickly(call.request(size, align), caller);
        or_fully(block, size, caller, align, call)
    }
}

/// malloc where nothing is checked.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe extern "C" fn allocate_plain_bare(size: usize, caller: Caller) -> *mut u8 {
    // SAFETY: as the caller says.
    unsafe { or_fully(HEAP.allocate_bare(size, GRANULE), size, caller, GRANULE, Call::Malloc) }
}

/// All others but calloc where nothing is checked, contents undefined.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe extern "C" fn allocate_bare(
    size: usize,
    caller: Caller,
    align: usize,
    call: Call,
) -> *mut u8 {
    // SAFETY: as the caller says.
    unsafe { or_fully(HEAP.allocate_bare(size, align), size, caller, align, call) }
}

/// The block, or one by the full path.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(always)]
unsafe fn or_fully(
    block: Option<NonNull<u8>>,
    size: usize,
    caller: Caller,
    align: usize,
    call: Call,
) -> *mut u8 {
    match block {
        Some(block) => block.as_ptr(),
        // SAFETY: as the caller says.
        None => unsafe { allocate_or_fail(size, caller, align, call) },
    }
}

/// Takes what it needs in registers: the short path spills nothing for it.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe extern "C" fn allocate_or_fail(
    size: usize,
    caller: Caller,
    align: usize,
    call: Call,
) -> *mut u8 {
    let most = options::number(Name::MaxAllocationSizeMb) << 20;
    if let Err(bad) = rules::size(call.name(), size, most) {
        return refuse(bad, libc::ENOMEM);
    }
    // SAFETY: as the caller says.
    let block = unsafe { allocate_fully(call.request(size, align), caller) };
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
    let finding = Finding::new(
        Defect::BadRequest(bad),
        Operation::Allocate,
        0,
        mallocop::sys::thread_number::number(),
        site,
    );
    if reporter::is_told(&finding) {
        return;
    }
    mallocop::sys::alt_stack::run(|| reporter::on_finding(&finding));
}

/// An aligned block for a call that takes any alignment.
///
/// # Safety
/// As for [`try_allocate`].
pub(crate) unsafe fn allocate_aligned(
    call: Call,
    align: usize,
    size: usize,
    caller: Caller,
) -> *mut u8 {
    let (bad, align) = rules::alignment(call.name(), align);
    if let Some(bad) = bad {
        warn(bad);
    }
    let Some(align) = align else {
        errno::set(libc::EINVAL);
        return ptr::null_mut();
    };
    // SAFETY: as the caller says.
    unsafe { allocate(call, size, align, caller) }
}

/// Frees; null is nothing.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(always)]
pub(crate) unsafe fn free(pointer: *mut u8, release: &Release, caller: Caller) {
    // SAFETY: as the caller says.
    unsafe {
        if HEAP.is_guarded() {
            free_guarded(pointer, release, caller);
        } else {
            free_bare(pointer, release, caller);
        }
    }
}

/// By free, as most blocks are; null is nothing.
///
/// # Safety
/// As for [`try_allocate`].
#[inline(always)]
pub(crate) unsafe fn free_plain(pointer: *mut u8, caller: Caller) {
    // SAFETY: as the caller says.
    unsafe {
        if !HEAP.is_guarded() {
            free_plain_bare(pointer, caller);
        } else if Sites::taken().is_some() {
            free_plain_guarded(pointer, caller);
        } else {
            free_plain_unsited(pointer, caller);
        }
    }
}

/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe extern "C" fn free_plain_bare(pointer: *mut u8, caller: Caller) {
    if pointer.is_null() || HEAP.free_bare(pointer as usize) {
        return;
    }
    // SAFETY: as the caller says.
    unsafe { free_fully(pointer, const { &Release::by(Operation::Free) }, caller) };
}

/// # Safety
/// As for [`try_allocate`], and stacks are taken.
#[inline(never)]
unsafe extern "C" fn free_plain_guarded(pointer: *mut u8, caller: Caller) {
    let release = const { &Release::by(Operation::Free) };
    // SAFETY: as the caller says.
    unsafe { free_here(pointer, release, caller, Some(Sites::assumed())) };
}

/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe extern "C" fn free_plain_unsited(pointer: *mut u8, caller: Caller) {
    // SAFETY: as the caller says.
    unsafe { free_here(pointer, const { &Release::by(Operation::Free) }, caller, None) };
}

/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe extern "C" fn free_guarded(pointer: *mut u8, release: &Release, caller: Caller) {
    // SAFETY: as the caller says.
    unsafe { free_here(pointer, release, caller, Sites::taken()) };
}

/// # Safety
/// As for [`try_allocate`].
#[inline(always)]
unsafe fn free_here(pointer: *mut u8, release: &Release, caller: Caller, sites: Option<Sites>) {
    // SAFETY: as the caller says.
    unsafe {
        if pointer.is_null() || HEAP.free_guarded(pointer as usize, release, caller, sites) {
            return;
        }
        free_fully(pointer, release, caller);
    }
}

/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe extern "C" fn free_bare(pointer: *mut u8, release: &Release, caller: Caller) {
    if pointer.is_null() || HEAP.free_bare(pointer as usize) {
        return;
    }
    // SAFETY: as the caller says.
    unsafe { free_fully(pointer, release, caller) };
}

/// # Safety
/// As for [`try_allocate`].
#[inline(never)]
unsafe extern "C" fn free_fully(pointer: *mut u8, release: &Release, caller: Caller) {
    // Before there is a heap, all there is comes from the early buffer, which keeps it.
    match start::heap() {
        // SAFETY: as the caller says.
        Some(_) if hooked::is_on() => unsafe { hooked::free(pointer, release, caller) },
        Some(heap) => heap.free(pointer as usize, release),
        None => {}
    }
}

/// realloc, once the size is known to be sound.
///
/// # Safety
/// As for [`try_allocate`].
pub(crate) unsafe fn resize(call: Call, pointer: *mut u8, size: usize, caller: Caller) -> *mut u8 {
    if pointer.is_null() {
        // SAFETY: as the caller says.
        return unsafe { allocate(call, size, GRANULE, caller) };
    }
    if size == 0 {
        // SAFETY: as the caller says.
        unsafe { free_plain(pointer, caller) };
        return ptr::null_mut();
    }
    let (request, release) = (Request::malloc(size), const { &Release::by(Operation::Realloc) });
    // SAFETY: as the caller says.
    if let Some(block) = unsafe { HEAP.move_quickly(pointer as usize, request, release, caller) } {
        return block.as_ptr();
    }
    let most = options::number(Name::MaxAllocationSizeMb) << 20;
    if let Err(bad) = rules::size(call.name(), size, most) {
        return refuse(bad, libc::ENOMEM);
    }
    let block = match start::heap() {
        // SAFETY: as the caller says.
        Some(_) if hooked::is_on() => unsafe { hooked::resize(pointer, request, release, caller) },
        Some(heap) => heap.resize(pointer as usize, request, release),
        None => ptr::null_mut(),
    };
    if block.is_null() {
        errno::set(libc::ENOMEM);
    }
    block
}
