//! The C symbols.

use core::ffi::{c_int, c_void};

use mallocop::debug::{Release, Request};
use mallocop::finding::{Kind, Operation};
use mallocop::heap::size::PAGE;

use crate::malloc::{allocate, allocate_aligned, free as give_back, refuse, resize};
use crate::{HEAP, rules, start};

#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    allocate("malloc", Request::malloc(size)).cast()
}

#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match rules::product("calloc", count, size) {
        Ok(size) => allocate("calloc", Request { zeroed: true, ..Request::malloc(size) }).cast(),
        Err(bad) => refuse(bad, libc::ENOMEM).cast(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
    resize("realloc", pointer.cast(), size).cast()
}

#[unsafe(no_mangle)]
extern "C" fn reallocarray(pointer: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match rules::product("reallocarray", count, size) {
        Ok(size) => resize("reallocarray", pointer.cast(), size).cast(),
        Err(bad) => refuse(bad, libc::ENOMEM).cast(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn free(pointer: *mut c_void) {
    give_back(pointer.cast(), const { &Release::by(Operation::Free) });
}

#[unsafe(no_mangle)]
extern "C" fn cfree(pointer: *mut c_void) {
    give_back(pointer.cast(), const { &Release::by(Operation::Free) });
}

#[unsafe(no_mangle)]
extern "C" fn free_sized(pointer: *mut c_void, size: usize) {
    give_back(pointer.cast(), &Release::sized(Operation::FreeSized, Some(size), None));
}

#[unsafe(no_mangle)]
extern "C" fn free_aligned_sized(pointer: *mut c_void, align: usize, size: usize) {
    give_back(pointer.cast(), &Release::sized(Operation::FreeSized, Some(size), Some(align)));
}

#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    allocate_aligned("aligned_alloc", align, size).cast()
}

#[unsafe(no_mangle)]
extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    allocate_aligned("memalign", align, size).cast()
}

/// Unlike the others it leaves errno alone and returns the code.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    let align = match rules::posix_alignment(align) {
        Ok(align) => align,
        Err(bad) => {
            crate::malloc::warn(bad);
            return libc::EINVAL;
        }
    };
    let request = Request { size, align, kind: Kind::Memalign, zeroed: false };
    let block = mallocop::sys::errno::preserve(|| allocate("posix_memalign", request));
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: `out` is writable, as posix_memalign(3) demands.
    unsafe { out.write(block.cast()) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn valloc(size: usize) -> *mut c_void {
    allocate_aligned("valloc", PAGE, size).cast()
}

#[unsafe(no_mangle)]
extern "C" fn pvalloc(size: usize) -> *mut c_void {
    match rules::whole_pages(size) {
        Ok(size) => allocate_aligned("pvalloc", PAGE, size).cast(),
        Err(bad) => refuse(bad, libc::ENOMEM).cast(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn malloc_usable_size(pointer: *mut c_void) -> usize {
    match HEAP.usable_quickly(pointer as usize) {
        Some(size) => size,
        None => start::heap().map_or(0, |heap| heap.usable_size(pointer as usize)),
    }
}

#[unsafe(no_mangle)]
extern "C" fn malloc_trim(pad: usize) -> c_int {
    c_int::from(start::heap().is_some_and(|heap| heap.trim(pad)))
}

/// Verifies every live block and every freed one that waits; each damaged one is reported.
/// Returns their number.
#[unsafe(no_mangle)]
extern "C" fn mallocop_check() -> c_int {
    if start::heap().is_none() || !mallocop::sys::thread::is_outside() {
        return 0;
    }
    let found = {
        let _work = mallocop::sys::thread::ToolWork::begin();
        HEAP.freeze();
        let found = HEAP.check_all(Operation::Check);
        HEAP.thaw();
        found
    };
    c_int::try_from(found).unwrap_or(c_int::MAX)
}

/// glibc's tunables by malloc.h's numbers. 1: known; 0: not.
#[unsafe(no_mangle)]
extern "C" fn mallopt(parameter: c_int, value: c_int) -> c_int {
    const M_MXFAST: c_int = 1;
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_MMAP_THRESHOLD: c_int = -3;
    const M_ARENA_MAX: c_int = -8;
    let bytes = usize::try_from(value).ok();
    if let Some(heap) = start::heap() {
        match parameter {
            M_TRIM_THRESHOLD => heap.tune(None, Some(bytes.unwrap_or(usize::MAX / 2))),
            M_MMAP_THRESHOLD => heap.tune(bytes, None),
            _ => {}
        }
    }
    c_int::from(parameter == M_MXFAST || (M_ARENA_MAX..0).contains(&parameter))
}

/// glibc exports its own under these names, too; a block from one must be known to the other.
#[unsafe(no_mangle)]
extern "C" fn __libc_malloc(size: usize) -> *mut c_void {
    malloc(size)
}

#[unsafe(no_mangle)]
extern "C" fn __libc_calloc(count: usize, size: usize) -> *mut c_void {
    calloc(count, size)
}

#[unsafe(no_mangle)]
extern "C" fn __libc_realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
    realloc(pointer, size)
}

#[unsafe(no_mangle)]
extern "C" fn __libc_memalign(align: usize, size: usize) -> *mut c_void {
    memalign(align, size)
}

#[unsafe(no_mangle)]
extern "C" fn __libc_free(pointer: *mut c_void) {
    free(pointer);
}
