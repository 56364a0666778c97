//! The atomics of the lock-free parts, by a name that their model test replaces with loom's.

pub(super) use core::sync::atomic::{AtomicUsize, Ordering};
