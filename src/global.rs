//! Rust's global allocator with all of mallocop's checks.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::abi::rust_global;
use crate::abi::shared_heap;
use crate::abi::shared_heap::SharedHeap;
use crate::arch::Caller;
use crate::checks::CheckedHeap;
use crate::inner_entries;
use crate::options::{self, Name};
use crate::runtime::{fault, init};
use crate::sys::thread::{self, ToolWork};
use crate::sys::{brk, process};

/// The allocator: a program that has it as its `#[global_allocator]` is checked without anything
/// else.
///
/// ```
/// #[global_allocator]
/// static ALLOC: mallocop::Mallocop = mallocop::Mallocop::new();
///
/// fn main() {
///     let text = String::from("checked");
///     assert_eq!(text.len(), 7);
/// }
/// ```
///
/// It finds what `mallocop run` finds, in what Rust code allocates: writes past either end, writes
/// after the free, double and wild frees, leaks at exit; and what only Rust knows: a block that
/// goes back with another [`Layout`] than it came from is reported with both and with both stacks.
/// Reports go to standard error; a heap error ends the process by SIGABRT, leaks make its exit
/// status 23. The environment variable `MALLOCOP_OPTIONS` sets all that as for `mallocop run`;
/// there is no start line and no summary unless it says `quiet=0`.
///
/// Memory is mapped, in regions of 1 MiB and more: the break is left to libc's malloc, which serves
/// C code as before. Where libmallocop.so is preloaded, too, both are one heap, and a block of C's
/// malloc that is given to Rust's `dealloc`, or the reverse, is reported as that.
///
/// Zero-sized requests, which [`GlobalAlloc`] leaves to its callers, get a block of their own;
/// alignments go up to 2 GiB. What does not fit gives null, as [`GlobalAlloc::alloc`] says. Nothing
/// here panics. All of it may be called from any thread, and from signal handlers.
///
/// Linux on x86-64 with glibc, also with `-C target-feature=+crt-static`.
#[derive(Debug, Default)]
pub struct Mallocop(());

impl Mallocop {
    /// The allocator. Costs nothing until the first request.
    pub const fn new() -> Self {
        Self(())
    }
}

// SAFETY: blocks have the size and alignment of their Layouts, are apart, and stay until they are
// given back.
unsafe impl GlobalAlloc for Mallocop {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: a Layout's alignment is a power of two.
        unsafe { allocate(layout.size(), layout.align(), 0) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: a Layout's alignment is a power of two.
        unsafe { allocate(layout.size(), layout.align(), 1) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `release` takes any address; a Layout's alignment is a power of two.
        unsafe { release(block, layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: `resize` takes any address; a Layout's alignment is a power of two.
        unsafe { resize(block, layout.size(), layout.align(), new_size) }
    }
}

inner_entries! {
    allocate(3) => allocate_from(size: usize, align: usize, zeroed: usize) -> *mut u8,
    release(3) => release_from(block: *mut u8, size: usize, align: usize),
    resize(4) => resize_from(block: *mut u8, size: usize, align: usize, new_size: usize) -> *mut u8,
}

/// # Safety
/// Called by the entry, with its registers; `align` is a power of two.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_allocate_from"))]
unsafe extern "C" fn allocate_from(
    size: usize,
    align: usize,
    zeroed: usize,
    caller: Caller,
) -> *mut u8 {
    let _call = begin(caller);
    // SAFETY: the entry gives the registers.
    unsafe {
        match shared() {
            Some(heap) => (heap.allocate)(size, align, zeroed, caller.sp, caller.fp),
            None => rust_global::allocate(size, align, zeroed != 0, caller, own_heap),
        }
    }
}

/// # Safety
/// Called by the entry, with its registers; `align` is a power of two.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_release_from"))]
unsafe extern "C" fn release_from(block: *mut u8, size: usize, align: usize, caller: Caller) {
    let _call = thread::Call::begin(caller.sp);
    // SAFETY: the entry gives the registers.
    unsafe {
        match shared() {
            Some(heap) => (heap.release)(block, size, align, caller.sp, caller.fp),
            None => rust_global::release(block, size, align, caller, own_heap),
        }
    }
}

/// # Safety
/// Called by the entry, with its registers; `align` is a power of two.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_resize_from"))]
unsafe extern "C" fn resize_from(
    block: *mut u8,
    size: usize,
    align: usize,
    new_size: usize,
    caller: Caller,
) -> *mut u8 {
    let _call = begin(caller);
    // SAFETY: the entry gives the registers.
    unsafe {
        match shared() {
            Some(heap) => (heap.resize)(block, size, align, new_size, caller.sp, caller.fp),
            None => rust_global::resize(block, size, align, new_size, caller, own_heap),
        }
    }
}

/// A call that asks for memory.
#[inline(always)]
fn begin(caller: Caller) -> thread::Call {
    if thread::is_outside() {
        thread::count_request();
    }
    thread::Call::begin(caller.sp)
}

const UNKNOWN: usize = 0;
const NONE: usize = 1;
/// Address of the table that a preloaded library exports.
static SHARED: AtomicUsize = AtomicUsize::new(UNKNOWN);

/// The preloaded library's heap, if there is one.
#[inline(always)]
pub(crate) fn shared() -> Option<&'static SharedHeap> {
    match SHARED.load(Ordering::Relaxed) {
        NONE => None,
        UNKNOWN => find_shared(),
        // SAFETY: the library's own table, which stays.
        address => unsafe { (address as *const SharedHeap).as_ref() },
    }
}

#[cold]
fn find_shared() -> Option<&'static SharedHeap> {
    #[cfg(feature = "libfuzzer")]
    crate::abi::weak_symbols::keep();
    let found = process::find_symbol(shared_heap::SYMBOL);
    SHARED.store(if found == 0 { NONE } else { found }, Ordering::Relaxed);
    // SAFETY: null, or a table of that version, by the symbol's name.
    unsafe { (found as *const SharedHeap).as_ref() }
}

/// Is the allocator the program's?
pub(crate) fn is_used() -> bool {
    SHARED.load(Ordering::Relaxed) != UNKNOWN
}

/// The process's heap, made ready if this is the first call.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_own_heap"))]
fn own_heap() -> Option<&'static CheckedHeap> {
    static IS_CONSTRUCTED: AtomicBool = AtomicBool::new(false);
    let heap = init::heap(prepare)?;
    if !IS_CONSTRUCTED.load(Ordering::Relaxed)
        && thread::is_outside()
        && !IS_CONSTRUCTED.swap(true, Ordering::AcqRel)
    {
        let _work = ToolWork::begin();
        init::construct(|| {});
        heap.attend_to_guards(fault::watch_guards);
    }
    Some(heap)
}

/// What holds in a program that has its checks inside.
fn prepare() {
    brk::leave_break();
    options::set_number(Name::Quiet, 1);
    // Which blocks are guarded depends on what came before an input.
    #[cfg(feature = "libfuzzer")]
    options::set_number(Name::Guard, options::GUARD_OFF);
}
