//! The tool's own heap: a second chunk heap on reserved ranges, behind its own lock.

use core::alloc::{GlobalAlloc, Layout as RustLayout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::early;
use crate::heap::size::{PAGE, round_up};
use crate::heap::{Heap, Layout, PageSource, Pages};
use crate::sys::lock::{Hold, Lock};
use crate::sys::{memory, process};

/// Address space reserved at a time, at best and at least, and how often.
const MOST: usize = 128 << 20;
const LEAST: usize = 1 << 20;
const RANGES: usize = 8;

/// Start and used end of each range; 0: not reserved.
static STARTS: [AtomicUsize; RANGES] = [const { AtomicUsize::new(0) }; RANGES];
static ENDS: [AtomicUsize; RANGES] = [const { AtomicUsize::new(0) }; RANGES];
static HEAP: Lock<Heap<OwnPages>> = Lock::new(Heap::new(OwnPages { range: 0, reserved_end: 0 }, 0));

/// Leaves the tool's own blocks out of a core dump that is about to be made: names and text have
/// them grow by 50 MiB.
pub fn leave_out_of_core_dump() {
    for (start, end) in STARTS.iter().zip(&ENDS) {
        let (start, end) = (start.load(Ordering::Acquire), end.load(Ordering::Relaxed));
        if start != 0 {
            memory::leave_out_of_core_dump(start, round_up(end, PAGE) - start);
        }
    }
}

/// Serves `grow` from the front of the last reserved range, and reserves the next when that is used
/// up; nothing is mapped apart.
struct OwnPages {
    /// Number of ranges.
    range: usize,
    reserved_end: usize,
}

impl OwnPages {
    fn last_end(&self) -> Option<&'static AtomicUsize> {
        ENDS.get(self.range.checked_sub(1)?)
    }

    /// Reserves another range that holds at least `bytes`: a quarter of the address space limit at
    /// most.
    fn reserve(&mut self, bytes: usize) -> bool {
        let (Some(start_slot), Some(end_slot)) = (STARTS.get(self.range), ENDS.get(self.range))
        else {
            return false;
        };
        // Twice what is asked for: what is free at the end of the last range does not count here.
        let wanted = bytes.saturating_mul(2);
        let mut size = MOST.min(process::address_space_limit() / 4).max(LEAST).max(wanted);
        loop {
            let aligned = round_up(size, PAGE);
            if let Some(start) = memory::reserve(aligned) {
                self.reserved_end = start + aligned;
                end_slot.store(start, Ordering::Relaxed);
                start_slot.store(start, Ordering::Release);
                self.range += 1;
                return true;
            }
            if size / 2 < bytes.max(LEAST) {
                return false;
            }
            size /= 2;
        }
    }
}

// SAFETY: the ranges are reserved zeroed memory that only this source hands out.
unsafe impl PageSource for OwnPages {
    fn grow(&mut self, _end: usize, bytes: usize) -> Option<Pages> {
        let len = round_up(bytes, PAGE);
        let fits = |pages: &Self| {
            let used = pages.last_end().map_or(0, |end| end.load(Ordering::Relaxed));
            used != 0 && pages.reserved_end - used >= len
        };
        if !fits(self) && !self.reserve(len) {
            return None;
        }
        let end = self.last_end()?;
        let start = end.load(Ordering::Relaxed);
        // SAFETY: whole pages of the last range, not handed out yet.
        if !unsafe { memory::commit(start, len) } {
            return None;
        }
        end.store(start + len, Ordering::Relaxed);
        Some(Pages { start, len })
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        let Some(used) = self.last_end().filter(|used| used.load(Ordering::Relaxed) == end) else {
            return false;
        };
        // SAFETY: the end of our range, not used any more; it reads as zero again.
        let is_empty = unsafe { memory::drop_contents(end - bytes, bytes) };
        if is_empty {
            used.store(end - bytes, Ordering::Relaxed);
        }
        is_empty
    }

    fn map(&mut self, _bytes: usize) -> Option<usize> {
        None
    }

    unsafe fn unmap(&mut self, _start: usize, _bytes: usize) {}

    unsafe fn remap(&mut self, _start: usize, _old: usize, _new: usize) -> Option<usize> {
        None
    }
}

/// Sets the key; the first range comes with the first use.
pub fn prepare(key: u64) {
    HEAP.lock().set_key(key);
}

/// Is the address in a part of a range that has been handed out?
pub fn owns(address: usize) -> bool {
    STARTS.iter().zip(&ENDS).any(|(start, end)| {
        let start = start.load(Ordering::Relaxed);
        address.wrapping_sub(start) < end.load(Ordering::Relaxed).wrapping_sub(start)
    })
}

/// Could `bytes` more be had right now?
pub fn has_room(bytes: usize) -> bool {
    let block = allocate(bytes, 16);
    if !owns(block as usize) {
        return false;
    }
    // SAFETY: just allocated and not used.
    unsafe { release(block) };
    true
}

/// `size` bytes on a multiple of `align`, contents undefined. When there is no memory for a range
/// (a smashed tool heap counts as none) what is left of the early buffer serves, and then null.
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    let layout = Layout { size, align: align.max(16), lead: 0 };
    match HEAP.lock().allocate(layout) {
        Ok(Some(block)) => block.as_ptr(),
        _ => early::allocate(size, align),
    }
}

/// The same if nobody is at the range's lock, which a handler may have interrupted.
pub fn try_allocate(size: usize, align: usize) -> Option<NonNull<u8>> {
    let layout = Layout { size, align: align.max(16), lead: 0 };
    HEAP.try_lock()?.allocate(layout).ok()?
}

/// Is somebody at the range's lock, maybe whom a handler has interrupted?
pub fn is_busy() -> bool {
    HEAP.try_lock().is_none()
}

/// Gives a block back. A smashed one is left where it is, and so is any other address in the range.
///
/// # Safety
/// If `block` came from [`allocate`] it is used no more.
pub unsafe fn release(block: *mut u8) {
    if let Some(block) = NonNull::new(block).filter(|block| may_be_block(*block)) {
        // SAFETY: the caller of this function promises the same.
        let _ = unsafe { HEAP.lock().release(block) };
    }
}

/// Bytes the block can hold; 0 for a smashed one and for any other address in the range.
pub fn capacity(block: *mut u8) -> usize {
    NonNull::new(block).filter(|block| may_be_block(*block)).map_or(0, |block| {
        // SAFETY: the words in front are mapped; an address that is no payload fails the checks.
        unsafe { HEAP.lock().capacity(block) }.unwrap_or(0)
    })
}

/// Are the words in front of the address in the same range?
fn may_be_block(block: NonNull<u8>) -> bool {
    let address = block.as_ptr() as usize;
    address.is_multiple_of(16) && owns(address) && owns(address.wrapping_sub(16))
}

/// Takes the heap's lock to hold it over fork; see [`Lock::hold_over_fork`].
pub fn hold_over_fork() -> Hold {
    HEAP.hold_over_fork()
}

/// Gives it back in parent and child.
///
/// # Safety
/// The calling thread called [`hold_over_fork`], which returned [`Hold::Taken`].
pub unsafe fn release_after_fork() {
    // SAFETY: the caller of this function promises the same.
    unsafe { HEAP.release_after_fork() };
}

/// In a forked child: the lock of a thread that is not there is free.
pub fn renew_lock() {
    HEAP.renew();
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
