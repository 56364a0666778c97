//! What an arena's lock guards: the heap, the central free list of small free chunks, and when
//! memory goes back.

use core::ptr::NonNull;

use crate::arena::central_free_list::CentralFreeList;
use crate::arena::coalesce_queue::CoalesceQueue;
use crate::arena::size_class::Class;
use crate::arena::stats::ThreadStats;
use crate::heap::{Corrupt, FreedSorted, Heap, PageSource};
use crate::sys::process;

/// Free chunks from this size on lose their pages when a heap is trimmed.
const LEAST_DISCARDED: usize = 16 << 10;
/// Free bytes that are worth it without being asked, and how long they are to be idle, in
/// milliseconds.
const MUCH_TO_DISCARD: usize = 4 << 20;
const DISCARD_AFTER: u64 = 1000;

/// Bytes in stock that are coalesced before the heap grows.
const STOCK_TO_GROW: usize = 64 << 10;

/// Bytes that stay in stock when nobody asks for memory: what was freed in order is joined soon and
/// given out in order again, which programs feel; what was not is worth more as it is.
const LEAST_KEPT: usize = 1 << 20;
/// Chunks a stretch has on average where coalescing was worth it, and how many tell.
const WORTH_IT: usize = 4;
const TELLING: usize = 1024;

/// One arena's books.
pub struct ArenaState<P> {
    /// The chunks.
    pub heap: Heap<P>,
    /// Small free chunks that are not coalesced yet.
    pub(super) central_list: CentralFreeList,
    /// What of it is on its way into the heap.
    coalesce_queue: CoalesceQueue,
    /// Chunks that went that way so far, and stretches that they were.
    returned: (usize, usize),
    /// Bytes of stock that are kept: more than the least where coalescing joined few.
    keep: usize,
    /// Least bytes that were free since a moment, in milliseconds; 0: not many.
    idle: usize,
    idle_since: u64,
    /// The counts of those who come by the lock, not being the owner.
    pub stats: ThreadStats,
}

impl<P: PageSource> ArenaState<P> {
    pub(super) const fn new(pages: P) -> Self {
        Self {
            heap: Heap::new(pages, 0),
            central_list: CentralFreeList::new(),
            coalesce_queue: CoalesceQueue::new(),
            returned: (0, 0),
            keep: LEAST_KEPT,
            idle: 0,
            idle_since: 0,
            stats: ThreadStats::new(),
        }
    }

    /// Sets the key of heap and stock, which hold nothing yet.
    pub(super) fn set_key(&mut self, key: u64) {
        self.heap.set_key(key);
        self.central_list.set_key(key.rotate_left(23));
    }

    /// Gives a payload back to the heap, past the caches.
    ///
    /// # Safety
    /// As [`Heap::release`].
    pub unsafe fn release(&mut self, payload: NonNull<u8>) -> Result<(), Corrupt> {
        // SAFETY: the caller of this function promises the same.
        unsafe { self.heap.put_back(payload)? };
        self.settle();
        Ok(())
    }

    /// Coalesces the central free list. To be repeated after `Err`.
    pub(super) fn consolidate(&mut self) -> Result<(), Corrupt> {
        self.return_rest()?;
        if self.central_list.bytes() == 0 {
            return Ok(());
        }
        let (chunks, runs) = self.returned;
        self.coalesce_queue.make_room(self.heap.places());
        let mut set_out = Class::all().filter(|class| CentralFreeList::takes(*class));
        let result = set_out.try_for_each(|class| self.set_out(class));
        result.and(self.return_rest())?;
        let (chunks, runs) = (self.returned.0 - chunks, self.returned.1 - runs);
        if chunks >= TELLING {
            let pays = chunks >= WORTH_IT * runs;
            self.keep =
                if pays { LEAST_KEPT.max(self.keep / 2) } else { self.keep.saturating_mul(2) };
        }
        Ok(())
    }

    /// Is so much in stock that it is to be coalesced although nobody asks for memory?
    pub(super) fn has_long_lists(&self) -> bool {
        self.central_list.bytes() > self.keep.min(self.in_use()).max(LEAST_KEPT)
    }

    /// Is there so much in stock that it is to be coalesced before the heap grows?
    pub(super) fn has_long_central_list(&self) -> bool {
        self.central_list.bytes() > STOCK_TO_GROW.max(self.heap.usage().held / 64)
    }

    /// Takes a class out of stock, on its way to the heap.
    fn set_out(&mut self, class: Class) -> Result<(), Corrupt> {
        let (heap, coalesce_queue) = (&mut self.heap, &mut self.coalesce_queue);
        let mut result = Ok(());
        self.central_list.take(class, usize::MAX, |payload| {
            let place = heap.place_of(payload.as_ptr() as usize);
            if !place.is_some_and(|place| coalesce_queue.insert(place)) {
                // SAFETY: a stocked chunk is in use to the heap and nobody's.
                result = unsafe { heap.put_back(payload) };
            }
            result.is_ok()
        })?;
        result
    }

    /// Gives the heap what is on its way, or goes on with what an error interrupted.
    fn return_rest(&mut self) -> Result<(), Corrupt> {
        loop {
            let heap = &mut self.heap;
            let rest = self.coalesce_queue.rest(|place| heap.payload_at(place));
            if rest.is_empty() {
                return Ok(());
            }
            // SAFETY: what is on its way is in use to the heap and nobody's.
            let FreedSorted { chunks, runs, result } = unsafe { heap.put_back_sorted(rest) };
            self.coalesce_queue.done(chunks);
            self.returned = (self.returned.0 + chunks, self.returned.1 + runs);
            result?;
        }
    }

    /// Gives memory back after a peak: the top at once, and the pages inside large free chunks when
    /// more was free throughout a second than the program has. To be called when chunks have come
    /// back.
    pub fn settle(&mut self) {
        self.heap.settle();
        let free = self.heap.free_bytes();
        if free <= MUCH_TO_DISCARD.max(self.in_use()) {
            self.idle = 0;
            return;
        }
        let now = process::coarse_milliseconds();
        if self.idle == 0 {
            (self.idle, self.idle_since) = (free, now);
        }
        if now.wrapping_sub(self.idle_since) >= DISCARD_AFTER {
            if self.idle > MUCH_TO_DISCARD.max(self.in_use()) {
                self.heap.discard_free(LEAST_DISCARDED);
            }
            (self.idle, self.idle_since) = (free, now);
        }
    }

    /// To be called when chunks go out.
    pub(super) fn note_use(&mut self) {
        self.idle = self.idle.min(self.heap.free_bytes());
    }

    /// Bytes that the program has, as far as the heap can tell.
    pub(super) const fn in_use(&self) -> usize {
        self.heap.usage().in_use.saturating_sub(self.central_list.bytes())
    }

    /// Gives what is free back to the source: the top beyond `keep` bytes, pages inside free
    /// chunks. Says whether the heap became smaller. To be repeated after `Err`.
    pub fn trim(&mut self, keep: usize) -> Result<bool, Corrupt> {
        self.consolidate()?;
        self.heap.discard_free(LEAST_DISCARDED);
        Ok(self.heap.trim(keep))
    }
}
