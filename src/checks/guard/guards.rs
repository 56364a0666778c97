//! The guarded slots of a heap, and who may use them.

use core::sync::atomic::{AtomicU64, AtomicUsize};

use crate::checks::guard::pool::Pool;
use crate::sys::lock::Lock;

/// The guarded slots of a heap.
pub(crate) struct Guards {
    pub(super) pool: Lock<Pool>,
    /// Says of a site whether its blocks are wanted: a `fn(ProcessSite) -> bool`, or 0.
    pub(super) filter: AtomicUsize,
    /// Called now and then with a guarded block: a `fn()`, or 0.
    pub(super) attend: AtomicUsize,
    /// Blocks that were to be guarded, and were not for want of memory.
    pub(super) unguarded: AtomicU64,
}

impl Guards {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self {
            pool: Lock::new(Pool::new()),
            filter: AtomicUsize::new(0),
            attend: AtomicUsize::new(0),
            unguarded: AtomicU64::new(0),
        }
    }

    /// The lock, to be held over fork.
    pub(crate) const fn pool(&self) -> &Lock<Pool> {
        &self.pool
    }
}
