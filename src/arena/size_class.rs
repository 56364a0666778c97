//! The sizes that caches keep: 32 to 1024 bytes in steps of 16, then eight steps to each doubling
//! up to 32 KiB. Sizes are those of chunks, words included.

use core::num::NonZeroU8;

use crate::heap::size::{GRANULE, Layout, MIN_CHUNK, WORD};

/// Steps of 16 end here.
const FINE_LIMIT: usize = 1024;
const FINE: usize = (FINE_LIMIT - MIN_CHUNK) / GRANULE + 1;
const STEPS: usize = 8;
/// Largest chunk that is cached.
pub const LARGEST: usize = 32 << 10;
/// Number of classes.
pub const CLASSES: usize = FINE + STEPS * (LARGEST.ilog2() - FINE_LIMIT.ilog2()) as usize;

/// A class of chunk sizes: its number, 0 to [`CLASSES`] - 1, plus one, so that no class is a byte,
/// too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(NonZeroU8);

impl Class {
    /// The class of the chunks that hold this payload; `None` for what is not cached: large ones,
    /// and those with an alignment of their own.
    #[inline]
    pub const fn of(layout: Layout) -> Option<Self> {
        if layout.align > GRANULE || layout.size > LARGEST - WORD {
            return None;
        }
        Some(Self::of_payload(layout.size))
    }

    /// The class for a payload of `size` bytes, at most [`LARGEST`] - 8.
    #[inline]
    pub const fn of_payload(size: usize) -> Self {
        match NonZeroU8::new(Self::index_of_payload(size) as u8 + 1) {
            Some(byte) => Self(byte),
            None => Self(NonZeroU8::MIN),
        }
    }

    /// Its number.
    #[inline]
    const fn index_of_payload(size: usize) -> usize {
        if size <= FINE_LIMIT - WORD {
            // Rounds the chunk up to a granule: (size + 8 + 15) / 16 - 2, and 0 for the smallest.
            let granules = (size + WORD).div_ceil(GRANULE);
            return granules.saturating_sub(MIN_CHUNK / GRANULE);
        }
        let chunk = size + WORD - 1;
        let exponent = chunk.ilog2();
        let step = (chunk >> (exponent - STEPS.ilog2())) & (STEPS - 1);
        FINE + (exponent - FINE_LIMIT.ilog2()) as usize * STEPS + step
    }

    /// The class of a number, if there is one.
    #[inline]
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < CLASSES { Self::from_byte(index as u8 + 1) } else { None }
    }

    /// The class that [`Class::byte`] gave; `None` for 0.
    #[inline]
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match NonZeroU8::new(byte) {
            Some(byte) => Some(Self(byte)),
            None => None,
        }
    }

    /// A byte that stands for it: 1 to [`CLASSES`].
    #[inline]
    pub(crate) const fn byte(self) -> u8 {
        self.0.get()
    }

    /// Its number.
    #[inline]
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// Are its chunks of sizes in steps of a granule, so that none is longer than what it holds
    /// needs?
    #[inline(always)]
    pub const fn is_fine(self) -> bool {
        self.0.get() as usize <= FINE
    }

    /// Bytes of its chunks, words included.
    pub const fn chunk_size(self) -> usize {
        let index = self.index();
        if index < FINE {
            return MIN_CHUNK + index * GRANULE;
        }
        let coarse = index - FINE;
        let base = FINE_LIMIT << (coarse / STEPS);
        base + (coarse % STEPS + 1) * (base / STEPS)
    }

    /// Bytes that the payload of such a chunk holds.
    #[inline]
    pub const fn capacity(self) -> usize {
        // One more than there are classes: the byte is the index.
        let byte = self.0.get() as usize;
        if byte <= CLASSES { CAPACITIES[byte] as usize } else { 0 }
    }

    /// All classes, the smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES).filter_map(Self::from_index)
    }
}

/// Capacity by [`Class::byte`].
const CAPACITIES: [u16; CLASSES + 1] = {
    let mut capacities = [0; CLASSES + 1];
    let mut index = 0;
    while let Some(class) = Class::from_index(index) {
        index += 1;
        capacities[index] = (class.chunk_size() - WORD) as u16;
    }
    capacities
};

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
