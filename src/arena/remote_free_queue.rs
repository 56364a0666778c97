//! What other threads free of an arena's chunks waits here until its owner next needs some: a ring
//! that any thread puts into without a lock and one thread at a time takes from.
//!
//! An entry is a number other than 0. A sender reserves places by moving the tail, then writes
//! them; the receiver takes what is written in order and stops at a place that is not yet.

use crate::sys::atomic::{AtomicUsize, Ordering};

/// The ring; `PLACES` is a power of two.
pub(super) struct RemoteFreeQueue<const PLACES: usize> {
    /// Places reserved so far.
    pub(super) tail: AtomicUsize,
    /// Places emptied so far.
    pub(super) head: AtomicUsize,
    pub(super) places: [AtomicUsize; PLACES],
}

impl<const PLACES: usize> RemoteFreeQueue<PLACES> {
    /// Puts all of `entries` in, none of them 0. `false`: there is no room for all; none went in.
    pub(super) fn send(&self, entries: &[usize]) -> bool {
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            // Acquire: a place that the receiver has emptied is seen empty before it is written.
            let head = self.head.load(Ordering::Acquire);
            if tail.wrapping_sub(head).wrapping_add(entries.len()) > PLACES {
                return false;
            }
            let end = tail.wrapping_add(entries.len());
            match self.tail.compare_exchange_weak(tail, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => tail = now,
            }
        }
        for (offset, &entry) in entries.iter().enumerate() {
            if let Some(place) = self.places.get(tail.wrapping_add(offset) % PLACES) {
                // Release: what was done to the chunk comes before its owner takes it.
                place.store(entry, Ordering::Release);
            }
        }
        true
    }

    /// Hands what is there to `each` until that says stop. One thread at a time.
    pub(super) fn receive(&self, mut each: impl FnMut(usize) -> bool) {
        let mut head = self.head.load(Ordering::Relaxed);
        while let Some(place) = self.places.get(head % PLACES) {
            let entry = place.load(Ordering::Acquire);
            if entry == 0 {
                break;
            }
            place.store(0, Ordering::Relaxed);
            head = head.wrapping_add(1);
            self.head.store(head, Ordering::Release);
            if !each(entry) {
                break;
            }
        }
    }

    /// In a forked child, where no sender lives any more: places that were reserved and never
    /// written are given up.
    pub(super) fn repair(&self) {
        let end = self.tail.load(Ordering::Relaxed);
        let start = self.head.load(Ordering::Relaxed);
        let mut kept = start;
        let mut at = start;
        while at != end {
            let entry = self.places.get(at % PLACES).map_or(0, |p| p.load(Ordering::Relaxed));
            if entry != 0 {
                self.move_entry(at, kept, entry);
                kept = kept.wrapping_add(1);
            }
            at = at.wrapping_add(1);
        }
        self.tail.store(kept, Ordering::Relaxed);
    }

    fn move_entry(&self, from: usize, to: usize, entry: usize) {
        if from == to {
            return;
        }
        if let Some(place) = self.places.get(from % PLACES) {
            place.store(0, Ordering::Relaxed);
        }
        if let Some(place) = self.places.get(to % PLACES) {
            place.store(entry, Ordering::Relaxed);
        }
    }
}
