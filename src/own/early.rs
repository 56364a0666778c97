//! A static buffer for calls that come before this library's relocations: no thread slot, no libc.
//! Blocks are handed out in order and never reused; 64 KiB in all.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

const SIZE: usize = 64 << 10;
const HEAD: usize = 16;

#[repr(C, align(16))]
struct Buffer(UnsafeCell<[u8; SIZE]>);

// SAFETY: parts are handed out once each, through the atomic.
unsafe impl Sync for Buffer {}

static BUFFER: Buffer = Buffer(UnsafeCell::new([0; SIZE]));
static USED: AtomicUsize = AtomicUsize::new(0);

fn start() -> usize {
    BUFFER.0.get() as usize
}

/// Is the address in the buffer?
pub fn owns(address: usize) -> bool {
    address.wrapping_sub(start()) < SIZE
}

/// The part of the buffer that was handed out: first byte and first byte behind.
pub fn used() -> (usize, usize) {
    (start(), start() + USED.load(Ordering::Relaxed))
}

/// `size` zeroed bytes on a multiple of `align`; null when the buffer is full.
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    let align = align.max(HEAD);
    if size > SIZE || align > SIZE {
        return core::ptr::null_mut();
    }
    let mut used = USED.load(Ordering::Relaxed);
    loop {
        let block = (start() + used + HEAD + align - 1) & !(align - 1);
        let end = block + size - start();
        if end > SIZE {
            return core::ptr::null_mut();
        }
        match USED.compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                // SAFETY: the bytes in front of the block are in the part just taken.
                unsafe { ((block - HEAD) as *mut usize).write(size) };
                return block as *mut u8;
            }
            Err(now) => used = now,
        }
    }
}

/// Bytes a block was asked for with; 0 for an address that is no block's.
pub fn capacity(block: *mut u8) -> usize {
    let offset = (block as usize).wrapping_sub(start());
    if !(HEAD..SIZE).contains(&offset) || !offset.is_multiple_of(HEAD) {
        return 0;
    }
    // SAFETY: aligned and inside the buffer; the size stands in front of each block.
    let size = unsafe { block.wrapping_sub(HEAD).cast::<usize>().read() };
    size.min(SIZE - offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_apart_and_know_their_size() {
        let first = allocate(100, 16);
        let second = allocate(1, 64);
        assert!(owns(first as usize) && owns(second as usize));
        assert!(second as usize >= first as usize + 100);
        assert_eq!(second as usize % 64, 0);
        assert_eq!((capacity(first), capacity(second)), (100, 1));
        assert!(allocate(SIZE + 1, 16).is_null());
        assert!(allocate(usize::MAX, 16).is_null());
    }
}
