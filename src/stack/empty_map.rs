//! Maps in statics. The models of the map have atomics that no constant can make, and so their own.

use core::marker::PhantomData;

use super::concurrent_map::ConcurrentMap;
use crate::sys::atomic::{AtomicBool, AtomicPtr};

impl<K> ConcurrentMap<K> {
    /// No table yet.
    pub(super) const fn new() -> Self {
        Self {
            current: AtomicPtr::new(core::ptr::null_mut()),
            growing: AtomicBool::new(false),
            keys: PhantomData,
        }
    }
}
