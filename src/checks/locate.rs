//! What does an address point to? The cold half of the shadow: blocks round it, then the
//! process's mappings.

use crate::arch::ADDRESS_BITS;
use crate::checks::guard::slots;
use crate::checks::heap::CheckedHeap;
use crate::checks::layout;
use crate::checks::quarantine::Quarantined;
use crate::checks::unmapped_blocks;
use crate::model::finding::{Block, Defect, Finding, Life, Location, Operation};
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::shadow::guarded_slots;
use crate::shadow::lookup;
use crate::stack::{capture, depot, modules};
use crate::sys::alt_stack;
use crate::sys::fault_net::attempt;
use crate::sys::maps::{self, Lookup};
use crate::sys::thread_number;

/// A pointer further than this from any block is not explained by one.
const NEAR: usize = 4096;

impl CheckedHeap {
    /// Explains a pointer that is no live block: the finding of a bad free, realloc or size query.
    #[cold]
    pub(crate) fn refuse(&self, address: usize, operation: Operation) {
        if self.is_from_the_loader(address) {
            return;
        }
        let located = alt_stack::run(|| attempt(|| self.locate(address)));
        let (place, block) = located.flatten().unwrap_or((Location::Unknown, None));
        let freed = block.is_some_and(|block| block.life == Life::Freed);
        let defect = match (place, operation) {
            (Location::Start, Operation::UsableSize) => Defect::BadFree,
            (Location::Start, _) if freed => Defect::DoubleFree,
            _ => Defect::BadFree,
        };
        let now = capture::full_site();
        self.deliver(&Finding {
            place,
            block,
            ..Finding::new(defect, operation, address, thread_number::number(), now)
        });
    }

    /// The dynamic loader allocates before anybody can be asked, and may free that through us.
    fn is_from_the_loader(&self, address: usize) -> bool {
        if modules::is_loader(address) {
            return true;
        }
        let caller = capture::full_site();
        depot::frames(caller).next().is_some_and(|frame| modules::is_loader(frame.pc()))
    }

    /// The block that `address` is in or near, and the address's place in it. Takes the lock of
    /// mapped blocks.
    pub fn locate_block(&self, address: usize) -> Option<(Location, Block)> {
        if address >> ADDRESS_BITS != 0 {
            return self.block_of_fill(address);
        }
        if guarded_slots::contains(address) {
            return self.locate_guarded(address);
        }
        if let Some(mapped) = { self.mapped().lock().containing(address) } {
            return Some((place_in(&mapped.block, address), mapped.block));
        }
        let (place, block) = self.locate_by_shadow(address)?;
        block.map(|block| (place, block))
    }

    /// The place of `address`, and the block that explains it. Takes the lock of mapped blocks;
    /// may read /proc.
    pub fn locate(&self, address: usize) -> (Location, Option<Block>) {
        if address >> ADDRESS_BITS != 0 {
            return match self.block_of_fill(address) {
                Some((place, block)) => (place, Some(block)),
                None => (Location::NonCanonical, None),
            };
        }
        if guarded_slots::contains(address) {
            let found = self.locate_guarded(address);
            return found.map_or((Location::Heap, None), |(place, block)| (place, Some(block)));
        }
        if let Some(mapped) = { self.mapped().lock().containing(address) } {
            return (place_in(&mapped.block, address), Some(mapped.block));
        }
        if let Some(found) = self.locate_by_shadow(address) {
            return found;
        }
        match self.place_by_mappings(address) {
            Location::Unmapped => match unmapped_blocks::find(address) {
                Some(block) => (place_in(&block, address), Some(block)),
                None => (Location::Unmapped, None),
            },
            place => (place, None),
        }
    }

    /// The block in whose slot an address is, or beside whose slot.
    fn locate_guarded(&self, address: usize) -> Option<(Location, Block)> {
        let block = self.describe_slot(slots::slot_round(address)?)?;
        Some((place_in(&block, address), block))
    }

    fn locate_by_shadow(&self, address: usize) -> Option<(Location, Option<Block>)> {
        let word = block_table::word(address)?;
        let over = self.block_over(address).map(|block| (place_in(&block, address), block));
        let is_inside = matches!(over, Some((Location::Start | Location::Inside(_), _)));
        // Nearer than any neighbour: the block that was here, unless its memory is another's by
        // now.
        if !is_inside && word.state == BlockState::Evicted && address.is_multiple_of(16) {
            return Some((Location::Start, Some(self.describe(address))));
        }
        if let Some((place, block)) = over {
            return Some((place, Some(block)));
        }
        let behind = lookup::after(address).filter(|user| user - address <= NEAR);
        if let Some(user) = behind {
            return Some((Location::Before(user - address), Some(self.describe(user))));
        }
        // A leaf speaks of a whole MiB, of which the heap may own only a part.
        match maps::find(address) {
            Lookup::Mapped(mapping) if mapping.path() == b"[heap]" => Some((Location::Heap, None)),
            _ => None,
        }
    }

    /// The block that `address` is in, or directly behind.
    fn block_over(&self, address: usize) -> Option<Block> {
        let block = self.describe(lookup::at_or_before(address)?);
        let past = (address - block.user).saturating_sub(block.size.unwrap_or(0));
        let behind = lookup::after(address);
        let closer = past > 0 && behind.is_some_and(|user| user - address <= past.min(NEAR));
        (past <= NEAR && !closer).then_some(block)
    }

    /// All that is known of the block that starts, or started, at `user`.
    pub(crate) fn describe(&self, user: usize) -> Block {
        if let Some(mapped) = { self.mapped().lock().get(user) } {
            return mapped.block;
        }
        if let Some(block) = slots::slot_about(user).and_then(|slot| self.describe_slot(slot)) {
            return block;
        }
        let Some(word) = block_table::word(user) else { return Block::at(user) };
        let freed =
            matches!(word.state, BlockState::Quarantined | BlockState::Evicted | BlockState::Busy);
        // An evicted block's head is under the heap's links; the others' heads are as written.
        let whole = self.is_checked() && word.state != BlockState::Evicted;
        // SAFETY: the shadow says that a block is there.
        let head = if whole { unsafe { self.canaries().salvage_head(user) } } else { None };
        let known = head.map_or(Block::at(user), |head| layout::facts(user, head));
        if !freed {
            let bare = !self.is_checked() && matches!(word.state, BlockState::Live(_));
            let size = if bare { Some(self.size_of(user)) } else { known.size };
            return Block { site: word.site, size, ..known };
        }
        let waiting = self.waiting(user);
        Block {
            site: word.site,
            life: Life::Freed,
            size: known.size.or(waiting.map(|waiting| waiting.size)),
            free_site: block_table::free_site(user),
            free_thread: waiting.map(|waiting| waiting.thread),
            ..known
        }
    }

    /// The block at `user` as it waits in a quarantine.
    fn waiting(&self, user: usize) -> Option<Quarantined> {
        let mut found = None;
        self.arenas().for_each(|arena| {
            found = found.or_else(|| arena.local().iter().find(|waiting| waiting.user == user));
        });
        found
    }

    fn place_by_mappings(&self, address: usize) -> Location {
        match maps::find(address) {
            Lookup::Unknown => Location::Unknown,
            Lookup::Unmapped => Location::Unmapped,
            Lookup::Mapped(mapping) => {
                let on_it = |at: usize| at >= mapping.start && at < mapping.end;
                let here = 0u8;
                if on_it(core::ptr::from_ref(&here) as usize) {
                    return Location::Stack(thread_number::number());
                }
                if let Some((owner, _)) = thread_number::stacks().find(|&(_, stack)| on_it(stack)) {
                    return Location::Stack(owner);
                }
                if let Some(tid) = thread_number::with_stack_in(mapping.start, mapping.end) {
                    return Location::StackOf(tid);
                }
                Location::Mapping {
                    executable: mapping.executable,
                    writable: mapping.writable,
                    file: mapping.is_file(),
                }
            }
        }
    }
}

fn place_in(block: &Block, address: usize) -> Location {
    let size = block.size.unwrap_or(usize::MAX);
    match address.wrapping_sub(block.user) {
        0 => Location::Start,
        offset if address < block.user => Location::Before(offset.wrapping_neg()),
        offset if offset < size => Location::Inside(offset),
        offset => Location::Past(offset - size),
    }
}
