//! The C++ symbols: every replaceable operator new and delete ([new.delete]).
//!
//! All are C-unwind: a new_handler or bad_alloc may be thrown through them.

use core::ffi::c_void;
use core::mem;

use mallocop::debug::{Release, Request};
use mallocop::finding::{Kind, Operation};

use crate::malloc::{free, try_allocate};
use crate::operators::{Operator, look_behind, look_up, next};

type New = unsafe extern "C-unwind" fn(usize) -> *mut c_void;
type NewNothrow = unsafe extern "C-unwind" fn(usize, *const c_void) -> *mut c_void;
type AlignedNew = unsafe extern "C-unwind" fn(usize, usize) -> *mut c_void;
type AlignedNewNothrow = unsafe extern "C-unwind" fn(usize, usize, *const c_void) -> *mut c_void;
type Delete = unsafe extern "C-unwind" fn(*mut c_void);
type DeleteWord = unsafe extern "C-unwind" fn(*mut c_void, usize);
type DeleteTwoWords = unsafe extern "C-unwind" fn(*mut c_void, usize, usize);
type Handler = unsafe extern "C-unwind" fn();

/// A block for operator new, or null.
fn try_new(size: usize, align: usize, kind: Kind) -> *mut c_void {
    // operator new(0) is a block of its own, as malloc(0) is.
    if isize::try_from(size).is_err() || !align.is_power_of_two() {
        return core::ptr::null_mut();
    }
    try_allocate(Request { size, align, kind, zeroed: false }).cast()
}

/// operator new that throws: runs the new_handler until there is memory or none is set.
unsafe fn new(size: usize, align: usize, kind: Kind) -> *mut c_void {
    loop {
        let block = try_new(size, align, kind);
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

fn delete(block: *mut c_void, kind: Kind, size: Option<usize>, align: Option<usize>) {
    free(block.cast(), &Release::sized(Operation::Delete(kind), size, align));
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
        let behind = if block.is_null() { look_behind($symbol) } else { core::ptr::null_mut() };
        if behind.is_null() {
            return block;
        }
        // SAFETY: the same operator of the library behind us, with the same arguments.
        unsafe { mem::transmute::<*mut c_void, $kind>(behind)($($argument),*) }
    }};
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _Znwm(size: usize) -> *mut c_void {
    // SAFETY: an operator new that may throw.
    unsafe { new(size, 16, Kind::New) }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _Znam(size: usize) -> *mut c_void {
    forward!(NewArray, New, (size));
    // SAFETY: as in `_Znwm`.
    unsafe { new(size, 16, Kind::NewArray) }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZnwmRKSt9nothrow_t(size: usize, tag: *const c_void) -> *mut c_void {
    forward!(NewNothrow, NewNothrow, (size, tag));
    or_behind!(try_new(size, 16, Kind::New), c"_ZnwmRKSt9nothrow_t", NewNothrow, (size, tag))
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZnamRKSt9nothrow_t(size: usize, tag: *const c_void) -> *mut c_void {
    forward!(NewArrayNothrow, NewNothrow, (size, tag));
    or_behind!(try_new(size, 16, Kind::NewArray), c"_ZnamRKSt9nothrow_t", NewNothrow, (size, tag))
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZnwmSt11align_val_t(size: usize, align: usize) -> *mut c_void {
    // SAFETY: as in `_Znwm`.
    unsafe { new(size, align, Kind::AlignedNew) }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZnamSt11align_val_t(size: usize, align: usize) -> *mut c_void {
    forward!(AlignedNewArray, AlignedNew, (size, align));
    // SAFETY: as in `_Znwm`.
    unsafe { new(size, align, Kind::AlignedNewArray) }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZnwmSt11align_val_tRKSt9nothrow_t(
    size: usize,
    align: usize,
    tag: *const c_void,
) -> *mut c_void {
    forward!(AlignedNewNothrow, AlignedNewNothrow, (size, align, tag));
    let block = try_new(size, align, Kind::AlignedNew);
    or_behind!(block, c"_ZnwmSt11align_val_tRKSt9nothrow_t", AlignedNewNothrow, (size, align, tag))
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZnamSt11align_val_tRKSt9nothrow_t(
    size: usize,
    align: usize,
    tag: *const c_void,
) -> *mut c_void {
    forward!(AlignedNewArrayNothrow, AlignedNewNothrow, (size, align, tag));
    let block = try_new(size, align, Kind::AlignedNewArray);
    or_behind!(block, c"_ZnamSt11align_val_tRKSt9nothrow_t", AlignedNewNothrow, (size, align, tag))
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdlPv(block: *mut c_void) {
    delete(block, Kind::New, None, None);
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdaPv(block: *mut c_void) {
    forward!(DeleteArray, Delete, (block));
    delete(block, Kind::NewArray, None, None);
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdlPvm(block: *mut c_void, size: usize) {
    forward!(DeleteSized, DeleteWord, (block, size));
    delete(block, Kind::New, Some(size), None);
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdaPvm(block: *mut c_void, size: usize) {
    forward!(DeleteArraySized, DeleteWord, (block, size));
    delete(block, Kind::NewArray, Some(size), None);
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdlPvRKSt9nothrow_t(block: *mut c_void, tag: usize) {
    forward!(DeleteNothrow, DeleteWord, (block, tag));
    delete(block, Kind::New, None, None);
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdaPvRKSt9nothrow_t(block: *mut c_void, tag: usize) {
    forward!(DeleteArrayNothrow, DeleteWord, (block, tag));
    delete(block, Kind::NewArray, None, None);
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdlPvSt11align_val_t(block: *mut c_void, align: usize) {
    delete(block, Kind::AlignedNew, None, Some(align));
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdaPvSt11align_val_t(block: *mut c_void, align: usize) {
    forward!(AlignedDeleteArray, DeleteWord, (block, align));
    delete(block, Kind::AlignedNewArray, None, Some(align));
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdlPvmSt11align_val_t(block: *mut c_void, size: usize, align: usize) {
    forward!(AlignedDeleteSized, DeleteTwoWords, (block, size, align));
    delete(block, Kind::AlignedNew, Some(size), Some(align));
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdaPvmSt11align_val_t(block: *mut c_void, size: usize, align: usize) {
    forward!(AlignedDeleteArraySized, DeleteTwoWords, (block, size, align));
    delete(block, Kind::AlignedNewArray, Some(size), Some(align));
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdlPvSt11align_val_tRKSt9nothrow_t(
    block: *mut c_void,
    align: usize,
    tag: usize,
) {
    forward!(AlignedDeleteNothrow, DeleteTwoWords, (block, align, tag));
    delete(block, Kind::AlignedNew, None, Some(align));
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _ZdaPvSt11align_val_tRKSt9nothrow_t(
    block: *mut c_void,
    align: usize,
    tag: usize,
) {
    forward!(AlignedDeleteArrayNothrow, DeleteTwoWords, (block, align, tag));
    delete(block, Kind::AlignedNewArray, None, Some(align));
}
