//! A table of `ConcurrentMap` in memory of its own, which stays for ever: readers need no lock.

use crate::sys::atomic::{AtomicU64, AtomicUsize};
use crate::sys::memory;

/// Entries of the first table: 64 KiB.
pub(super) const FIRST_BITS: u32 = 12;

pub(super) struct MapEntry {
    pub(super) key: AtomicU64,
    pub(super) word: AtomicU64,
}

/// The head of a table; its entries follow.
#[repr(C)]
pub(super) struct MapTable {
    pub(super) bits: u32,
    pub(super) used: AtomicUsize,
}

impl MapTable {
    const fn bytes(bits: u32) -> usize {
        size_of::<Self>() + (size_of::<MapEntry>() << bits)
    }

    /// An empty table of 2^`bits` entries.
    pub(super) fn map(bits: u32) -> Option<&'static Self> {
        let table = memory::map(Self::bytes(bits))? as *mut Self;
        // SAFETY: fresh zeroed memory for the head and the entries, ours for ever.
        unsafe {
            (&raw mut (*table).bits).write(bits);
            Some(&*table)
        }
    }

    fn first(&self) -> *const MapEntry {
        let behind = core::ptr::from_ref(self).addr() + size_of::<Self>();
        // The mapping's pointer came from the kernel as a number.
        core::ptr::with_exposed_provenance(behind)
    }

    pub(super) fn entries(&self) -> &[MapEntry] {
        // SAFETY: `map` has made room for 2^bits entries behind the head, valid when zero.
        unsafe { core::slice::from_raw_parts(self.first(), 1 << self.bits) }
    }

    /// One of the entries; `index` is below their number.
    #[inline(always)]
    pub(super) fn entry(&self, index: usize) -> &MapEntry {
        debug_assert!(index >> self.bits == 0);
        // SAFETY: `map` has made room for 2^bits entries behind the head; callers take an index
        // modulo that.
        unsafe { &*self.first().add(index) }
    }
}
