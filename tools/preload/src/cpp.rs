//! The C++ symbols: every replaceable operator new and delete ([new.delete]).
//!
//! All are C-unwind: a new_handler or bad_alloc may be thrown through them.

use core::ffi::c_void;
use core::mem;

use mallocop::arch::Caller;
use mallocop::checks::{Release, Request};
use mallocop::model::finding::{AllocKind, Operation};
use mallocop::runtime::hooked::fault_injection;

use crate::malloc::{free, try_allocate};
use crate::operators::{Operator, next};
use crate::program_symbols::{look_behind, look_up};
use mallocop::entries;

type New = unsafe extern "C-unwind" fn(usize) -> *mut c_void;
type NewNothrow = unsafe extern "C-unwind" fn(usize, *const c_void) -> *mut c_void;
type AlignedNew = unsafe extern "C-unwind" fn(usize, usize) -> *mut c_void;
type AlignedNewNothrow = unsafe extern "C-unwind" fn(usize, usize, *const c_void) -> *mut c_void;
type Delete = unsafe extern "C-unwind" fn(*mut c_void);
type DeleteWord = unsafe extern "C-unwind" fn(*mut c_void, usize);
type DeleteTwoWords = unsafe extern "C-unwind" fn(*mut c_void, usize, usize);
type Handler = unsafe extern "C-unwind" fn();

/// A block for operator new, or null.
///
/// # Safety
/// `caller` holds the registers at the entry of the program's call.
unsafe fn try_new(size: usize, align: usize, kind: AllocKind, caller: Caller) -> *mut c_void {
    // operator new(0) is a block of its own, as malloc(0) is.
    if isize::try_from(size).is_err() || !align.is_power_of_two() {
        return core::ptr::null_mut();
    }
    // SAFETY: the caller of this function promises the same.
    unsafe { try_allocate(Request { size, align, kind, zeroed: false }, caller) }.cast()
}

/// operator new that throws: runs the new_handler until there is memory or none is set.
///
/// # Safety
/// As [`try_new`] asks.
unsafe fn new(size: usize, align: usize, kind: AllocKind, caller: Caller) -> *mut c_void {
    loop {
        // SAFETY: the caller of this function promises the same.
        let block = unsafe { try_new(size, align, kind, caller) };
        if !block.is_null() {
            return block;
        }
        // SAFETY: [new.handler]: the handler is made to be called here.
        unsafe {
            match new_handler() {
                Some(handler) => handler(),
                None => throw_bad_alloc(),
            }
        }
    }
}

/// `std::get_new_handler()`.
unsafe fn new_handler() -> Option<Handler> {
    let get = look_up(c"_ZSt15get_new_handlerv");
    if get.is_null() {
        return None;
    }
    // SAFETY: the symbol is `std::new_handler std::get_new_handler()`.
    unsafe { mem::transmute::<*mut c_void, extern "C-unwind" fn() -> Option<Handler>>(get)() }
}

/// `throw std::bad_alloc()`, by the C++ runtime's own hand.
unsafe fn throw_bad_alloc() {
    let throw = look_up(c"_ZSt17__throw_bad_allocv");
    if !throw.is_null() {
        // SAFETY: the symbol is `void std::__throw_bad_alloc()`.
        unsafe { mem::transmute::<*mut c_void, Handler>(throw)() }
    }
    // No C++ runtime that could throw: what an uncaught bad_alloc ends in.
    mallocop::sys::process::abort()
}

/// # Safety
/// As [`try_new`] asks.
unsafe fn delete(
    block: *mut c_void,
    kind: AllocKind,
    size: Option<usize>,
    align: Option<usize>,
    caller: Caller,
) {
    let release = Release::sized(Operation::Delete(kind), size, align);
    // SAFETY: the caller of this function promises the same.
    unsafe { free(block.cast(), &release, caller) };
}

macro_rules! forward {
    ($operator:ident, $kind:ty, ($($argument:expr),*)) => {
        let next = next(Operator::$operator);
        if !next.is_null() {
            // SAFETY: the same operator of the library behind us, with the same arguments.
            return unsafe { mem::transmute::<*mut c_void, $kind>(next)($($argument),*) };
        }
    };
}

/// A nothrow operator that found no memory: libstdc++'s runs the new_handler and catches.
macro_rules! or_behind {
    ($block:expr, $symbol:literal, $kind:ty, ($($argument:expr),*)) => {{
        let block = $block;
        // Behind it the same request would be made once more, and another one refused.
        let asks_behind = block.is_null() && !fault_injection::is_planned();
        let behind = if asks_behind { look_behind($symbol) } else { core::ptr::null_mut() };
        if behind.is_null() {
            return block;
        }
        // SAFETY: the same operator of the library behind us, with the same arguments.
        unsafe { mem::transmute::<*mut c_void, $kind>(behind)($($argument),*) }
    }};
}

entries! {
    "C-unwind";
    _Znwm(1) => new_from(size: usize) -> *mut c_void,
    _Znam(1) => new_array_from(size: usize) -> *mut c_void,
    _ZnwmRKSt9nothrow_t(2) => new_nothrow_from(size: usize, tag: *const c_void) -> *mut c_void,
    _ZnamRKSt9nothrow_t(2) =>
        new_array_nothrow_from(size: usize, tag: *const c_void) -> *mut c_void,
    _ZnwmSt11align_val_t(2) => aligned_new_from(size: usize, align: usize) -> *mut c_void,
    _ZnamSt11align_val_t(2) => aligned_new_array_from(size: usize, align: usize) -> *mut c_void,
    _ZnwmSt11align_val_tRKSt9nothrow_t(3) =>
        aligned_new_nothrow_from(size: usize, align: usize, tag: *const c_void) -> *mut c_void,
    _ZnamSt11align_val_tRKSt9nothrow_t(3) =>
        aligned_new_array_nothrow_from(size: usize, align: usize, tag: *const c_void)
            -> *mut c_void,
    _ZdlPv(1) => delete_from(block: *mut c_void),
    _ZdaPv(1) => delete_array_from(block: *mut c_void),
    _ZdlPvm(2) => delete_sized_from(block: *mut c_void, size: usize),
    _ZdaPvm(2) => delete_array_sized_from(block: *mut c_void, size: usize),
    _ZdlPvRKSt9nothrow_t(2) => delete_nothrow_from(block: *mut c_void, tag: usize),
    _ZdaPvRKSt9nothrow_t(2) => delete_array_nothrow_from(block: *mut c_void, tag: usize),
    _ZdlPvSt11align_val_t(2) => aligned_delete_from(block: *mut c_void, align: usize),
    _ZdaPvSt11align_val_t(2) => aligned_delete_array_from(block: *mut c_void, align: usize),
    _ZdlPvmSt11align_val_t(3) =>
        aligned_delete_sized_from(block: *mut c_void, size: usize, align: usize),
    _ZdaPvmSt11align_val_t(3) =>
        aligned_delete_array_sized_from(block: *mut c_void, size: usize, align: usize),
    _ZdlPvSt11align_val_tRKSt9nothrow_t(3) =>
        aligned_delete_nothrow_from(block: *mut c_void, align: usize, tag: usize),
    _ZdaPvSt11align_val_tRKSt9nothrow_t(3) =>
        aligned_delete_array_nothrow_from(block: *mut c_void, align: usize, tag: usize),
}

unsafe extern "C-unwind" fn new_from(size: usize, caller: Caller) -> *mut c_void {
    // SAFETY: the entry gives the registers.
    unsafe { new(size, 16, AllocKind::New, caller) }
}

unsafe extern "C-unwind" fn new_array_from(size: usize, caller: Caller) -> *mut c_void {
    forward!(NewArray, New, (size));
    // SAFETY: the entry gives the registers.
    unsafe { new(size, 16, AllocKind::NewArray, caller) }
}

unsafe extern "C-unwind" fn new_nothrow_from(
    size: usize,
    tag: *const c_void,
    caller: Caller,
) -> *mut c_void {
    forward!(NewNothrow, NewNothrow, (size, tag));
    // SAFETY: the entry gives the registers.
    let block = unsafe { try_new(size, 16, AllocKind::New, caller) };
    or_behind!(block, c"_ZnwmRKSt9nothrow_t", NewNothrow, (size, tag))
}

unsafe extern "C-unwind" fn new_array_nothrow_from(
    size: usize,
    tag: *const c_void,
    caller: Caller,
) -> *mut c_void {
    forward!(NewArrayNothrow, NewNothrow, (size, tag));
    // SAFETY: the entry gives the registers.
    let block = unsafe { try_new(size, 16, AllocKind::NewArray, caller) };
    or_behind!(block, c"_ZnamRKSt9nothrow_t", NewNothrow, (size, tag))
}

unsafe extern "C-unwind" fn aligned_new_from(
    size: usize,
    align: usize,
    caller: Caller,
) -> *mut c_void {
    // SAFETY: the entry gives the registers.
    unsafe { new(size, align, AllocKind::AlignedNew, caller) }
}

unsafe extern "C-unwind" fn aligned_new_array_from(
    size: usize,
    align: usize,
    caller: Caller,
) -> *mut c_void {
    forward!(AlignedNewArray, AlignedNew, (size, align));
    // SAFETY: the entry gives the registers.
    unsafe { new(size, align, AllocKind::AlignedNewArray, caller) }
}

unsafe extern "C-unwind" fn aligned_new_nothrow_from(
    size: usize,
    align: usize,
    tag: *const c_void,
    caller: Caller,
) -> *mut c_void {
    forward!(AlignedNewNothrow, AlignedNewNothrow, (size, align, tag));
    // SAFETY: the entry gives the registers.
    let block = unsafe { try_new(size, align, AllocKind::AlignedNew, caller) };
    or_behind!(block, c"_ZnwmSt11align_val_tRKSt9nothrow_t", AlignedNewNothrow, (size, align, tag))
}

unsafe extern "C-unwind" fn aligned_new_array_nothrow_from(
    size: usize,
    align: usize,
    tag: *const c_void,
    caller: Caller,
) -> *mut c_void {
    forward!(AlignedNewArrayNothrow, AlignedNewNothrow, (size, align, tag));
    // SAFETY: the entry gives the registers.
    let block = unsafe { try_new(size, align, AllocKind::AlignedNewArray, caller) };
    or_behind!(block, c"_ZnamSt11align_val_tRKSt9nothrow_t", AlignedNewNothrow, (size, align, tag))
}

unsafe extern "C-unwind" fn delete_from(block: *mut c_void, caller: Caller) {
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::New, None, None, caller) };
}

unsafe extern "C-unwind" fn delete_array_from(block: *mut c_void, caller: Caller) {
    forward!(DeleteArray, Delete, (block));
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::NewArray, None, None, caller) };
}

unsafe extern "C-unwind" fn delete_sized_from(block: *mut c_void, size: usize, caller: Caller) {
    forward!(DeleteSized, DeleteWord, (block, size));
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::New, Some(size), None, caller) };
}

unsafe extern "C-unwind" fn delete_array_sized_from(
    block: *mut c_void,
    size: usize,
    caller: Caller,
) {
    forward!(DeleteArraySized, DeleteWord, (block, size));
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::NewArray, Some(size), None, caller) };
}

unsafe extern "C-unwind" fn delete_nothrow_from(block: *mut c_void, tag: usize, caller: Caller) {
    forward!(DeleteNothrow, DeleteWord, (block, tag));
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::New, None, None, caller) };
}

unsafe extern "C-unwind" fn delete_array_nothrow_from(
    block: *mut c_void,
    tag: usize,
    caller: Caller,
) {
    forward!(DeleteArrayNothrow, DeleteWord, (block, tag));
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::NewArray, None, None, caller) };
}

unsafe extern "C-unwind" fn aligned_delete_from(block: *mut c_void, align: usize, caller: Caller) {
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::AlignedNew, None, Some(align), caller) };
}

unsafe extern "C-unwind" fn aligned_delete_array_from(
    block: *mut c_void,
    align: usize,
    caller: Caller,
) {
    forward!(AlignedDeleteArray, DeleteWord, (block, align));
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::AlignedNewArray, None, Some(align), caller) };
}

unsafe extern "C-unwind" fn aligned_delete_sized_from(
    block: *mut c_void,
    size: usize,
    align: usize,
    caller: Caller,
) {
    forward!(AlignedDeleteSized, DeleteTwoWords, (block, size, align));
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::AlignedNew, Some(size), Some(align), caller) };
}

unsafe extern "C-unwind" fn aligned_delete_array_sized_from(
    block: *mut c_void,
    size: usize,
    align: usize,
    caller: Caller,
) {
    forward!(AlignedDeleteArraySized, DeleteTwoWords, (block, size, align));
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::AlignedNewArray, Some(size), Some(align), caller) };
}

unsafe extern "C-unwind" fn aligned_delete_nothrow_from(
    block: *mut c_void,
    align: usize,
    tag: usize,
    caller: Caller,
) {
    forward!(AlignedDeleteNothrow, DeleteTwoWords, (block, align, tag));
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::AlignedNew, None, Some(align), caller) };
}

unsafe extern "C-unwind" fn aligned_delete_array_nothrow_from(
    block: *mut c_void,
    align: usize,
    tag: usize,
    caller: Caller,
) {
    forward!(AlignedDeleteArrayNothrow, DeleteTwoWords, (block, align, tag));
    // SAFETY: the entry gives the registers.
    unsafe { delete(block, AllocKind::AlignedNewArray, None, Some(align), caller) };
}
