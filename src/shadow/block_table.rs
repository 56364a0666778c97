//! Whose address is this? A state byte and two site words for each 32 bytes (slot) of the program's
//! heap, kept apart from it, speak of the block that starts there: no two start nearer to each
//! other. A bit of the state says at which of the slot's granules. Nothing is read through a
//! pointer before its state says live.
//!
//! A live block's state holds its class, too, so that a free finds the right cache without reading
//! the block. Of the site words one is where it was allocated, one is where it was freed from, once
//! it is quarantined or evicted.

use crate::arch;
use core::sync::atomic::Ordering;

use crate::arena::size_class::Class;
use crate::model::site::ProcessSite;
use crate::shadow::guarded_slots;
pub use crate::shadow::state::BlockState;
use crate::shadow::state::{GUARDED, LIVE, SECOND, is_plain_live};
pub use crate::shadow::table::{Leaf, Sites, cover_for};
pub(crate) use crate::shadow::table::{ShadowSlot, cover};

/// The state of an address and its sites, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockFacts {
    /// The state.
    pub state: BlockState,
    /// Where the block that starts there was allocated.
    pub site: ProcessSite,
}

/// The shadow's facts of a block that was taken.
#[derive(Clone, Copy)]
pub struct Taken {
    slot: ShadowSlot,
    /// Its class; `None` for one that is not cached.
    pub class: Option<Class>,
}

impl Taken {
    /// Where it was allocated.
    pub fn site(&self) -> ProcessSite {
        self.slot.site()
    }

    /// Number of the arena it is from; `None` for a mapped block.
    #[inline]
    pub fn arena(&self) -> Option<u32> {
        owner_of(self.slot)
    }

    /// Plain store of the block's state: it is the taker's.
    #[inline]
    pub fn set(&self, state: BlockState) {
        self.slot.set(state);
    }

    /// Where it was allocated.
    #[inline(always)]
    pub(crate) fn site_in(&self, sites: Sites) -> ProcessSite {
        ProcessSite(self.slot.sites(sites).own.load(Ordering::Relaxed))
    }

    /// Notes the site that it was freed from; none, if that is not known.
    #[inline(always)]
    pub(crate) fn set_free_site(&self, site: ProcessSite, sites: Sites) {
        self.slot.sites(sites).free.store(site.0, Ordering::Relaxed);
    }
}

fn owner_of(slot: ShadowSlot) -> Option<u32> {
    let owner = slot.leaf.owner.load(Ordering::Relaxed).checked_sub(1)?;
    (!slot.leaf.is_guarded()).then_some(owner)
}

/// What is known of the granule at `address`; `None` where no block ever was.
pub fn word(address: usize) -> Option<BlockFacts> {
    let slot = ShadowSlot::at(address)?;
    Some(BlockFacts { state: slot.get(), site: slot.site() })
}

/// What is known of the block that starts at `user`; `None` where none can.
#[inline]
pub fn state(user: usize) -> Option<BlockState> {
    match find(user) {
        Some(slot) => Some(slot.get()),
        // Rust's blocks may start at any address there.
        None if guarded_slots::starts_at(user) => ShadowSlot::at(user).map(ShadowSlot::get),
        None => None,
    }
}

/// Number of the arena that the memory at `address` belongs to; `None`: to none.
pub fn owner(address: usize) -> Option<u32> {
    ShadowSlot::at(address).and_then(owner_of)
}

/// Where the shadow speaks of the block at `user`, any value; `None` where none can be. What is
/// done there in one call is done by one look-up.
#[inline(always)]
pub(crate) fn find(user: usize) -> Option<ShadowSlot> {
    ShadowSlot::from(user)
}

/// Declares the block at `user` live. Its head and canaries are written. The second site word keeps
/// what it says until the block is freed.
#[inline]
pub fn set_live(user: usize, class: Option<Class>, site: ProcessSite) {
    if let Some(slot) = ShadowSlot::at(user) {
        if let Some(sites) = Sites::taken() {
            slot.set_site(site, sites);
        }
        slot.set(BlockState::Live(class));
    }
}

impl ShadowSlot {
    /// What is said of a block that starts here.
    #[inline]
    fn get(self) -> BlockState {
        BlockState::from_byte(self.state().load(Ordering::Acquire) ^ self.half())
    }

    /// Says it of the block that starts here.
    #[inline(always)]
    pub(crate) fn set(self, state: BlockState) {
        self.state().store(state.byte() | self.half(), Ordering::Release);
    }

    /// Where the slot's block was allocated.
    pub(crate) fn site(self) -> ProcessSite {
        if self.leaf.is_guarded() {
            return guarded_slots::site_at(self.address());
        }
        Sites::taken().map_or(ProcessSite::NONE, |sites| {
            ProcessSite(self.sites(sites).own.load(Ordering::Relaxed))
        })
    }

    /// Is the memory here of arena `number`?
    #[inline(always)]
    pub(crate) fn belongs_to(self, number: u32) -> bool {
        self.leaf.owner.load(Ordering::Relaxed) == number + 1
    }

    /// Prefetches the words of the block that starts here, and its header at `header`, while a
    /// stack is captured.
    #[inline(always)]
    pub(crate) fn prefetch(self, header: usize, _: Sites) {
        arch::prefetch(header);
        arch::prefetch(core::ptr::from_ref(self.state()) as usize);
        arch::prefetch(self.sites_address());
    }

    /// Notes the site that the block which starts here was allocated at.
    #[inline(always)]
    pub(crate) fn set_site(self, site: ProcessSite, sites: Sites) {
        self.sites(sites).own.store(site.0, Ordering::Relaxed);
    }

    /// As [`take`].
    #[inline(always)]
    pub(crate) fn take(self, into: BlockState, alone: bool) -> Result<Taken, BlockState> {
        let state = self.state();
        let mut seen = state.load(Ordering::Acquire);
        let new = into.byte() | self.half();
        loop {
            let here = seen ^ self.half();
            if !is_plain_live(here) {
                return Err(BlockState::from_byte(here));
            }
            let taken = if alone {
                state.store(new, Ordering::Relaxed);
                Ok(seen)
            } else {
                state.compare_exchange_weak(seen, new, Ordering::AcqRel, Ordering::Acquire)
            };
            match taken {
                Ok(_) => return Ok(Taken { slot: self, class: Class::from_byte(here - LIVE) }),
                Err(now) => seen = now,
            }
        }
    }
}

/// As [`set_live`] where no stacks are taken.
///
/// # Safety
/// `user` is an address of the heap's.
#[inline(always)]
pub(crate) unsafe fn set_live_bare(user: usize, class: Class) {
    // SAFETY: a heap's memory was covered.
    unsafe { ShadowSlot::of_heap(user) }.set(BlockState::Live(Some(class)));
}

/// What the chunk of a live block of a class holds, by the block's state; 0 for all other states.
static CAPACITIES: [u16; 256] = {
    let mut capacities = [0; 256];
    let mut index = 0;
    while let Some(class) = Class::from_index(index) {
        capacities[(LIVE + class.byte()) as usize] = class.capacity() as u16;
        index += 1;
    }
    capacities
};

/// Bytes that the payload of the live block at `user`, of a class, holds; `None` for all else.
#[inline(always)]
pub(crate) fn capacity(user: usize) -> Option<usize> {
    let slot = find(user)?;
    let state = slot.state().load(Ordering::Acquire) ^ slot.half();
    match CAPACITIES.get(usize::from(state)) {
        None | Some(0) => None,
        Some(&capacity) => Some(usize::from(capacity)),
    }
}

/// A live block of a class, as looked up for its free.
pub struct Live {
    slot: ShadowSlot,
    /// The state that says so.
    seen: u8,
    /// Its class.
    pub class: Class,
}

impl Live {
    /// The block that starts at the slot, if that is one.
    #[inline(always)]
    pub(crate) fn of(slot: ShadowSlot) -> Option<Self> {
        let seen = slot.state().load(Ordering::Acquire);
        let number = (seen ^ slot.half()).wrapping_sub(LIVE);
        // 0 is of no class; what is no live block's wraps, or has the bit that says where.
        if number.wrapping_sub(1) >= SECOND - LIVE - 1 {
            return None;
        }
        Some(Self { slot, seen, class: Class::from_byte(number)? })
    }

    /// Calls it evicted: for the one who frees it, if nobody else does so at the same instant.
    #[inline(always)]
    pub fn evict(&self) {
        let evicted = BlockState::Evicted.byte() | (self.seen & SECOND);
        self.slot.state().store(evicted, Ordering::Release);
    }
}

/// Calls a quarantined block evicted and returns the arena it is from; `None`, and nothing done,
/// for a mapped one.
///
/// # Safety
/// `user` is an address of the heap's.
#[inline]
pub(crate) unsafe fn evict(user: usize) -> Option<u32> {
    // SAFETY: a heap's memory was covered.
    let slot = unsafe { ShadowSlot::of_heap(user) };
    let from = owner_of(slot)?;
    slot.set(BlockState::Evicted);
    Some(from)
}

/// Plain store of a block's state: for its one owner.
pub fn set(user: usize, state: BlockState) {
    if let Some(slot) = ShadowSlot::at(user) {
        slot.set(state);
    }
}

/// Takes the live block at `user`, in a guarded slot, out of the program's hands: of two threads
/// that free it one gets `true`.
pub fn take_guarded(user: usize) -> bool {
    let Some(slot) = ShadowSlot::at(user).filter(|slot| slot.leaf.is_guarded()) else {
        return false;
    };
    let (live, busy) = (GUARDED | slot.half(), BlockState::Busy.byte() | slot.half());
    slot.state().compare_exchange(live, busy, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

/// Notes the site that the block at `user` was freed from; none, if that is not known. Not for one
/// in a guarded slot.
#[inline]
pub fn set_free_site(user: usize, site: ProcessSite) {
    if let (Some(slot), Some(sites)) = (ShadowSlot::at(user), Sites::taken()) {
        slot.sites(sites).free.store(site.0, Ordering::Relaxed);
    }
}

/// The site that a quarantined or evicted block was freed from.
pub fn free_site(user: usize) -> ProcessSite {
    match (ShadowSlot::at(user), Sites::taken()) {
        (Some(slot), _) if slot.leaf.is_guarded() => guarded_slots::free_site_at(user),
        (Some(slot), Some(sites)) => ProcessSite(slot.sites(sites).free.load(Ordering::Relaxed)),
        _ => ProcessSite::NONE,
    }
}

/// Takes the live block at `user` out of the program's hands, in one atomic step: of two threads
/// that free it one gets `Ok`. `alone`: no other thread can be at it, so that no step need be
/// atomic. `Err`: what the state says instead; nothing changed.
#[inline]
pub fn take(user: usize, into: BlockState, alone: bool) -> Result<Taken, BlockState> {
    find(user).map_or(Err(BlockState::None), |slot| slot.take(into, alone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::size_class::CLASSES;

    /// An address range that no mapping of the test process is in.
    const BASE: usize = 0x2222_0000_0000;

    fn class(index: usize) -> Option<Class> {
        Class::from_index(index)
    }

    fn live_at(user: usize) -> Option<Live> {
        find(user).and_then(Live::of)
    }

    fn refused(user: usize) -> Option<BlockState> {
        take(user, BlockState::Quarantined, false).err()
    }

    #[test]
    fn wild_addresses_have_no_word() {
        for address in [0, 1, 8, BASE - 16, 1 << 47, usize::MAX, usize::MAX - 15, 0x4141 << 48] {
            assert_eq!(refused(address), Some(BlockState::None), "{address:#x}");
        }
    }

    #[test]
    fn a_block_is_taken_once() {
        let user = BASE + 0x12_3450;
        assert!(cover_for(7, user, 64));
        assert_eq!(refused(user), Some(BlockState::None));
        set_live(user, class(5), ProcessSite(77));
        assert_eq!(refused(user + 8), Some(BlockState::None));
        let winners = std::thread::scope(|scope| {
            let taking = || take(user, BlockState::Quarantined, false);
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(taking)).collect();
            threads.into_iter().filter_map(|t| t.join().ok()?.ok()).collect::<Vec<_>>()
        });
        assert_eq!(winners.len(), 1);
        let taken = winners[0];
        assert_eq!(
            (taken.site(), taken.class, taken.arena()),
            (ProcessSite(77), class(5), Some(7))
        );
        assert_eq!(refused(user), Some(BlockState::Quarantined));
        taken.set(BlockState::Evicted);
        assert_eq!(refused(user), Some(BlockState::Evicted));
        set_free_site(user, ProcessSite(5));
        assert_eq!(free_site(user), ProcessSite(5));
    }

    /// A slot speaks of one of its granules at a time.
    #[test]
    fn a_block_16_bytes_beside_another_is_not_taken_for_it() {
        let (even, odd) = (BASE + (1 << 20), BASE + (1 << 20) + 16);
        assert!(cover_for(7, even, 64));
        for (user, other) in [(even, odd), (odd, even)] {
            for live in [None, class(0), class(CLASSES - 1)] {
                set_live(user, live, ProcessSite(1));
                assert_eq!(
                    (state(user), state(other)),
                    (Some(BlockState::Live(live)), Some(BlockState::None))
                );
                assert_eq!(capacity(user), live.map(Class::capacity));
                assert_eq!((capacity(other), refused(other)), (None, Some(BlockState::None)));
                assert!(live_at(other).is_none());
                assert_eq!(live_at(user).map(|live| live.class), live);
            }
            for freed in [BlockState::Quarantined, BlockState::Evicted, BlockState::Busy] {
                set(user, freed);
                assert_eq!((refused(user), refused(other)), (Some(freed), Some(BlockState::None)));
            }
        }
        set_live(even, class(3), ProcessSite(1));
        assert!(live_at(even).map(|live| live.evict()).is_some());
        set_live(odd, class(3), ProcessSite(1));
        assert!(live_at(odd).map(|live| live.evict()).is_some());
        assert_eq!((state(even), state(odd)), (Some(BlockState::None), Some(BlockState::Evicted)));
    }
}
