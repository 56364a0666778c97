//! A cache of the blocks that addresses were found in. An entry may be out of date, and its two
//! words may be of two blocks: the caller checks that a live block starts there and how far it
//! reaches.

use core::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of addresses that share an entry.
const STRETCH: usize = 256;
const ENTRIES: usize = 16384;

#[derive(Debug)]
struct Entry {
    start: AtomicUsize,
    end: AtomicUsize,
}

static FOUND: [Entry; ENTRIES] =
    [const { Entry { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; ENTRIES];

#[inline(always)]
fn entry(address: usize) -> Option<&'static Entry> {
    FOUND.get(address / STRETCH % ENTRIES)
}

/// Start of a block that contained the address.
#[inline(always)]
pub(super) fn find(address: usize) -> Option<usize> {
    let entry = entry(address)?;
    let start = entry.start.load(Ordering::Relaxed);
    (start <= address && address < entry.end.load(Ordering::Relaxed)).then_some(start)
}

/// Notes a block that contains the address.
pub(super) fn note(address: usize, start: usize, end: usize) {
    if let Some(entry) = entry(address) {
        entry.start.store(start, Ordering::Relaxed);
        entry.end.store(end, Ordering::Relaxed);
    }
}
