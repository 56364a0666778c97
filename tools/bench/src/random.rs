//! Numbers that look random and are the same at every run.

/// SplitMix64: small, quick, and good enough to choose sizes and slots.
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[inline]
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, by multiplication rather than by a slow division.
    #[inline]
    pub(crate) const fn below(&mut self, limit: usize) -> usize {
        ((self.next() as u128 * limit as u128) >> 64) as usize
    }

    /// A number of `low..=high`.
    #[inline]
    pub(crate) const fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// A number of `1 << low..1 << high`, each power of two as likely as the others: small numbers
    /// are the more frequent.
    #[inline]
    pub(crate) const fn by_magnitude(&mut self, low: usize, high: usize) -> usize {
        let power = 1 << self.between(low, high - 1);
        power + self.below(power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_range_and_reach_its_ends() {
        let mut random = Random::new(1);
        let numbers: Vec<usize> = (0..1000).map(|_| random.between(8, 12)).collect();
        assert_eq!(numbers.iter().min(), Some(&8));
        assert_eq!(numbers.iter().max(), Some(&12));
        assert!((0..1000).map(|_| random.by_magnitude(3, 15)).all(|n| (8..32768).contains(&n)));
    }

    #[test]
    fn a_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.next()]
        };
        assert_eq!(numbers(3), numbers(3));
        assert_ne!(numbers(3), numbers(4));
    }
}
