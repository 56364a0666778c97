//! Whose address is this? A state byte and a site word for each 16 bytes (granule) of the program's
//! heap, kept apart from it, speak of the block that starts there. Nothing is read through a pointer
//! before its state says live.
//!
//! A live block's state holds its class, too, so that a free finds the right cache without reading
//! the block. A block has two site words: its own, and the one of the granule in front of it, which
//! is the site it was freed from once it is quarantined or evicted.

use core::sync::atomic::Ordering;

pub(super) use super::leaf::Granule;
pub(super) use super::leaf::cover;
pub use super::leaf::{Leaf, Sites, cover_for};
use crate::arena::class::{CLASSES, Class};
use crate::heap::size::GRANULE;
use crate::stack::depot::SiteId;
use crate::sys::memory;

/// What a granule's state says of the block that starts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No block starts here, or none that matters any more.
    None,
    /// The program owns the block. Its class; `None` for one that is not cached.
    Live(Option<Class>),
    /// Freed, waiting in the quarantine.
    Quarantined,
    /// Freed and given back to the heap; true until the memory is used again.
    Evicted,
    /// Between two states, in the hands of one thread.
    Busy,
    /// No block starts here; the site word is the one that the block behind was freed from.
    FreeSite,
}

/// States from here on are live; the class counts up from the next.
pub(super) const LIVE: u8 = 8;

impl State {
    const fn byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Quarantined => 1,
            Self::Evicted => 2,
            Self::Busy => 3,
            Self::FreeSite => 4,
            Self::Live(None) => LIVE,
            Self::Live(Some(class)) => LIVE + class.byte(),
        }
    }

    pub(super) const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Quarantined,
            2 => Self::Evicted,
            3 => Self::Busy,
            4 => Self::FreeSite,
            live if live >= LIVE => Self::Live(Class::from_byte(live - LIVE)),
            _ => Self::None,
        }
    }

    pub(super) const fn holds_block(self) -> bool {
        matches!(self, Self::Live(_) | Self::Quarantined | Self::Busy)
    }
}

const _: () = assert!(LIVE as usize + CLASSES < 256 && LIVE.is_power_of_two());

/// State and allocation site of a granule, as read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The state.
    pub state: State,
    /// Allocation site, or for [`State::FreeSite`] the site of the free.
    pub site: SiteId,
}

/// What the registry gives with a block that was taken.
#[derive(Clone, Copy)]
pub struct Taken {
    granule: Granule,
    /// Its class; `None` for one that is not cached.
    pub class: Option<Class>,
}

impl Taken {
    /// Where it was allocated.
    pub fn site(&self) -> SiteId {
        site_of(self.granule)
    }

    /// Number of the arena it is from; `None` for a mapped block.
    #[inline]
    pub fn arena(&self) -> Option<u32> {
        owner_of(self.granule)
    }

    /// Plain store of the block's state: it is the taker's.
    #[inline]
    pub fn set(&self, state: State) {
        self.granule.state().store(state.byte(), Ordering::Release);
    }

    /// Where it was allocated.
    #[inline(always)]
    pub(super) fn site_in(&self, sites: Sites) -> SiteId {
        SiteId(self.granule.site_in(sites).load(Ordering::Relaxed))
    }

    /// Notes the site that it was freed from.
    #[inline(always)]
    pub(super) fn set_free_site(&self, site: SiteId, sites: Sites) {
        if site != SiteId::NONE
            && let Some(before) = self.granule.before()
        {
            before.note_free_site(site, sites);
        }
    }
}

pub(super) fn site_of(granule: Granule) -> SiteId {
    granule.site().map_or(SiteId::NONE, |site| SiteId(site.load(Ordering::Relaxed)))
}

fn owner_of(granule: Granule) -> Option<u32> {
    granule.leaf.owner.load(Ordering::Relaxed).checked_sub(1)
}

/// What is known of the granule at `address`; `None` where no block ever was.
pub fn word(address: usize) -> Option<Word> {
    let granule = Granule::at(address)?;
    let state = State::from_byte(granule.state().load(Ordering::Acquire));
    Some(Word { state, site: site_of(granule) })
}

/// What is known of the block that starts at `user`; `None` where none can.
#[inline]
pub fn state(user: usize) -> Option<State> {
    Some(State::from_byte(find(user)?.state().load(Ordering::Acquire)))
}

/// Number of the arena that the memory at `address` belongs to; `None`: to none.
pub fn owner(address: usize) -> Option<u32> {
    Granule::at(address).and_then(owner_of)
}

/// Where the registry speaks of the block at `user`, any value; `None` where none can be. What is done there in
/// one call is done by one look-up.
#[inline(always)]
pub(super) fn find(user: usize) -> Option<Granule> {
    Granule::from(user)
}

/// Declares the block at `user` live. Its head and canaries are written. The second site word keeps
/// what it says until the block is freed.
#[inline]
pub fn set_live(user: usize, class: Option<Class>, site: SiteId) {
    if let Some(granule) = Granule::at(user) {
        if let Some(sites) = Sites::taken() {
            granule.set_site(site, sites);
        }
        granule.set_live(class);
    }
}

impl Granule {
    /// Lets the words of the block that starts here, at `user`, and its head come near while a stack is captured.
    #[inline(always)]
    pub(super) fn foresee(self, user: usize, sites: Sites) {
        // The word of its free is the one in front.
        memory::prefetch(user.wrapping_sub(GRANULE));
        memory::prefetch(core::ptr::from_ref(self.state()) as usize);
        memory::prefetch(core::ptr::from_ref(self.site_in(sites)) as usize);
    }

    /// Notes the site that the block which starts here was allocated at.
    #[inline(always)]
    pub(super) fn set_site(self, site: SiteId, sites: Sites) {
        self.site_in(sites).store(site.0, Ordering::Relaxed);
    }

    /// Declares the block that starts here live.
    #[inline(always)]
    pub(super) fn set_live(self, class: Option<Class>) {
        self.state().store(State::Live(class).byte(), Ordering::Release);
    }

    /// As [`take`].
    #[inline(always)]
    pub(super) fn take(self, into: State, alone: bool) -> Result<Taken, State> {
        let state = self.state();
        let mut seen = state.load(Ordering::Acquire);
        loop {
            if seen < LIVE {
                return Err(State::from_byte(seen));
            }
            let new = into.byte();
            let taken = if alone {
                state.store(new, Ordering::Relaxed);
                Ok(seen)
            } else {
                state.compare_exchange_weak(seen, new, Ordering::AcqRel, Ordering::Acquire)
            };
            match taken {
                Ok(_) => {
                    return Ok(Taken { granule: self, class: Class::from_byte(seen - LIVE) });
                }
                Err(now) => seen = now,
            }
        }
    }

    #[inline(always)]
    fn note_free_site(self, site: SiteId, sites: Sites) {
        self.set_site(site, sites);
        self.state().store(State::FreeSite.byte(), Ordering::Release);
    }
}

/// As [`set_live`] where no stacks are taken.
///
/// # Safety
/// `user` is an address of the heap's.
#[inline(always)]
pub(super) unsafe fn set_live_bare(user: usize, class: Class) {
    // SAFETY: programs' addresses have 47 bits.
    if let Some(granule) = unsafe { Granule::of_heap(user) } {
        granule.state().store(LIVE + class.byte(), Ordering::Release);
    }
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
pub(super) fn capacity(user: usize) -> Option<usize> {
    let state = find(user)?.state().load(Ordering::Acquire);
    match CAPACITIES.get(usize::from(state)) {
        None | Some(0) => None,
        Some(&capacity) => Some(usize::from(capacity)),
    }
}

/// A live block of a class, as looked up for its free.
pub struct Live {
    granule: Granule,
    /// Its class.
    pub class: Class,
}

impl Live {
    /// The block that starts at `user`, if that is one.
    #[inline]
    pub fn at(user: usize) -> Option<Self> {
        let granule = find(user)?;
        let byte = granule.state().load(Ordering::Acquire).checked_sub(LIVE)?;
        Some(Self { granule, class: Class::from_byte(byte)? })
    }

    /// Is it from arena `number`?
    #[inline]
    pub fn belongs_to(&self, number: u32) -> bool {
        self.granule.leaf.owner.load(Ordering::Relaxed) == number + 1
    }

    /// Takes it and calls it evicted; see [`take`]. `false`: somebody else has it.
    #[inline]
    pub fn evict(&self, alone: bool) -> bool {
        let (state, evicted) = (self.granule.state(), State::Evicted.byte());
        if alone {
            state.store(evicted, Ordering::Release);
            return true;
        }
        let live = LIVE + self.class.byte();
        state.compare_exchange(live, evicted, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// Calls a quarantined block evicted and returns the arena it is from; `None`, and nothing done, for a
/// mapped one.
///
/// # Safety
/// `user` is an address of the heap's.
#[inline]
pub(super) unsafe fn evict(user: usize) -> Option<u32> {
    // SAFETY: programs' addresses have 47 bits.
    let granule = unsafe { Granule::of_heap(user) }?;
    let from = owner_of(granule)?;
    granule.state().store(State::Evicted.byte(), Ordering::Release);
    Some(from)
}

/// Plain store of a block's state: for its one owner.
pub fn set(user: usize, state: State) {
    if let Some(granule) = Granule::at(user) {
        granule.state().store(state.byte(), Ordering::Release);
    }
}

/// Notes the site that the block at `user` was freed from.
#[inline]
pub fn set_free_site(user: usize, site: SiteId) {
    if site != SiteId::NONE
        && let (Some(granule), Some(sites)) =
            (Granule::at(user.wrapping_sub(GRANULE)), Sites::taken())
    {
        granule.note_free_site(site, sites);
    }
}

/// The site that a quarantined or evicted block was freed from.
pub fn free_site(user: usize) -> SiteId {
    match word(user.wrapping_sub(GRANULE)) {
        Some(Word { state: State::FreeSite, site }) => site,
        _ => SiteId::NONE,
    }
}

/// Takes the live block at `user` out of the program's hands, in one atomic step: of two threads
/// that free it one gets `Ok`. `alone`: no other thread can be at it, so that no step need be atomic.
/// `Err`: what the state says instead; nothing changed.
#[inline]
pub fn take(user: usize, into: State, alone: bool) -> Result<Taken, State> {
    find(user).map_or(Err(State::None), |granule| granule.take(into, alone))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address range that no mapping of the test process is in.
    const BASE: usize = 0x2222_0000_0000;

    fn class(index: usize) -> Option<Class> {
        Class::from_index(index)
    }

    fn refused(user: usize) -> Option<State> {
        take(user, State::Quarantined, false).err()
    }

    #[test]
    fn states_round_trip() {
        let plain = [State::None, State::Quarantined, State::Evicted, State::Busy, State::FreeSite];
        let live = Class::all().map(|class| State::Live(Some(class)));
        for state in plain.into_iter().chain(live).chain([State::Live(None)]) {
            assert_eq!(State::from_byte(state.byte()), state);
        }
    }

    #[test]
    fn wild_addresses_have_no_word() {
        for address in [0, 1, 8, BASE - 16, 1 << 47, usize::MAX, usize::MAX - 15, 0x4141 << 48] {
            assert_eq!(refused(address), Some(State::None), "{address:#x}");
        }
    }

    #[test]
    fn a_block_is_taken_once() {
        let user = BASE + 0x12_3450;
        assert!(cover_for(7, user, 64));
        assert_eq!(refused(user), Some(State::None));
        set_live(user, class(5), SiteId(77));
        assert_eq!(refused(user + 8), Some(State::None));
        let winners = std::thread::scope(|scope| {
            let taking = || take(user, State::Quarantined, false);
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(taking)).collect();
            threads.into_iter().filter_map(|t| t.join().ok()?.ok()).collect::<Vec<_>>()
        });
        assert_eq!(winners.len(), 1);
        let taken = winners[0];
        assert_eq!((taken.site(), taken.class, taken.arena()), (SiteId(77), class(5), Some(7)));
        assert_eq!(refused(user), Some(State::Quarantined));
        taken.set(State::Evicted);
        assert_eq!(refused(user), Some(State::Evicted));
        set_free_site(user, SiteId(5));
        assert_eq!(free_site(user), SiteId(5));
    }
}
