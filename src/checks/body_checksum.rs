//! The sum over the middle of a freed block that is too large to be filled: a late write changes
//! it. Pure.

use crate::arch::{VECTOR, Vector};
use crate::heap::size::{PAGE, WORD};

/// Larger ranges are never summed whole: such blocks have mappings of their own at first.
const MOST: usize = 128 << 10;
/// Bytes of each page that are summed of other ranges.
const OF_PAGE: usize = 64;
const STEP: usize = VECTOR;
/// The bit of a sum that says that only a part of each page is in it.
const SAMPLED: u64 = 1;

/// May all of so many bytes be summed, as far as the size goes?
pub(crate) const fn is_affordable(bytes: usize) -> bool {
    bytes <= MOST
}

/// The sum over `[start, end)`, or if not `all` are wanted, over 64 bytes of each page and the last
/// ones. It says itself which it is.
///
/// # Safety
/// The bytes can be read, 24 of them at least.
#[inline(never)]
pub(crate) unsafe fn sum(start: usize, end: usize, all: bool) -> u64 {
    let mut sums = Sums::new();
    // SAFETY: all within the range.
    unsafe {
        if all {
            sums.add(start, end);
        } else {
            for page in (start..end).step_by(PAGE) {
                sums.add(page, end.min(page + OF_PAGE));
            }
        }
        // The last step whole: it may overlap the one before.
        sums.add(end - STEP, end);
    }
    sums.finish() & !SAMPLED | if all { 0 } else { SAMPLED }
}

/// Is that still the sum over `[start, end)`?
///
/// # Safety
/// As [`sum`].
pub(crate) unsafe fn holds(known: u64, start: usize, end: usize) -> bool {
    // SAFETY: the caller of this function promises the same.
    unsafe { sum(start, end, known & SAMPLED == 0) == known }
}

struct Sums {
    words: Vector,
    all: Vector,
}

impl Sums {
    fn new() -> Self {
        Self { words: Vector::splat(0), all: Vector::splat(0) }
    }

    /// Adds the whole steps of a range.
    ///
    /// # Safety
    /// It can be read.
    #[inline(always)]
    unsafe fn add(&mut self, start: usize, end: usize) {
        let mut at = start;
        while at + STEP <= end {
            // SAFETY: inside the range.
            let step = unsafe { Vector::load(at) };
            self.words = self.words.add_words(step);
            self.all = self.all.add_words(self.words);
            at += STEP;
        }
    }

    fn finish(self) -> u64 {
        let [low, high] = [self.words, self.all].map(|sum| {
            let [first, second] = sum.words();
            first.wrapping_add(second.rotate_left(32))
        });
        low.wrapping_add(high.rotate_left(17)) ^ 0x9e37_79b9_7f4a_7c15
    }
}

const _: () = assert!(STEP == 2 * WORD);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        for size in [24, 31, 100, 4000, MOST] {
            let mut bytes: Vec<u8> = (0..size).map(|at| (at * 7) as u8).collect();
            let start = bytes.as_ptr() as usize;
            // SAFETY: the vector's bytes.
            let sum_now = || unsafe { sum(start, start + size, true) };
            let before = sum_now();
            for at in (0..size).step_by(if size > 1000 { 61 } else { 1 }) {
                let place = bytes.as_mut_ptr().wrapping_add(at);
                for flip in [1, 0x80, 0xff] {
                    // SAFETY: inside the vector.
                    unsafe {
                        place.write(place.read() ^ flip);
                        assert_ne!(sum_now(), before, "byte {at} of {size}");
                        place.write(place.read() ^ flip);
                    }
                }
            }
            assert_eq!(sum_now(), before);
        }
    }

    #[test]
    fn of_a_sample_a_part_of_each_page_counts() {
        let size = 40 * PAGE;
        let mut bytes = vec![3u8; size];
        let start = bytes.as_ptr() as usize;
        // SAFETY: the vector's bytes.
        let sum_now = || unsafe { sum(start, start + size, false) };
        let before = sum_now();
        let seen = [0, 63, 5 * PAGE + 10, size - 1].into_iter().all(|at| {
            let place = bytes.as_mut_ptr().wrapping_add(at);
            // SAFETY: inside the vector.
            unsafe {
                place.write(4);
                let changed = sum_now() != before;
                place.write(3);
                changed
            }
        });
        assert!(seen);
        bytes[5 * PAGE + 100] = 4;
        assert_eq!(sum_now(), before, "not all of a page is looked at");
    }
}
