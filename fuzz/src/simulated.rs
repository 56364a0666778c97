//! A heap over simulated memory that it owns. Round the memory nothing is mapped: whoever reads or
//! writes past an end of it faults.

use std::ptr;

use mallocop::heap::Heap;
use mallocop::heap::sim::SimPages;

use crate::source::LedgerPages;

/// The memory starts at a multiple of this, as large as the targets' memory: what a script does must
/// not depend on where the system has put the reservation.
const START: usize = 8 << 20;

/// A heap whose memory lives as long as it does.
pub struct Simulated {
    /// The heap under test.
    pub heap: Box<Heap<LedgerPages>>,
    reserved: *mut libc::c_void,
    len: usize,
}

impl Simulated {
    /// Over `bytes` of zeroed memory (whole pages).
    ///
    /// # Panics
    /// If the system has no such memory.
    pub fn new(bytes: usize, key: u64) -> Self {
        let len = bytes + 2 * START;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, in nobody's way.
        let reserved = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(reserved, libc::MAP_FAILED, "no memory for the simulation");
        // At least a page of the reservation is left in front.
        let start = (reserved as usize + 1).next_multiple_of(START) as *mut u8;
        // SAFETY: `[start, start + bytes)` lies in the reservation, is zero, and goes to nobody
        // but the source.
        let sim = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            assert_eq!(libc::mprotect(start.cast(), bytes, access), 0, "no memory");
            SimPages::new(start, bytes)
        };
        Self { heap: Box::new(Heap::new(LedgerPages::new(sim), key)), reserved, len }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // SAFETY: the reservation is ours, and the heap over it goes now.
        unsafe { libc::munmap(self.reserved, self.len) };
    }
}
