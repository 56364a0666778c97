//! The C symbols.

use core::ffi::{c_int, c_void};

use mallocop::arch::Caller;
use mallocop::checks::Release;
use mallocop::heap::size::{GRANULE, PAGE};
use mallocop::model::finding::Operation;

use crate::call::Call;
use crate::malloc::{allocate, allocate_aligned, free as give_back, free_plain, refuse, resize};
use crate::{HEAP, rules, start};
use mallocop::entries;

entries! {
    "C";
    malloc(1) => malloc_from(size: usize) -> *mut c_void,
    calloc(2) => calloc_from(count: usize, size: usize) -> *mut c_void,
    realloc(2) => realloc_from(pointer: *mut c_void, size: usize) -> *mut c_void,
    reallocarray(3) =>
        reallocarray_from(pointer: *mut c_void, count: usize, size: usize) -> *mut c_void,
    free(1) => free_from(pointer: *mut c_void),
    cfree(1) => free_from(pointer: *mut c_void),
    free_sized(2) => free_sized_from(pointer: *mut c_void, size: usize),
    free_aligned_sized(3) =>
        free_aligned_sized_from(pointer: *mut c_void, align: usize, size: usize),
    aligned_alloc(2) => aligned_alloc_from(align: usize, size: usize) -> *mut c_void,
    memalign(2) => memalign_from(align: usize, size: usize) -> *mut c_void,
    posix_memalign(3) =>
        posix_memalign_from(out: *mut *mut c_void, align: usize, size: usize) -> c_int,
    valloc(1) => valloc_from(size: usize) -> *mut c_void,
    pvalloc(1) => pvalloc_from(size: usize) -> *mut c_void,
    // glibc exports its own under these names, too; a block from one must be known to the other.
    __libc_malloc(1) => malloc_from(size: usize) -> *mut c_void,
    __libc_calloc(2) => calloc_from(count: usize, size: usize) -> *mut c_void,
    __libc_realloc(2) => realloc_from(pointer: *mut c_void, size: usize) -> *mut c_void,
    __libc_memalign(2) => memalign_from(align: usize, size: usize) -> *mut c_void,
    __libc_free(1) => free_from(pointer: *mut c_void),
}

unsafe extern "C" fn malloc_from(size: usize, caller: Caller) -> *mut c_void {
    // SAFETY: the entry gives the registers.
    unsafe { allocate(Call::Malloc, size, GRANULE, caller) }.cast()
}

unsafe extern "C" fn calloc_from(count: usize, size: usize, caller: Caller) -> *mut c_void {
    match rules::product("calloc", count, size) {
        // SAFETY: the entry gives the registers.
        Ok(size) => unsafe { allocate(Call::Calloc, size, GRANULE, caller) }.cast(),
        Err(bad) => refuse(bad, libc::ENOMEM).cast(),
    }
}

unsafe extern "C" fn realloc_from(
    pointer: *mut c_void,
    size: usize,
    caller: Caller,
) -> *mut c_void {
    // SAFETY: the entry gives the registers.
    unsafe { resize(Call::Realloc, pointer.cast(), size, caller) }.cast()
}

unsafe extern "C" fn reallocarray_from(
    pointer: *mut c_void,
    count: usize,
    size: usize,
    caller: Caller,
) -> *mut c_void {
    match rules::product("reallocarray", count, size) {
        // SAFETY: the entry gives the registers.
        Ok(size) => unsafe { resize(Call::Reallocarray, pointer.cast(), size, caller) }.cast(),
        Err(bad) => refuse(bad, libc::ENOMEM).cast(),
    }
}

unsafe extern "C" fn free_from(pointer: *mut c_void, caller: Caller) {
    // SAFETY: the entry gives the registers.
    unsafe { free_plain(pointer.cast(), caller) };
}

unsafe extern "C" fn free_sized_from(pointer: *mut c_void, size: usize, caller: Caller) {
    let release = Release::sized(Operation::FreeSized, Some(size), None);
    // SAFETY: the entry gives the registers.
    unsafe { give_back(pointer.cast(), &release, caller) };
}

unsafe extern "C" fn free_aligned_sized_from(
    pointer: *mut c_void,
    align: usize,
    size: usize,
    caller: Caller,
) {
    let release = Release::sized(Operation::FreeSized, Some(size), Some(align));
    // SAFETY: the entry gives the registers.
    unsafe { give_back(pointer.cast(), &release, caller) };
}

unsafe extern "C" fn aligned_alloc_from(align: usize, size: usize, caller: Caller) -> *mut c_void {
    // SAFETY: the entry gives the registers.
    unsafe { allocate_aligned(Call::AlignedAlloc, align, size, caller) }.cast()
}

unsafe extern "C" fn memalign_from(align: usize, size: usize, caller: Caller) -> *mut c_void {
    // SAFETY: the entry gives the registers.
    unsafe { allocate_aligned(Call::Memalign, align, size, caller) }.cast()
}

/// Unlike the others it leaves errno alone and returns the code.
unsafe extern "C" fn posix_memalign_from(
    out: *mut *mut c_void,
    align: usize,
    size: usize,
    caller: Caller,
) -> c_int {
    let align = match rules::posix_alignment(align) {
        Ok(align) => align,
        Err(bad) => {
            crate::malloc::warn(bad);
            return libc::EINVAL;
        }
    };
    // SAFETY: the entry gives the registers. Without memory errno is ENOMEM, too, as with glibc.
    let block = unsafe { allocate(Call::PosixMemalign, size, align, caller) };
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: `out` is writable, as posix_memalign(3) demands.
    unsafe { out.write(block.cast()) };
    0
}

unsafe extern "C" fn valloc_from(size: usize, caller: Caller) -> *mut c_void {
    // SAFETY: the entry gives the registers.
    unsafe { allocate_aligned(Call::Valloc, PAGE, size, caller) }.cast()
}

unsafe extern "C" fn pvalloc_from(size: usize, caller: Caller) -> *mut c_void {
    match rules::whole_pages(size) {
        // SAFETY: the entry gives the registers.
        Ok(size) => unsafe { allocate_aligned(Call::Pvalloc, PAGE, size, caller) }.cast(),
        Err(bad) => refuse(bad, libc::ENOMEM).cast(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn malloc_usable_size(pointer: *mut c_void) -> usize {
    match HEAP.usable_size_fast(pointer as usize) {
        Some(size) => size,
        None => usable_size_slow(pointer),
    }
}

#[inline(never)]
extern "C" fn usable_size_slow(pointer: *mut c_void) -> usize {
    start::heap().map_or(0, |heap| heap.usable_size(pointer as usize))
}

#[unsafe(no_mangle)]
extern "C" fn malloc_trim(pad: usize) -> c_int {
    c_int::from(start::heap().is_some_and(|heap| heap.trim(pad)))
}

/// glibc's tunables by malloc.h's numbers. 0: the value is out of the parameter's range; 1 else, as
/// glibc answers for parameters that it does not know, too.
#[unsafe(no_mangle)]
extern "C" fn mallopt(parameter: c_int, value: c_int) -> c_int {
    const M_MXFAST: c_int = 1;
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_MMAP_THRESHOLD: c_int = -3;
    const MOST_FAST: usize = 160;
    let bytes = usize::try_from(value).ok();
    if let Some(heap) = start::heap() {
        match parameter {
            M_TRIM_THRESHOLD => heap.tune(None, Some(bytes.unwrap_or(usize::MAX / 2))),
            M_MMAP_THRESHOLD => heap.tune(bytes, None),
            _ => {}
        }
    }
    c_int::from(parameter != M_MXFAST || bytes.is_some_and(|bytes| bytes <= MOST_FAST))
}
