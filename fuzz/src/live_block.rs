//! A live block of a script's on the checked heap, and what was written into it.

use mallocop::checks::Release;
use mallocop::model::finding::{AllocKind, Operation};

/// A block as it was asked for.
pub(crate) struct Block {
    pub(crate) user: usize,
    pub(crate) size: usize,
    pub(crate) align: usize,
    pub(crate) kind: AllocKind,
    pub(crate) seed: u8,
}

impl Block {
    /// The call that it goes back by.
    pub(crate) fn release(&self) -> Release {
        match self.kind {
            AllocKind::Malloc | AllocKind::Memalign => Release::by(Operation::Free),
            AllocKind::Rust => {
                Release::sized(Operation::Dealloc, Some(self.size), Some(self.align))
            }
            AllocKind::AlignedNew | AllocKind::AlignedNewArray => {
                Release::sized(Operation::Delete(self.kind), Some(self.size), Some(self.align))
            }
            kind => Release::by(Operation::Delete(kind)),
        }
    }

    /// The same of one that is resized.
    pub(crate) fn resized(&self) -> Release {
        match self.kind {
            AllocKind::Rust => {
                Release::sized(Operation::Reallocate, Some(self.size), Some(self.align))
            }
            _ => Release::by(Operation::Realloc),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the heap gave the block out; nobody writes to it meanwhile.
        unsafe { std::slice::from_raw_parts(self.user as *const u8, self.size) }
    }

    pub(crate) fn fill(&self) {
        for i in edges(self.size) {
            // SAFETY: the block is the script's.
            unsafe { ((self.user + i) as *mut u8).write(self.seed.wrapping_add(i as u8)) };
        }
    }

    /// This block's bytes must be at `user`, as far as they were written and `limit` goes.
    pub(crate) fn verify(&self, user: usize, limit: usize) {
        for i in edges(self.size).take_while(|&i| i < limit) {
            // SAFETY: a live block of the script's, of `limit` bytes at least.
            let byte = unsafe { ((user + i) as *const u8).read() };
            assert_eq!(byte, self.seed.wrapping_add(i as u8), "byte {i} of {}", self.size);
        }
    }
}

/// The bytes of a block that are written and verified.
fn edges(size: usize) -> impl Iterator<Item = usize> {
    let head = size.min(256);
    (0..head).chain(size.saturating_sub(64).max(head)..size)
}

/// Changes `len` bytes, each to something else.
pub(crate) fn spoil(start: usize, len: usize) {
    for at in start..start + len {
        // SAFETY: canaries and poison of the process's own heap: mapped, and watched by nobody
        // else.
        unsafe {
            let byte = at as *mut u8;
            byte.write(!byte.read());
        }
    }
}
