//! A heap over simulated memory that it owns. Round the memory nothing is mapped: whoever reads or
//! writes past an end of it faults.

use std::cell::RefCell;
use std::ops::Range;
use std::ptr;

use mallocop::heap::Heap;
use mallocop::heap::test_source::TestPages;

use crate::source::LedgerPages;

/// The memory starts at a multiple of this, as large as the targets' memory: what a script does
/// must not depend on where the system has put the reservation.
const START: usize = 8 << 20;

/// A heap whose memory lives as long as it does.
pub struct Simulated {
    /// The heap under test.
    pub heap: Box<Heap<LedgerPages>>,
    memory: Option<Memory>,
}

impl Simulated {
    /// Over `bytes` of zeroed memory (whole pages).
    ///
    /// # Panics
    /// If the system has no such memory.
    pub fn new(bytes: usize, key: u64) -> Self {
        let memory = Memory::take(bytes);
        // SAFETY: the memory is zero and goes to nobody but the source.
        let sim = unsafe { TestPages::new(memory.start, bytes) };
        // As those do it who learn the key late.
        let mut heap = Box::new(Heap::new(LedgerPages::new(sim), 0));
        heap.set_key(key);
        Self { heap, memory: Some(memory) }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        if std::thread::panicking() {
            // Who knows what was written where: not for another heap.
            return;
        }
        // SAFETY: the heap over the memory goes now.
        unsafe { memory.put_back(&self.heap.pages().touched()) };
    }
}

thread_local! {
    /// Zeroed memory for the next heap: what the system maps anew costs more than a script.
    static SPARE: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

/// A stretch of accessible memory in the middle of a reservation that is not.
pub(crate) struct Memory {
    reserved: *mut libc::c_void,
    pub(crate) start: *mut u8,
    bytes: usize,
}

impl Memory {
    pub(crate) fn take(bytes: usize) -> Self {
        SPARE.with_borrow_mut(|spare| {
            let found = spare.iter().position(|memory| memory.bytes == bytes);
            found.map_or_else(|| Self::map(bytes), |index| spare.swap_remove(index))
        })
    }

    /// Keeps the memory for the next one who takes some.
    ///
    /// # Safety
    /// All that was written lies in the `touched` parts, and nobody uses it any more.
    pub(crate) unsafe fn put_back(self, touched: &[Range<usize>]) {
        for part in touched {
            // SAFETY: the part lies in the memory, by the caller's word.
            unsafe { (part.start as *mut u8).write_bytes(0, part.len()) };
        }
        SPARE.with_borrow_mut(|spare| spare.push(self));
    }

    fn map(bytes: usize) -> Self {
        let len = bytes + 2 * START;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, in nobody's way.
        let reserved = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(reserved, libc::MAP_FAILED, "no memory for the simulation");
        // At least a page of the reservation is left on either side.
        let start = (reserved as usize + 1).next_multiple_of(START) as *mut u8;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: `[start, start + bytes)` lies in the reservation.
        let changed = unsafe { libc::mprotect(start.cast(), bytes, access) };
        assert_eq!(changed, 0, "no memory for the simulation");
        Self { reserved, start, bytes }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the reservation is ours, and no heap is over it.
        unsafe { libc::munmap(self.reserved, self.bytes + 2 * START) };
    }
}
