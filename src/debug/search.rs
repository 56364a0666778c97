//! Blocks by their place: those beside an address, and all that are live, by many states at a look.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::leaf::{self, Granule, LEAF_BYTES, Leaf, leaf_of};
use super::registry::{self, LIVE, State};
use crate::heap::size::GRANULE;
use crate::stack::depot::SiteId;
use crate::sys::memory;

/// Of eight states at once: a bit of these is set in each that is live.
const EIGHT: usize = 8;
const LIVE_BITS: u64 = u64::from_ne_bytes([!(LIVE - 1); EIGHT]);

fn holds_block(state: u8) -> bool {
    state != 0 && State::from_byte(state).holds_block()
}

/// The last block that starts at or below `address`, live or quarantined, within memory that has
/// leaves without a gap.
pub fn at_or_before(address: usize) -> Option<usize> {
    let mut at = address & !(GRANULE - 1);
    loop {
        let leaf = leaf_of(at)?;
        let index = (at & (LEAF_BYTES - 1)) / GRANULE;
        let states = leaf.states.get(..=index)?;
        let found = states.iter().rposition(|state| holds_block(state.load(Ordering::Acquire)));
        match found {
            Some(index) => return Some(leaf.base + index * GRANULE),
            None => at = leaf.base.checked_sub(GRANULE)?,
        }
    }
}

/// The first block that starts above `address`.
pub fn after(address: usize) -> Option<usize> {
    let mut at = (address & !(GRANULE - 1)) + GRANULE;
    loop {
        let leaf = leaf_of(at)?;
        let first = (at & (LEAF_BYTES - 1)) / GRANULE;
        let states = leaf.states.get(first..)?;
        let found = states.iter().position(|state| holds_block(state.load(Ordering::Acquire)));
        match found {
            Some(index) => return Some(at + index * GRANULE),
            None => at = leaf.base + LEAF_BYTES,
        }
    }
}

/// Calls `each` with every block that is live now, leaf by leaf in ascending order inside a leaf.
pub fn for_each_live(mut each: impl FnMut(usize, SiteId)) {
    leaf::for_each_leaf(|leaf| {
        leaf.for_each_live(|index| {
            each(leaf.base + index * GRANULE, registry::site_of(Granule { leaf, index }));
        });
    });
}

/// All leaves by ascending address.
pub fn leaves() -> Vec<&'static Leaf> {
    let mut all = Vec::new();
    leaf::for_each_leaf(|leaf| all.push(leaf));
    all.sort_unstable_by_key(|leaf| leaf.base);
    all
}

impl Leaf {
    /// Granules in a leaf.
    pub const GRANULES: usize = LEAF_BYTES / GRANULE;

    /// The leaf that speaks of `address`.
    #[inline(always)]
    pub fn of(address: usize) -> Option<&'static Self> {
        leaf_of(address)
    }

    /// First address that it speaks of.
    pub const fn base(&self) -> usize {
        self.base
    }

    /// A word that the leak check keeps with it.
    #[inline(always)]
    pub const fn note(&self) -> &AtomicUsize {
        &self.note
    }

    /// Lets what is known of an address, so many bytes behind the leaf's base, come near.
    #[inline(always)]
    pub fn foresee(&self, offset: usize) {
        if let Some(state) = self.states.get(offset / GRANULE) {
            memory::prefetch(core::ptr::from_ref(state) as usize);
        }
    }

    /// Does a live block start at granule `index`?
    #[inline(always)]
    pub fn is_live(&self, index: usize) -> bool {
        self.states.get(index).is_some_and(|state| state.load(Ordering::Relaxed) >= LIVE)
    }

    /// States of eight granules as one word, that of the first in the lowest byte. They may change under this
    /// look, which only says where another one, byte by byte, is worth it.
    #[inline(always)]
    fn live_bits(&self, group: usize) -> u64 {
        let (groups, _) = self.states.as_chunks::<EIGHT>();
        groups.get(group).map_or(0, |states| {
            // SAFETY: eight bytes of the leaf, at a multiple of 8.
            let all = unsafe { states.as_ptr().cast::<u64>().read_volatile() };
            all & LIVE_BITS
        })
    }

    /// Calls `each` with every granule at which a live block starts.
    pub fn for_each_live(&self, mut each: impl FnMut(usize)) {
        // Most of a leaf is empty as a rule: eight groups at a look.
        for first in (0..Self::GRANULES / EIGHT).step_by(EIGHT) {
            let groups = first..first + EIGHT;
            if groups.clone().fold(0, |bits, group| bits | self.live_bits(group)) == 0 {
                continue;
            }
            (groups.start * EIGHT..groups.end * EIGHT)
                .filter(|&index| self.is_live(index))
                .for_each(&mut each);
        }
    }

    /// The last granule in `[from, to]` at which a live block starts.
    #[inline]
    pub fn last_live(&self, from: usize, to: usize) -> Option<usize> {
        let mut group = to / EIGHT;
        // Of the last group only what is not behind `to`.
        let mut bits = self.live_bits(group) & (u64::MAX >> (8 * (EIGHT - 1 - to % EIGHT)));
        loop {
            if bits != 0 {
                let index = group * EIGHT + (63 - bits.leading_zeros() as usize) / 8;
                return (index >= from).then_some(index);
            }
            if group * EIGHT <= from {
                return None;
            }
            group -= 1;
            bits = self.live_bits(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::class::Class;

    /// In an address range that no mapping of the test process is in.
    #[test]
    fn neighbours_are_found_across_leaves() {
        let base = 0x2222_1000_0000;
        assert!(registry::cover(base, 3 << 20));
        registry::set_live(base + 64, None, SiteId(1));
        registry::set_live(base + (2 << 20) + 128, Class::from_index(3), SiteId(2));
        assert_eq!(at_or_before(base + (2 << 20) + 127), Some(base + 64));
        assert_eq!(after(base + 64), Some(base + (2 << 20) + 128));
        assert_eq!(at_or_before(base + 63), None);
        assert_eq!(after(base + (2 << 20) + 128), None);
        let mut seen = 0;
        for_each_live(|user, _| seen += usize::from(user >= base && user < base + (3 << 20)));
        assert_eq!(seen, 2);
        assert_eq!(registry::owner(base), None);
        assert!(at_or_before(usize::MAX).is_none());
    }
}
