//! The freeze: while somebody looks at everything, no memory goes away.

use core::sync::atomic::{AtomicUsize, Ordering};

/// How many look at everything.
pub(super) struct Freeze(AtomicUsize);

impl Freeze {
    /// Nobody does.
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Does somebody?
    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// One more does.
    pub(super) fn begin(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// One is done. Was it the last?
    pub(super) fn end(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// In a forked child, where whoever looked is not there: one is left, to be ended.
    pub(super) fn renew(&self) {
        self.0.store(1, Ordering::SeqCst);
    }
}
