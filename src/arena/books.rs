//! What an arena's lock guards: the heap, the stock of small free chunks, and when memory goes back.

use core::ptr::NonNull;

use super::class::Class;
use super::ledger::Ledger;
use super::stock::Stock;
use crate::heap::{Corrupt, Heap, PageSource};
use crate::sys::process;

/// Free chunks from this size on lose their pages when a heap is trimmed.
const LEAST_DISCARDED: usize = 16 << 10;
/// Free bytes that are worth it without being asked, and how often that is done, in milliseconds.
const MUCH_TO_DISCARD: usize = 4 << 20;
const DISCARD_EVERY: u64 = 1000;

/// One arena's books.
pub struct Books<P> {
    /// The chunks.
    pub heap: Heap<P>,
    /// Small free chunks that are not coalesced yet.
    pub(super) stock: Stock,
    /// When pages inside free chunks were last given back, in milliseconds.
    discarded_at: u64,
    /// The counts of those who come by the lock, not being the owner.
    pub ledger: Ledger,
}

impl<P: PageSource> Books<P> {
    pub(super) const fn new(pages: P) -> Self {
        Self {
            heap: Heap::new(pages, 0),
            stock: Stock::new(),
            discarded_at: 0,
            ledger: Ledger::new(),
        }
    }

    /// Sets the key of heap and stock, which hold nothing yet.
    pub(super) fn set_key(&mut self, key: u64) {
        self.heap.set_key(key);
        self.stock.set_key(key.rotate_left(23));
    }

    /// Gives a payload back to the heap, past the caches.
    ///
    /// # Safety
    /// As [`Heap::release`].
    pub unsafe fn release(&mut self, payload: NonNull<u8>) -> Result<(), Corrupt> {
        // SAFETY: as the caller says.
        unsafe { self.heap.put_back(payload)? };
        self.settle();
        Ok(())
    }

    /// Coalesces the stock. To be repeated after `Err`.
    pub(super) fn consolidate(&mut self) -> Result<(), Corrupt> {
        let heap = &mut self.heap;
        for class in Class::all().filter(|class| Stock::takes(*class)) {
            let mut freed = Ok(());
            self.stock.take(class, usize::MAX, |payload| {
                // SAFETY: a stocked chunk is in use to the heap and nobody's.
                freed = unsafe { heap.put_back(payload) };
                freed.is_ok()
            })?;
            freed?;
        }
        Ok(())
    }

    /// Gives memory back after a peak: the top at once, and from time to time, while most of the heap is
    /// free, the pages inside large free chunks. To be called when chunks have come back.
    pub fn settle(&mut self) {
        self.heap.settle();
        if self.heap.free_bytes() > MUCH_TO_DISCARD.max(self.in_use()) {
            let now = process::coarse_milliseconds();
            if now.wrapping_sub(self.discarded_at) >= DISCARD_EVERY {
                self.discarded_at = now;
                self.heap.discard_free(LEAST_DISCARDED);
            }
        }
    }

    /// Bytes that the program has, as far as the heap can tell.
    pub(super) const fn in_use(&self) -> usize {
        self.heap.usage().in_use.saturating_sub(self.stock.bytes())
    }

    /// Gives what is free back to the source: the top beyond `keep` bytes, pages inside free chunks.
    /// Says whether the heap became smaller. To be repeated after `Err`.
    pub fn trim(&mut self, keep: usize) -> Result<bool, Corrupt> {
        self.consolidate()?;
        self.heap.discard_free(LEAST_DISCARDED);
        Ok(self.heap.trim(keep))
    }
}
