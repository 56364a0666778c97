//! The calls behind the symbols: argument rules, the heap, errno.

use core::ptr::{self, NonNull};

use mallocop::arch::Caller;
use mallocop::checks::fast_path::{self, Any, Bare, Checked, Mode, Traced};
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
    // SAFETY: the caller of this function promises the same; any mode is the process's.
    match unsafe { fast_path::allocate::<Any>(&HEAP, request, caller) } {
        Some(block) => block.as_ptr(),
        // SAFETY: the caller of this function promises the same.
        None => unsafe { allocate_slowly(request, caller) },
    }
}

/// # Safety
/// As [`try_allocate`] asks.
#[inline(never)]
unsafe fn allocate_slowly(request: Request, caller: Caller) -> *mut u8 {
    if thread::is_relocated() {
        test_scope::note_thread();
    }
    match start::heap() {
        // SAFETY: the caller of this function promises the same.
        Some(_) if hooked::is_on() => unsafe { hooked::allocate(request, caller) },
        Some(heap) => heap.allocate(request),
        None => early::allocate(request.size, request.align),
    }
}

/// Allocates; on failure errno is ENOMEM and the result null.
///
/// # Safety
/// As [`try_allocate`] asks.
#[inline(always)]
pub(crate) unsafe fn allocate(call: Call, size: usize, align: usize, caller: Caller) -> *mut u8 {
    // SAFETY: the caller of this function promises the same; each mode is asked for first.
    unsafe {
        match (call, HEAP.is_checked()) {
            (Call::Malloc, true) if Sites::taken().is_some() => malloc::<Traced>(size, caller),
            (Call::Malloc, true) => malloc::<Checked>(size, caller),
            (Call::Malloc, false) => malloc::<Bare>(size, caller),
            (Call::Calloc, _) | (_, true) => allocate_as::<Any, true>(size, caller, align, call),
            (_, false) => allocate_as::<Bare, false>(size, caller, align, call),
        }
    }
}

/// malloc, which most calls are. `extern "C"`, as what it goes on to: what does not unwind can be
/// jumped to.
///
/// # Safety
/// As [`try_allocate`] asks; the process is in mode `M`.
#[inline(never)]
unsafe extern "C" fn malloc<M: Mode>(size: usize, caller: Caller) -> *mut u8 {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        let block = fast_path::allocate::<M>(&HEAP, Request::malloc(size), caller);
        or_slowly(block, size, caller, GRANULE, Call::Malloc)
    }
}

/// All other calls of C's; calloc only where the bytes may be asked for as 0 (`MAY_ZERO`).
///
/// # Safety
/// As [`try_allocate`] asks; the process is in mode `M`.
#[inline(never)]
unsafe extern "C" fn allocate_as<M: Mode, const MAY_ZERO: bool>(
    size: usize,
    caller: Caller,
    align: usize,
    call: Call,
) -> *mut u8 {
    let request = call.request(size, align);
    let request = Request { zeroed: MAY_ZERO && request.zeroed, ..request };
    // SAFETY: the caller of this function promises the same.
    unsafe {
        let block = fast_path::allocate::<M>(&HEAP, request, caller);
        or_slowly(block, size, caller, align, call)
    }
}

/// The block, or one by the slow path.
///
/// # Safety
/// As [`try_allocate`] asks.
#[inline(always)]
unsafe fn or_slowly(
    block: Option<NonNull<u8>>,
    size: usize,
    caller: Caller,
    align: usize,
    call: Call,
) -> *mut u8 {
    match block {
        Some(block) => block.as_ptr(),
        // SAFETY: the caller of this function promises the same.
        None => unsafe { allocate_or_fail(size, caller, align, call) },
    }
}

/// Takes what it needs in registers: the fast path spills nothing for it.
///
/// # Safety
/// As [`try_allocate`] asks.
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
    // SAFETY: the caller of this function promises the same.
    let block = unsafe { allocate_slowly(call.request(size, align), caller) };
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
    if start::heap().is_none() || thread::is_critical() {
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
    if reporter::was_reported(&finding) {
        return;
    }
    mallocop::sys::alt_stack::run(|| reporter::on_finding(&finding));
}

/// An aligned block for a call that takes any alignment.
///
/// # Safety
/// As [`try_allocate`] asks.
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
    // SAFETY: the caller of this function promises the same.
    unsafe { allocate(call, size, align, caller) }
}

/// Frees; null is nothing.
///
/// # Safety
/// As [`try_allocate`] asks.
#[inline(always)]
pub(crate) unsafe fn free(pointer: *mut u8, release: &Release, caller: Caller) {
    // SAFETY: the caller of this function promises the same; each mode is asked for first.
    unsafe {
        match HEAP.is_checked() {
            true => free_as::<Any>(pointer, release, caller),
            false => free_as::<Bare>(pointer, release, caller),
        }
    }
}

/// By free, as most blocks are; null is nothing.
///
/// # Safety
/// As [`try_allocate`] asks.
#[inline(always)]
pub(crate) unsafe fn free_plain(pointer: *mut u8, caller: Caller) {
    // SAFETY: the caller of this function promises the same; each mode is asked for first.
    unsafe {
        if !HEAP.is_checked() {
            free_plain_as::<Bare>(pointer, caller);
        } else if Sites::taken().is_some() {
            free_plain_as::<Traced>(pointer, caller);
        } else {
            free_plain_as::<Checked>(pointer, caller);
        }
    }
}

/// # Safety
/// As [`try_allocate`] asks; the process is in mode `M`.
#[inline(never)]
unsafe extern "C" fn free_plain_as<M: Mode>(pointer: *mut u8, caller: Caller) {
    let release = const { &Release::by(Operation::Free) };
    // SAFETY: the caller of this function promises the same.
    unsafe { free_here::<M>(pointer, release, caller) };
}

/// # Safety
/// As [`try_allocate`] asks; the process is in mode `M`.
#[inline(never)]
unsafe extern "C" fn free_as<M: Mode>(pointer: *mut u8, release: &Release, caller: Caller) {
    // SAFETY: the caller of this function promises the same.
    unsafe { free_here::<M>(pointer, release, caller) };
}

/// # Safety
/// As [`try_allocate`] asks; the process is in mode `M`.
#[inline(always)]
unsafe fn free_here<M: Mode>(pointer: *mut u8, release: &Release, caller: Caller) {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        if pointer.is_null() || fast_path::free::<M>(&HEAP, pointer as usize, release, caller) {
            return;
        }
        free_slowly(pointer, release, caller);
    }
}

/// # Safety
/// As [`try_allocate`] asks.
#[inline(never)]
unsafe extern "C" fn free_slowly(pointer: *mut u8, release: &Release, caller: Caller) {
    // Before there is a heap, all there is comes from the early buffer, which keeps it.
    match start::heap() {
        // SAFETY: the caller of this function promises the same.
        Some(_) if hooked::is_on() => unsafe { hooked::free(pointer, release, caller) },
        Some(heap) => heap.free(pointer as usize, release),
        None => {}
    }
}

/// realloc, once the size is known to be sound.
///
/// # Safety
/// As [`try_allocate`] asks.
pub(crate) unsafe fn resize(call: Call, pointer: *mut u8, size: usize, caller: Caller) -> *mut u8 {
    if pointer.is_null() {
        // SAFETY: the caller of this function promises the same.
        return unsafe { allocate(call, size, GRANULE, caller) };
    }
    if size == 0 {
        // SAFETY: the caller of this function promises the same.
        unsafe { free_plain(pointer, caller) };
        return ptr::null_mut();
    }
    let (request, release) = (Request::malloc(size), const { &Release::by(Operation::Realloc) });
    // SAFETY: the caller of this function promises the same; any mode is the process's.
    let block =
        unsafe { fast_path::reallocate::<Any>(&HEAP, pointer as usize, request, release, caller) };
    if let Some(block) = block {
        return block.as_ptr();
    }
    let most = options::number(Name::MaxAllocationSizeMb) << 20;
    if let Err(bad) = rules::size(call.name(), size, most) {
        return refuse(bad, libc::ENOMEM);
    }
    let block = match start::heap() {
        // SAFETY: the caller of this function promises the same.
        Some(_) if hooked::is_on() => unsafe { hooked::resize(pointer, request, release, caller) },
        Some(heap) => heap.resize(pointer as usize, request, release),
        None => ptr::null_mut(),
    };
    if block.is_null() {
        errno::set(libc::ENOMEM);
    }
    block
}
