//! A hash over a stack's frames, from the outermost inwards: each further frame is one step, and
//! what lies further out than some frame can be taken off.

/// Most frames that [`without`] leaves.
pub(crate) const MOST_ASKED: usize = 256;
/// A pc's bits end here, and above them there is room for its generation.
pub(crate) const TENANT: u32 = 47;

/// Hash of no frame, and what tells stacks that end in the dark, or were cut, from whole ones.
pub(crate) const WHOLE: u64 = 0x1234_5678_9abc_def1;
pub(crate) const DARK: u64 = 0x0fed_cba9_8765_4321;
const CUT: u64 = 0x5555_aaaa_1111_7777;

const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
const POWERS: [u64; MOST_ASKED + 1] = {
    let mut powers = [1u64; MOST_ASKED + 1];
    let mut n = 1;
    while n <= MOST_ASKED {
        powers[n] = powers[n - 1].wrapping_mul(BASE);
        n += 1;
    }
    powers
};

/// With one frame more, further in.
#[inline(always)]
pub(crate) const fn with(hash: u64, pc: usize, generation: u32) -> u64 {
    let word = (pc as u64 ^ (generation as u64) << TENANT).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash.wrapping_mul(BASE).wrapping_add(word ^ (word >> 32))
}

/// Without the frames up to the one that had `outer`, `frames` further out; at most [`MOST_ASKED`].
#[inline]
pub(crate) fn without(hash: u64, outer: u64, frames: usize) -> u64 {
    let power = POWERS.get(frames).copied().unwrap_or(0);
    hash.wrapping_sub(outer.wrapping_mul(power)) ^ CUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_off_does_not_matter() {
        let over = |start, pcs: &[usize]| pcs.iter().fold(start, |hash, &pc| with(hash, pc, 0));
        let (one, other) = (over(WHOLE, &[1, 2, 3]), over(DARK, &[9]));
        let inner = [0x40_1000, 0x40_2000];
        let cut = without(over(one, &inner), one, 2);
        assert_eq!(cut, without(over(other, &inner), other, 2));
        assert_ne!(cut, over(WHOLE, &inner));
        assert_ne!(with(one, 7, 0), with(one, 7, 1));
    }
}
