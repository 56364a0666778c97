//! Ranges of sizes, as `16-64`, packed into a number: the upper bound in the upper half.

use super::numeral::parse_number;
use core::ops::RangeInclusive;

/// Largest bound, as far as the upper half goes.
const LARGEST: usize = u32::MAX as usize;
/// Every size.
pub(super) const LARGEST_SIZES: usize = LARGEST << 32;

/// The forms, as a message names them.
pub(super) const FORMS: &str = "a size in bytes or a range of sizes, as 100 or 16-64";

/// The number that a text stands for.
pub(super) fn parse(text: &str) -> Option<usize> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (parse_number(low)?, parse_number(high)?);
    (low <= high && high <= LARGEST).then_some(low | high << 32)
}

/// The sizes that a number stands for.
pub(super) fn unpack(packed: usize) -> RangeInclusive<usize> {
    packed & u32::MAX as usize..=packed >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_both_ends() {
        assert_eq!(parse("16-64").map(unpack), Some(16..=64));
        assert_eq!(parse("100").map(unpack), Some(100..=100));
        assert_eq!(parse("0-4294967295"), Some(LARGEST_SIZES));
        for bad in ["", "-", "5-", "-5", "64-16", "1-2-3", "0-4294967296", "x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
