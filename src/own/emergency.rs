//! Where malloc comes from in a signal handler that interrupted this very thread inside one of our
//! locks: a lock-free region of its own. Blocks here belong to the program and are not checked.
//!
//! Sizes are rounded up to powers of two; each class has a list of its free blocks.

use crate::arch;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::free_list::FreeList;
use crate::heap::size::{PAGE, round_down, round_up};
use crate::sys::memory;

/// Address space reserved; memory is used as it is touched.
const SIZE: usize = 16 << 20;
/// Blocks start at multiples of this.
const UNIT: usize = 16;
/// In front of each block: its class, sealed while it is in use, and the size asked for.
const HEAD: usize = 16;
/// The size has the low bits of its word; above is how far an aligned block was moved up.
const SHIFT_BITS: u32 = 32;
/// Tells the head of a block in use from anything else.
const SEAL: usize = 0x6d61_6c6c_6f63_6f00;
/// Classes hold 16 << class bytes, head not included.
const CLASSES: usize = 18;

static START: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicUsize = AtomicUsize::new(0);
/// Free blocks of each class, by their offset in units.
static FREE: [FreeList; CLASSES] = [const { FreeList { head: AtomicU64::new(0) } }; CLASSES];

/// Reserves the region. Without it (no address space) handlers get no memory at a bad moment.
pub fn prepare() {
    if let Some(start) = memory::reserve(SIZE) {
        // The first 16 bytes stay unused, so that offset 0 can mean none.
        USED.store(HEAD, Ordering::Relaxed);
        START.store(start, Ordering::Release);
    }
}

/// Is the address in the region?
pub fn owns(address: usize) -> bool {
    let start = START.load(Ordering::Relaxed);
    start != 0 && address.wrapping_sub(start) < SIZE
}

/// The part of the region that blocks were ever made in: first byte and first byte behind.
pub fn used() -> (usize, usize) {
    let start = START.load(Ordering::Acquire);
    if start == 0 { (0, 0) } else { (start, start + USED.load(Ordering::Acquire).min(SIZE)) }
}

fn class_of(size: usize) -> Option<usize> {
    let class = size.max(16).checked_next_power_of_two()?.trailing_zeros() as usize - 4;
    (class < CLASSES).then_some(class)
}

/// `size` bytes, contents undefined, on a multiple of `align`; null when there is none.
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    let start = START.load(Ordering::Acquire);
    let slack = if align > 16 { align } else { 0 };
    let (Some(class), true) = (size.checked_add(slack).and_then(class_of), start != 0) else {
        return core::ptr::null_mut();
    };
    let Some(block) = pop(class, start).or_else(|| carve(class, start)) else {
        return core::ptr::null_mut();
    };
    let aligned = round_up(block, align.max(16));
    // SAFETY: the head in front of the block is ours; an aligned one has it inside the block.
    unsafe {
        let head = (aligned - HEAD) as *mut usize;
        head.write(class ^ SEAL);
        head.add(1).write(size | ((aligned - block) << SHIFT_BITS));
    }
    aligned as *mut u8
}

fn carve(class: usize, start: usize) -> Option<usize> {
    let need = HEAD + (16 << class);
    let at = USED
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(need).filter(|&end| end <= SIZE)
        })
        .ok()?;
    let first = round_down(start + at, PAGE);
    // SAFETY: whole pages of the reserved region.
    let usable = unsafe { memory::commit(first, round_up(start + at + need, PAGE) - first) };
    usable.then_some(start + at + HEAD)
}

fn pop(class: usize, start: usize) -> Option<usize> {
    let block = FREE.get(class)?.pop(|block| {
        // SAFETY: the number is of a block that was free, and the region stays mapped. If the block
        // was taken meanwhile, the program may be writing it: the list does not use the word then.
        unsafe { arch::read_contended(start + block as usize * UNIT) as u32 }
    })?;
    Some(start + block as usize * UNIT)
}

/// The head of a block in use; `None` for any other address in the region.
fn head_of(block: *mut u8) -> Option<(usize, *mut usize)> {
    let offset = (block as usize).wrapping_sub(START.load(Ordering::Relaxed));
    let used = USED.load(Ordering::Relaxed);
    if !(2 * HEAD..used).contains(&offset) || !offset.is_multiple_of(16) {
        return None;
    }
    let head = block.wrapping_sub(HEAD).cast::<usize>();
    // SAFETY: 16-aligned in the part of the region that has been handed out.
    let class = unsafe { head.read() } ^ SEAL;
    (class < CLASSES).then_some((class, head))
}

/// Gives a block back. Any other address in the region is left alone.
///
/// # Safety
/// If `block` came from [`allocate`] it is used no more.
pub unsafe fn release(block: *mut u8) {
    let Some((class, head)) = head_of(block) else { return };
    let Some(list) = FREE.get(class) else { return };
    // SAFETY: the head of a block in use, which is ours from here on.
    let shift = unsafe {
        head.write(0);
        head.add(1).read() >> SHIFT_BITS
    };
    let block = block.wrapping_sub(shift);
    let number = (block as usize - START.load(Ordering::Relaxed)) / UNIT;
    list.push(number as u32, |next| {
        // SAFETY: the block is this thread's until it is on the list, and has 16 bytes.
        unsafe { block.cast::<u64>().write(u64::from(next)) };
    });
}

/// Bytes a block was asked for with; 0 for any other address in the region.
pub fn capacity(block: *mut u8) -> usize {
    // SAFETY: the size stands behind the class in the head of a block in use.
    head_of(block).map_or(0, |(_, head)| unsafe { head.add(1).read() } & ((1 << SHIFT_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_never_share_a_block() {
        prepare();
        std::thread::scope(|scope| {
            for mark in 1..=4u8 {
                scope.spawn(move || {
                    for round in 0..20_000usize {
                        let size = 1 + round % 300;
                        let block = allocate(size, 16);
                        assert!(owns(block as usize), "round {round}");
                        // SAFETY: `size` bytes that are this thread's.
                        unsafe {
                            block.write_bytes(mark, size);
                            std::thread::yield_now();
                            assert_eq!(block.add(size - 1).read(), mark);
                            assert_eq!(capacity(block), size);
                            release(block);
                        }
                    }
                });
            }
        });
        assert!(USED.load(Ordering::Relaxed) < 1 << 20, "freed blocks are not reused");
        assert!(allocate(SIZE, 16).is_null());
        let aligned = allocate(100, 4096);
        assert_eq!((aligned as usize % 4096, capacity(aligned)), (0, 100));
        // SAFETY: just allocated.
        unsafe { release(aligned) };
    }
}
