//! The table by which Rust's global allocator in the program finds this heap.

use mallocop::abi::rust_global;
use mallocop::abi::shared_heap::{SharedHeap, begin_scope, end_scope, statistics};
use mallocop::arch::Caller;
use mallocop::sys::thread::Call;

use crate::start;

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the name of a C symbol")]
static mallocop_shared_heap_1: SharedHeap =
    SharedHeap { allocate, release, resize, begin_scope, end_scope, statistics };

unsafe extern "C" fn allocate(
    size: usize,
    align: usize,
    zeroed: usize,
    sp: usize,
    fp: usize,
) -> *mut u8 {
    let _call = Call::begin(sp);
    // SAFETY: the caller gives the registers at its own entry.
    unsafe { rust_global::allocate(size, align, zeroed != 0, Caller { sp, fp }, start::heap) }
}

unsafe extern "C" fn release(block: *mut u8, size: usize, align: usize, sp: usize, fp: usize) {
    let _call = Call::begin(sp);
    // SAFETY: the caller gives the registers at its own entry.
    unsafe { rust_global::release(block, size, align, Caller { sp, fp }, start::heap) }
}

unsafe extern "C" fn resize(
    block: *mut u8,
    size: usize,
    align: usize,
    new_size: usize,
    sp: usize,
    fp: usize,
) -> *mut u8 {
    let _call = Call::begin(sp);
    // SAFETY: the caller gives the registers at its own entry.
    unsafe { rust_global::resize(block, size, align, new_size, Caller { sp, fp }, start::heap) }
}
