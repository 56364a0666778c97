//! Blocks by their place: those beside an address, and all that are live, by many states at a look.

use crate::arch;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::heap::size::GRANULE;
use crate::model::site::ProcessSite;
use crate::shadow::state::{BlockState, LIVE, SECOND, is_live};
use crate::shadow::table;
use crate::shadow::table::{LEAF_BYTES, Leaf, SLOT, SLOTS, ShadowSlot, leaf_of};

/// Of eight states at once: a bit of these is set in each that is live.
const EIGHT: usize = 8;
const LIVE_BITS: u64 = u64::from_ne_bytes([!(LIVE - 1) & !SECOND; EIGHT]);

/// Where the block starts that a slot's state is of: live or quarantined, else `None`.
fn start_of_block(leaf: &Leaf, (index, state): (usize, &AtomicU8)) -> Option<usize> {
    let state = state.load(Ordering::Acquire);
    let holds_block = state != 0 && BlockState::from_byte(state & !SECOND).holds_block();
    holds_block.then(|| leaf.start_by(index, state))
}

/// The last block that starts at or below `address`, live or quarantined, within memory that has
/// leaves without a gap.
pub fn at_or_before(address: usize) -> Option<usize> {
    let mut at = address;
    loop {
        let leaf = leaf_of(at)?;
        let slots = leaf.states.iter().enumerate().take(slot_of(at) + 1).rev();
        match slots.filter_map(|slot| start_of_block(leaf, slot)).find(|&start| start <= at) {
            None => at = leaf.base.checked_sub(1)?,
            found => return found,
        }
    }
}

/// The first block that starts above `address`.
pub fn after(address: usize) -> Option<usize> {
    let mut at = address.checked_add(1)?;
    loop {
        let leaf = leaf_of(at)?;
        let slots = leaf.states.iter().enumerate().skip(slot_of(at));
        match slots.filter_map(|slot| start_of_block(leaf, slot)).find(|&start| start >= at) {
            None => at = leaf.base + LEAF_BYTES,
            found => return found,
        }
    }
}

const fn slot_of(address: usize) -> usize {
    (address & (LEAF_BYTES - 1)) / SLOT
}

/// Calls `each` with every block that is live now, leaf by leaf in ascending order inside a leaf.
pub fn for_each_live(mut each: impl FnMut(usize, ProcessSite)) {
    table::for_each_leaf(|leaf| {
        leaf.for_each_live(|user| {
            each(user, ShadowSlot::at(user).map_or(ProcessSite::NONE, ShadowSlot::site))
        });
    });
}

/// Calls `each` with the start of every block that is, waits or was.
pub fn for_each_known(mut each: impl FnMut(usize)) {
    table::for_each_leaf(|leaf| {
        for (index, state) in leaf.states.iter().enumerate() {
            let state = state.load(Ordering::Relaxed);
            if state != 0 {
                each(leaf.start_by(index, state));
            }
        }
    });
}

/// Calls `each` with every leaf.
pub fn for_each_leaf(each: impl FnMut(&'static Leaf)) {
    table::for_each_leaf(each);
}

/// All leaves by ascending address.
pub fn leaves() -> Vec<&'static Leaf> {
    let mut all = Vec::new();
    table::for_each_leaf(|leaf| all.push(leaf));
    all.sort_unstable_by_key(|leaf| leaf.base);
    all
}

impl Leaf {
    /// Bytes that a leaf speaks of.
    pub const BYTES: usize = LEAF_BYTES;
    /// Slots in a leaf: at most one block starts in each.
    pub const SLOTS: usize = SLOTS;
    /// Bytes of a slot.
    pub const SLOT: usize = SLOT;

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
    pub fn prefetch(&self, offset: usize) {
        if let Some(state) = self.states.get(offset / SLOT) {
            arch::prefetch(core::ptr::from_ref(state) as usize);
        }
    }

    /// Does a live block start so many bytes behind the leaf's base?
    #[inline(always)]
    pub fn is_live(&self, offset: usize) -> bool {
        let half = (offset % SLOT / GRANULE) as u8 * SECOND;
        offset.is_multiple_of(GRANULE)
            && self
                .states
                .get(offset / SLOT)
                .is_some_and(|state| is_live(state.load(Ordering::Relaxed) ^ half))
    }

    /// Where the block starts that slot `index` speaks of.
    #[inline(always)]
    pub fn start_in(&self, index: usize) -> usize {
        self.start_by(
            index,
            self.states.get(index).map_or(0, |state| state.load(Ordering::Relaxed)),
        )
    }

    /// The same by a state of the slot.
    #[inline(always)]
    const fn start_by(&self, index: usize, state: u8) -> usize {
        self.base + index * SLOT + (state / SECOND) as usize * GRANULE
    }

    /// States of eight slots as one word, that of the first in the lowest byte. They may change
    /// under this look, which only says where another one, byte by byte, is worth it.
    #[inline(always)]
    fn live_bits(&self, group: usize) -> u64 {
        let (groups, _) = self.states.as_chunks::<EIGHT>();
        groups.get(group).map_or(0, |states| {
            // SAFETY: eight bytes of the leaf, at a multiple of 8, that stay mapped.
            let all = unsafe { arch::read_contended(states.as_ptr() as usize) };
            all as u64 & LIVE_BITS
        })
    }

    /// Calls `each` with the address of every live block.
    #[inline]
    pub fn for_each_live(&self, mut each: impl FnMut(usize)) {
        self.any_live(|user| {
            each(user);
            false
        });
    }

    /// Is any live block, by its address, the one that is looked for?
    #[inline]
    pub fn any_live(&self, mut is_it: impl FnMut(usize) -> bool) -> bool {
        // Most of a leaf is empty as a rule: eight groups at a look.
        for first in (0..SLOTS / EIGHT).step_by(EIGHT) {
            let groups = first..first + EIGHT;
            if groups.clone().fold(0, |bits, group| bits | self.live_bits(group)) == 0 {
                continue;
            }
            for index in groups.start * EIGHT..groups.end * EIGHT {
                let state = self.states.get(index).map_or(0, |state| state.load(Ordering::Relaxed));
                if is_live(state & !SECOND) && is_it(self.start_by(index, state)) {
                    return true;
                }
            }
        }
        false
    }

    /// The last live block that starts in a range of offsets from the leaf's base, the last one
    /// included.
    #[inline]
    pub fn last_live(&self, range: RangeInclusive<usize>) -> Option<usize> {
        let (from, to) = (range.start() / SLOT, range.end() / SLOT);
        let mut group = to / EIGHT;
        // Of the last group only what is not behind the range.
        let is_behind = self.start_in(to) > self.base + range.end();
        let behind = EIGHT - 1 - to % EIGHT + usize::from(is_behind);
        let mut bits = self.live_bits(group) & u64::MAX.checked_shr(8 * behind as u32).unwrap_or(0);
        loop {
            if bits != 0 {
                let index = group * EIGHT + (63 - bits.leading_zeros() as usize) / 8;
                let start = self.start_in(index);
                return (start >= self.base + range.start()).then_some(start);
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
    use crate::arena::size_class::Class;
    use crate::shadow::block_table;

    /// In an address range that no mapping of the test process is in.
    #[test]
    fn neighbours_are_found_across_leaves() {
        let base = 0x2222_1000_0000;
        assert!(block_table::cover(base, 3 << 20));
        block_table::set_live(base + 64, None, ProcessSite(1));
        block_table::set_live(base + (2 << 20) + 128, Class::from_index(3), ProcessSite(2));
        assert_eq!(at_or_before(base + (2 << 20) + 127), Some(base + 64));
        assert_eq!(after(base + 64), Some(base + (2 << 20) + 128));
        assert_eq!(at_or_before(base + 63), None);
        assert_eq!(after(base + (2 << 20) + 128), None);
        let mut seen = 0;
        for_each_live(|user, _| seen += usize::from(user >= base && user < base + (3 << 20)));
        assert_eq!(seen, 2);
        assert_eq!(block_table::owner(base), None);
        assert!(at_or_before(usize::MAX).is_none());
    }

    #[test]
    fn both_granules_of_a_slot_are_looked_at() {
        let base = 0x2222_2000_0000;
        assert!(block_table::cover(base, 1 << 20));
        let leaf = leaf_of(base).expect("a leaf");
        for user in [base + 160, base + 176, base + 288, base + 304, base + (1 << 20) - 16] {
            block_table::set_live(user, None, ProcessSite(1));
            assert_eq!(at_or_before(user - 1), None, "{user:#x}");
            assert_eq!((at_or_before(user), at_or_before(user + 15)), (Some(user), Some(user)));
            assert_eq!((after(user - 1), after(user)), (Some(user), None));
            let offset = user - base;
            assert!(
                leaf.is_live(offset) && !leaf.is_live(offset ^ 16) && !leaf.is_live(offset + 8)
            );
            for from in [0, offset - 32, offset - 1, offset] {
                assert_eq!(leaf.last_live(from..=offset), Some(user), "from {from}");
                assert_eq!(leaf.last_live(from..=LEAF_BYTES - 1), Some(user), "from {from}");
            }
            assert_eq!(leaf.last_live(0..=offset - 1), None);
            assert!(
                offset + 1 >= LEAF_BYTES || leaf.last_live(offset + 1..=LEAF_BYTES - 1).is_none()
            );
            let mut seen = vec![];
            leaf.for_each_live(|block| seen.push(block));
            assert_eq!(seen, [user]);
            block_table::set(user, BlockState::None);
        }
    }
}
