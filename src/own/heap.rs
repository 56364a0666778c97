//! The tool's own heap: a second chunk heap on a reserved range, behind its own lock.

use core::alloc::{GlobalAlloc, Layout as RustLayout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::heap::size::{PAGE, round_up};
use crate::heap::{Heap, Layout, PageSource, Pages};
use crate::sys::lock::Lock;
use crate::sys::{memory, process};

/// Address space to reserve, at best and at least.
const MOST: usize = 1 << 30;
const LEAST: usize = 16 << 20;

static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);
static HEAP: Lock<Heap<OwnPages>> = Lock::new(Heap::new(OwnPages { used: 0 }, 0));

/// Serves `grow` from the front of the reserved range; nothing is mapped apart.
struct OwnPages {
    used: usize,
}

// SAFETY: the range is reserved zeroed memory that only this source hands out.
unsafe impl PageSource for OwnPages {
    fn grow(&mut self, _end: usize, bytes: usize) -> Option<Pages> {
        let start = START.load(Ordering::Relaxed);
        let room = END.load(Ordering::Relaxed) - start - self.used;
        let len = round_up(bytes, PAGE);
        if len > room {
            return None;
        }
        let pages = Pages { start: start + self.used, len };
        self.used += len;
        Some(pages)
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        if end != START.load(Ordering::Relaxed) + self.used {
            return false;
        }
        // SAFETY: the end of our range, not used any more; it reads as zero again.
        unsafe { memory::drop_contents(end - bytes, bytes) };
        self.used -= bytes;
        true
    }

    fn map(&mut self, _bytes: usize) -> Option<usize> {
        None
    }

    unsafe fn unmap(&mut self, _start: usize, _bytes: usize) {}

    unsafe fn remap(&mut self, _start: usize, _old: usize, _new: usize) -> Option<usize> {
        None
    }
}

/// Reserves the range: a quarter of the address space limit at most, down to 16 MiB.
pub fn prepare(key: u64) {
    let mut size = MOST.min(process::address_space_limit() / 4).max(LEAST);
    while size >= LEAST {
        if let Some(start) = memory::reserve(size) {
            HEAP.lock().set_key(key);
            END.store(start + size, Ordering::Relaxed);
            START.store(start, Ordering::Release);
            return;
        }
        size /= 2;
    }
}

/// Is the address in the range?
pub fn owns(address: usize) -> bool {
    let start = START.load(Ordering::Relaxed);
    address.wrapping_sub(start) < END.load(Ordering::Relaxed).wrapping_sub(start)
}

/// `size` bytes on a multiple of `align`, contents undefined; null when the range is used up. A
/// smashed tool heap counts as used up.
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    let layout = Layout { size, align: align.max(16), lead: 0 };
    match HEAP.lock().allocate(layout) {
        Ok(Some(block)) => block.as_ptr(),
        _ => ptr::null_mut(),
    }
}

/// Gives a block back. A smashed one is left where it is, and so is any other address in the range.
///
/// # Safety
/// If `block` came from [`allocate`] it is used no more.
pub unsafe fn release(block: *mut u8) {
    if let Some(block) = NonNull::new(block) {
        // SAFETY: as the caller says.
        let _ = unsafe { HEAP.lock().release(block) };
    }
}

/// Bytes the block can hold; 0 for a smashed one and for any other address in the range.
pub fn capacity(block: *mut u8) -> usize {
    NonNull::new(block).map_or(0, |block| {
        // SAFETY: the range is mapped as a whole; an address that is no payload fails the checks.
        unsafe { HEAP.lock().capacity(block) }.unwrap_or(0)
    })
}

/// Takes the heap's lock to hold it over fork; see [`Lock::hold_over_fork`].
pub fn hold_over_fork() -> bool {
    HEAP.hold_over_fork()
}

/// Gives it back in parent and child.
///
/// # Safety
/// The calling thread called [`hold_over_fork`], which returned true.
pub unsafe fn release_after_fork() {
    // SAFETY: as the caller says.
    unsafe { HEAP.release_after_fork() };
}

/// The range as a Rust allocator, for a library whose Rust code must never come back to malloc.
pub struct OwnAllocator;

// SAFETY: blocks come from `allocate` with the size and alignment of the layout.
unsafe impl GlobalAlloc for OwnAllocator {
    unsafe fn alloc(&self, layout: RustLayout) -> *mut u8 {
        allocate(layout.size(), layout.align())
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: RustLayout) {
        // SAFETY: `GlobalAlloc`'s callers give back what they got.
        unsafe { release(block) };
    }
}
