//! Which block a word was read from that is fill or poison: each has its block's own bytes.

use crate::checks::fill::{fill_word, poison_word};
use crate::checks::heap::CheckedHeap;
use crate::model::finding::{Block, Location};
use crate::shadow::lookup;

/// Most that a program adds to a pointer before it uses it, or takes away, for which the word is
/// still told.
const MOST_ADDED: isize = 4096;
/// Rotations of the bytes: a pointer may be read from a place that is no multiple of 8.
const ROTATIONS: core::ops::Range<u32> = 0..8;

impl CheckedHeap {
    /// The block whose fill or poison `word` is, with what was added to it. Looks at every block,
    /// live, freed or given up: for when a program is ending.
    pub fn block_of_fill(&self, word: usize) -> Option<(Location, Block)> {
        // Each byte has its top bit set, but where something was added.
        if !self.is_checked() || word as u64 >> 56 & 0x80 == 0 {
            return None;
        }
        let canaries = self.canaries();
        let mut found = None;
        lookup::for_each_known(|user| {
            if found.is_some() {
                return;
            }
            let added_to = |fill: u64| {
                let added = (word as u64).wrapping_sub(fill) as isize;
                let is_near = added.unsigned_abs() < MOST_ADDED.unsigned_abs();
                let is_rotated =
                    || ROTATIONS.into_iter().any(|by| fill.rotate_right(8 * by) == word as u64);
                if is_near { Some(added) } else { is_rotated().then_some(0) }
            };
            let poison = added_to(poison_word(canaries, user)).map(Location::PoisonOf);
            let place =
                poison.or_else(|| added_to(fill_word(canaries, user)).map(Location::FillOf));
            found = place.map(|place| (place, user));
        });
        found.map(|(place, user)| (place, self.describe(user)))
    }
}
