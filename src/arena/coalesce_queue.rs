//! Chunks on their way from the central free list back into the heap, in the order of their
//! addresses, so that neighbours are joined at once: chunk by chunk they would be joined through
//! the bins, a dozen cache misses for each.
//!
//! A bit for each place where a chunk may start says that it is on its way: to set one costs less
//! than to sort addresses, and all that is in stock can go at once. A second bit for each word of
//! them tells where any are.

use crate::sys::memory;

const BITS: usize = u64::BITS as usize;
/// Places that one word of the second kind stands for.
const PLACES_A_SUMMARY: usize = BITS * BITS;
/// Places there is room for at first: 64 MiB of heap, in 520 KiB of which only what is used is
/// touched.
const LEAST_ROOM: usize = 4 << 20;
/// Addresses handed out at a time. Neighbours in two batches are joined through the bins.
const BATCH: usize = 512;

/// A set of places, and the batch of addresses that is being dealt with. All zero is empty.
pub(super) struct CoalesceQueue {
    /// Pages of its own: the batch, the summary, the bits. Null: none.
    pages: *mut u64,
    /// Places there is room for, a multiple of what a summary stands for.
    room: usize,
    /// Words of the summary that have been gone through.
    through: usize,
    /// Addresses in the batch, and how many are done.
    count: usize,
    done: usize,
}

// SAFETY: the pages are its own.
unsafe impl Send for CoalesceQueue {}

impl CoalesceQueue {
    pub(super) const fn new() -> Self {
        Self { pages: core::ptr::null_mut(), room: 0, through: 0, count: 0, done: 0 }
    }

    /// Makes room for the places of a heap. Only while it is empty.
    pub(super) fn make_room(&mut self, places: usize) {
        if places <= self.room {
            return;
        }
        let room = places.max(LEAST_ROOM).next_power_of_two();
        if let Some(pages) = memory::map(Self::words(room) * size_of::<u64>()) {
            self.unmap();
            *self = Self { pages: pages as *mut u64, room, ..Self::new() };
        }
    }

    /// Words of all pages.
    const fn words(room: usize) -> usize {
        BATCH + room / PLACES_A_SUMMARY + room / BITS
    }

    fn batch(&self) -> *mut usize {
        self.pages.cast()
    }

    /// Where the word of the summary is that `place` is in, and the word of bits.
    fn words_of(&self, place: usize) -> (*mut u64, *mut u64) {
        let summary = self.pages.wrapping_add(BATCH);
        let bits = summary.wrapping_add(self.room / PLACES_A_SUMMARY);
        (summary.wrapping_add(place / PLACES_A_SUMMARY), bits.wrapping_add(place / BITS))
    }

    /// Puts a place in. `false`: there is no room.
    #[inline]
    pub(super) fn insert(&mut self, place: usize) -> bool {
        if place >= self.room {
            return false;
        }
        let (summary, bits) = self.words_of(place);
        // SAFETY: words of its own pages, since the place is within the room.
        unsafe {
            *summary |= 1 << (place / BITS % BITS);
            *bits |= 1 << (place % BITS);
        }
        true
    }

    /// Addresses that are not done yet, ascending; none if that is all. `address_of` tells a
    /// place's, where 64 from a multiple of that on follow one another.
    pub(super) fn rest(&mut self, address_of: impl Fn(usize) -> Option<usize>) -> &[usize] {
        if self.done == self.count {
            (self.count, self.done) = (0, 0);
            self.fill(address_of);
        }
        if self.count == 0 {
            return &[];
        }
        // SAFETY: so many were written.
        let all = unsafe { core::slice::from_raw_parts(self.batch(), self.count) };
        all.get(self.done..).unwrap_or(&[])
    }

    /// Another `count` of them are done.
    pub(super) fn done(&mut self, count: usize) {
        self.done = (self.done + count).min(self.count);
    }

    /// Takes the next places out and writes their addresses.
    fn fill(&mut self, address_of: impl Fn(usize) -> Option<usize>) {
        while self.through < self.room / PLACES_A_SUMMARY {
            let first = self.through * PLACES_A_SUMMARY;
            let (summary, _) = self.words_of(first);
            // SAFETY: a word of its own pages.
            while let Some(word) = lowest(unsafe { *summary }) {
                if self.count + BITS > BATCH {
                    return;
                }
                let place = first + word * BITS;
                let (_, bits) = self.words_of(place);
                // SAFETY: the summary and the words are pages of its own, and `place` is below
                // their end.
                let taken = unsafe {
                    *summary &= *summary - 1;
                    bits.replace(0)
                };
                // What has no address was in no segment.
                if let Some(start) = address_of(place) {
                    self.write(start, taken);
                }
            }
            self.through += 1;
        }
        self.through = 0;
    }

    /// Adds the addresses that `bits` stand for, of granules from `start` on. There is room for 64.
    fn write(&mut self, start: usize, mut bits: u64) {
        const GRANULE: usize = crate::heap::size::GRANULE;
        while let Some(bit) = lowest(bits) {
            bits &= bits - 1;
            // SAFETY: the batch has room.
            unsafe { self.batch().add(self.count).write(start + bit * GRANULE) };
            self.count += 1;
        }
    }

    fn unmap(&mut self) {
        if !self.pages.is_null() {
            let bytes = Self::words(self.room) * size_of::<u64>();
            // SAFETY: mapped by `make_room`, and nothing in it is used any more.
            unsafe { memory::unmap(self.pages as usize, bytes) };
        }
    }
}

/// Number of the lowest bit that is set.
#[inline]
const fn lowest(bits: u64) -> Option<usize> {
    if bits == 0 { None } else { Some(bits.trailing_zeros() as usize) }
}

impl Drop for CoalesceQueue {
    fn drop(&mut self) {
        self.unmap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(place: usize) -> Option<usize> {
        (place < 1 << 30).then_some(0x10_0000 + place * 16)
    }

    /// All that are in, in batches as they come.
    fn drain(coalesce_queue: &mut CoalesceQueue) -> Vec<usize> {
        let mut all = Vec::new();
        loop {
            let rest = coalesce_queue.rest(address);
            if rest.is_empty() {
                return all;
            }
            all.extend_from_slice(rest);
            let count = rest.len();
            coalesce_queue.done(count);
        }
    }

    #[test]
    fn addresses_come_in_order_and_once() {
        let mut coalesce_queue = CoalesceQueue::new();
        assert!(drain(&mut coalesce_queue).is_empty());
        assert!(!coalesce_queue.insert(1), "there is no room yet");
        coalesce_queue.make_room(LEAST_ROOM);
        let places = [LEAST_ROOM - 1, 7, 4096, 63, 64, 4095, 7];
        assert!(places.iter().all(|&place| coalesce_queue.insert(place)));
        let expected: Vec<_> = [7, 63, 64, 4095, 4096, LEAST_ROOM - 1].map(address).into();
        assert_eq!(coalesce_queue.rest(address).first().copied(), address(7));
        coalesce_queue.done(2);
        assert_eq!(coalesce_queue.rest(address).first().copied(), address(64));
        assert_eq!(
            drain(&mut coalesce_queue),
            expected[2..].iter().flatten().copied().collect::<Vec<_>>()
        );
        assert!(drain(&mut coalesce_queue).is_empty());
    }

    #[test]
    fn more_than_a_batch_comes_whole() {
        let mut coalesce_queue = CoalesceQueue::new();
        coalesce_queue.make_room(1);
        let places: Vec<_> = (0..5000).map(|index| index * index % 70_000 * 3).collect();
        assert!(places.iter().all(|&place| coalesce_queue.insert(place)));
        let mut expected: Vec<_> = places.into_iter().filter_map(address).collect();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(drain(&mut coalesce_queue), expected);
        // What is full grows when it is empty.
        assert!(!coalesce_queue.insert(LEAST_ROOM));
        coalesce_queue.make_room(LEAST_ROOM + 1);
        assert!(coalesce_queue.insert(LEAST_ROOM) && coalesce_queue.insert(3));
        assert_eq!(drain(&mut coalesce_queue), [address(3).unwrap(), address(LEAST_ROOM).unwrap()]);
    }
}
