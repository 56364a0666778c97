//! Blocks from libc's malloc, and a count of them.

use std::ptr::NonNull;

/// Bytes of a page: one byte in each is enough to make it resident.
const PAGE: usize = 4096;

/// A block that its holder alone may free. Dropping it frees nothing: loops decide when to.
#[must_use]
pub(crate) struct Block(NonNull<u8>);

// SAFETY: a block belongs to its holder, and malloc's blocks may be freed by any thread.
unsafe impl Send for Block {}

impl Block {
    /// Its address, for keeping it in an atomic pointer.
    pub(crate) const fn into_raw(self) -> *mut u8 {
        self.0.as_ptr()
    }

    /// The block at this address; none at null.
    ///
    /// # Safety
    /// The address is null or came from `into_raw`, and becomes a block again only once.
    pub(crate) const unsafe fn from_raw(address: *mut u8) -> Option<Self> {
        match NonNull::new(address) {
            Some(address) => Some(Self(address)),
            None => None,
        }
    }
}

/// What a thread allocated and freed.
#[derive(Default, Debug)]
pub(crate) struct Ledger {
    /// Blocks allocated.
    pub(crate) allocated: u64,
    /// Blocks freed.
    pub(crate) freed: u64,
}

impl Ledger {
    /// malloc(3), the first and the last byte written.
    #[inline]
    pub(crate) fn allocate(&mut self, size: usize) -> Block {
        let size = size.max(1);
        // SAFETY: malloc takes every size.
        let block = self.count(unsafe { libc::malloc(size) });
        let start = block.0.as_ptr();
        // SAFETY: both bytes lie in the block, whose size is 1 or more. Volatile, or the compiler
        // could leave out the block.
        unsafe {
            start.write_volatile(1);
            start.add(size - 1).write_volatile(2);
        }
        block
    }

    /// malloc(3), a byte written in each page of the first `used` bytes.
    pub(crate) fn allocate_used(&mut self, size: usize, used: usize) -> Block {
        let block = self.allocate(size);
        // SAFETY: the block has `size` bytes.
        unsafe { touch_pages(&block, 0, used.min(size)) };
        block
    }

    /// malloc(3) with a value at the block's start.
    #[inline]
    pub(crate) fn place<T>(&mut self, size: usize, value: T) -> NonNull<T> {
        const { assert!(align_of::<T>() <= 16) };
        // SAFETY: malloc takes every size.
        let block = self.count(unsafe { libc::malloc(size.max(size_of::<T>())) }).0.cast();
        // SAFETY: the block is large enough, and malloc aligns to 16.
        unsafe { block.write(value) };
        block
    }

    /// calloc(3).
    #[inline]
    pub(crate) fn allocate_zeroed(&mut self, size: usize) -> Block {
        // SAFETY: calloc takes every size.
        self.count(unsafe { libc::calloc(1, size) })
    }

    /// realloc(3) from size `old` to size `new`, a byte written in each page that is new.
    pub(crate) fn resize(&mut self, block: Block, old: usize, new: usize) -> Block {
        // SAFETY: the block is malloc's and not freed, and our only handle on it moves in here.
        let resized = unsafe { libc::realloc(block.0.as_ptr().cast(), new.max(1)) };
        let block = Block(present(resized));
        // SAFETY: the block has `new` bytes now.
        unsafe { touch_pages(&block, old, new) };
        block
    }

    /// free(3).
    #[inline]
    pub(crate) fn release(&mut self, block: Block) {
        self.freed += 1;
        // SAFETY: the block is malloc's and not freed: its only handle ends here.
        unsafe { libc::free(block.0.as_ptr().cast()) };
    }

    /// Adds another thread's.
    pub(crate) const fn merge(mut self, other: &Self) -> Self {
        self.allocated += other.allocated;
        self.freed += other.freed;
        self
    }

    #[inline]
    fn count(&mut self, start: *mut libc::c_void) -> Block {
        self.allocated += 1;
        Block(present(start))
    }
}

/// Writes a byte in each page of `from..to`.
///
/// # Safety
/// The block has at least `to` bytes.
unsafe fn touch_pages(block: &Block, from: usize, to: usize) {
    for offset in (from..to).step_by(PAGE) {
        // SAFETY: offset < to, which the caller keeps within the block.
        unsafe { block.0.as_ptr().add(offset).write_volatile(3) };
    }
}

/// The address, unless there was no memory: that ends the loop.
#[inline]
fn present(start: *mut libc::c_void) -> NonNull<u8> {
    NonNull::new(start.cast()).unwrap_or_else(|| {
        eprintln!("mallocop-bench: no memory");
        std::process::exit(1)
    })
}
