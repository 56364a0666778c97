//! The share of the quarantine's bytes that each thread has.

use core::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of freed blocks that may wait in one thread.
pub(super) struct QuarantineShare(AtomicUsize);

impl QuarantineShare {
    /// Nothing waits.
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Bytes.
    #[inline(always)]
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it.
    pub(super) fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}
