//! The atomics of the lock-free parts, by a name that their model tests replace with loom's.

pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
