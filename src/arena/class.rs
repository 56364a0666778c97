//! The sizes that caches keep: 32 to 1024 bytes in steps of 16, then eight steps to each doubling
//! up to 32 KiB. Sizes are those of chunks, words included.

use crate::heap::size::{GRANULE, Layout, MIN_CHUNK, WORD};

/// Steps of 16 end here.
const FINE_LIMIT: usize = 1024;
const FINE: usize = (FINE_LIMIT - MIN_CHUNK) / GRANULE + 1;
const STEPS: usize = 8;
/// Largest chunk that is cached.
pub const LARGEST: usize = 32 << 10;
/// Number of classes.
pub const CLASSES: usize = FINE + STEPS * (LARGEST.ilog2() - FINE_LIMIT.ilog2()) as usize;

/// A class of chunk sizes, 0 to [`CLASSES`] - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u8);

impl Class {
    /// The class of the chunks that hold this payload; `None` for what is not cached: large ones,
    /// and those with an alignment of their own.
    pub const fn of(layout: Layout) -> Option<Self> {
        if layout.align > GRANULE || layout.size > LARGEST - WORD {
            return None;
        }
        Some(Self::of_payload(layout.size))
    }

    /// The class for a payload of `size` bytes, at most [`LARGEST`] - 8.
    const fn of_payload(size: usize) -> Self {
        if size <= FINE_LIMIT - WORD {
            // Rounds the chunk up to a granule: (size + 8 + 15) / 16 - 2, and 0 for the smallest.
            let granules = (size + WORD).div_ceil(GRANULE);
            return Self(granules.saturating_sub(MIN_CHUNK / GRANULE) as u8);
        }
        let chunk = size + WORD - 1;
        let exponent = chunk.ilog2();
        let step = (chunk >> (exponent - STEPS.ilog2())) & (STEPS - 1);
        Self((FINE + (exponent - FINE_LIMIT.ilog2()) as usize * STEPS + step) as u8)
    }

    /// The class of a number, if there is one.
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < CLASSES { Some(Self(index as u8)) } else { None }
    }

    /// Its number.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes of its chunks, words included.
    pub const fn chunk_size(self) -> usize {
        let index = self.0 as usize;
        if index < FINE {
            return MIN_CHUNK + index * GRANULE;
        }
        let coarse = index - FINE;
        let base = FINE_LIMIT << (coarse / STEPS);
        base + (coarse % STEPS + 1) * (base / STEPS)
    }

    /// Bytes that the payload of such a chunk holds.
    pub const fn capacity(self) -> usize {
        self.chunk_size() - WORD
    }

    /// All classes, the smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES).filter_map(Self::from_index)
    }
}

const _: () = assert!(CLASSES <= 128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_payload_has_the_smallest_class_that_holds_it() {
        let mut last = 0;
        for size in 0..=LARGEST - WORD {
            let class = Class::of(Layout::plain(size)).expect("a class");
            assert!(class.capacity() >= size, "{size} in {class:?}");
            if let Some(smaller) = class.index().checked_sub(1).and_then(Class::from_index) {
                assert!(smaller.capacity() < size, "{size} in {class:?}");
            }
            assert!(class.index() >= last);
            last = class.index();
        }
        assert_eq!(last, CLASSES - 1);
        assert_eq!(Class::of(Layout::plain(LARGEST - WORD + 1)), None);
        assert_eq!(Class::of(Layout { size: 8, align: 32, lead: 0 }), None);
    }

    #[test]
    fn chunk_sizes_are_granules_and_waste_little() {
        for class in Class::all() {
            assert_eq!(class.chunk_size() % GRANULE, 0);
            assert_eq!(Class::of(Layout::plain(class.capacity())), Some(class));
        }
        assert_eq!(Class::all().map(Class::chunk_size).last(), Some(LARGEST));
    }
}
