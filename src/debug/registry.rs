//! Whose address is this? One word for each 16 bytes (granule) of the program's heap, kept apart
//! from it: the state and the allocation site of the block that starts there. Nothing is read
//! through a pointer before its granule word says live.
//!
//! Address -> leaf goes through a two-level table built on demand: 13 bits, 14 bits, then a leaf of
//! 65536 words for 1 MiB. Leaves are never unmapped, so readers need no lock.
//!
//! A block has two words: its own, and the one of the granule in front of it, which is the site
//! it was freed from once it is quarantined or evicted.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use crate::heap::size::GRANULE;
use crate::heap::{PageSource, Pages};
use crate::stack::depot::SiteId;
use crate::sys::memory;

const LEAF_SHIFT: u32 = 20;
const LEAF_BYTES: usize = 1 << LEAF_SHIFT;
const LEAF_WORDS: usize = LEAF_BYTES / GRANULE;
const MIDDLE_BITS: u32 = 14;
const TOP_BITS: u32 = 13;
/// Addresses of programs have 47 bits.
const ADDRESS_BITS: u32 = LEAF_SHIFT + MIDDLE_BITS + TOP_BITS;

/// What a granule word says of the block that starts at its granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No block starts here, or none that matters any more.
    None,
    /// The program owns the block.
    Live,
    /// Freed, waiting in the quarantine.
    Quarantined,
    /// Freed and given back to the heap; true until the memory is used again.
    Evicted,
    /// Between two states, in the hands of one thread.
    Busy,
    /// Second word of a block: the site it was freed from.
    FreeSite,
}

const STATES: [State; 6] =
    [State::None, State::Live, State::Quarantined, State::Evicted, State::Busy, State::FreeSite];
const STATE_BITS: u32 = 3;

/// State in the low 3 bits, site in the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(u32);

impl Word {
    const fn new(state: State, site: SiteId) -> Self {
        Self(state as u32 | (site.0 << STATE_BITS))
    }

    /// The state.
    pub fn state(self) -> State {
        STATES.get((self.0 & 7) as usize).copied().unwrap_or(State::None)
    }

    /// Allocation site, or for [`State::FreeSite`] the site of the free.
    pub const fn site(self) -> SiteId {
        SiteId(self.0 >> STATE_BITS)
    }
}

struct Leaf {
    words: [AtomicU32; LEAF_WORDS],
    /// First address the leaf speaks of.
    base: usize,
    next: AtomicPtr<Leaf>,
    listed: AtomicBool,
}

struct Middle {
    leaves: [AtomicPtr<Leaf>; 1 << MIDDLE_BITS],
}

static TOP: [AtomicPtr<Middle>; 1 << TOP_BITS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; 1 << TOP_BITS];
/// All leaves, newest first.
static LEAVES: AtomicPtr<Leaf> = AtomicPtr::new(core::ptr::null_mut());

fn middle_of(address: usize) -> Option<&'static AtomicPtr<Middle>> {
    if address >> ADDRESS_BITS != 0 {
        return None;
    }
    TOP.get(address >> (LEAF_SHIFT + MIDDLE_BITS))
}

fn slot_in(middle: &'static Middle, address: usize) -> Option<&'static AtomicPtr<Leaf>> {
    middle.leaves.get((address >> LEAF_SHIFT) & ((1 << MIDDLE_BITS) - 1))
}

fn leaf_of(address: usize) -> Option<&'static Leaf> {
    let middle = middle_of(address)?.load(Ordering::Acquire);
    // SAFETY: a table's pointers are null or lead to mapped tables that stay for ever.
    let middle = unsafe { middle.as_ref() }?;
    let leaf = slot_in(middle, address)?.load(Ordering::Acquire);
    // SAFETY: as above.
    unsafe { leaf.as_ref() }
}

fn word_of(address: usize) -> Option<&'static AtomicU32> {
    let index = (address & (LEAF_BYTES - 1)) / GRANULE;
    leaf_of(address)?.words.get(index)
}

/// Loads the pointer, putting a fresh zeroed `T` there first if it is null.
fn load_or_map<T>(slot: &AtomicPtr<T>, prepare: impl FnOnce(*mut T)) -> Option<&'static T> {
    let mut table = slot.load(Ordering::Acquire);
    if table.is_null() {
        let fresh = memory::map(size_of::<T>())? as *mut T;
        prepare(fresh);
        match slot.compare_exchange(table, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => table = fresh,
            Err(other) => {
                // SAFETY: the fresh table was never published.
                unsafe { memory::unmap(fresh as usize, size_of::<T>()) };
                table = other;
            }
        }
    }
    // SAFETY: zeroed memory is a valid table, published once and never unmapped.
    unsafe { table.as_ref() }
}

/// Makes sure that every address in `[start, start + len)` has a leaf. `false`: no memory.
pub fn cover(start: usize, len: usize) -> bool {
    let mut base = start & !(LEAF_BYTES - 1);
    while base < start + len {
        if !cover_leaf(base) {
            return false;
        }
        base += LEAF_BYTES;
    }
    true
}

fn cover_leaf(base: usize) -> bool {
    let Some(middle) = middle_of(base).and_then(|slot| load_or_map(slot, |_| {})) else {
        return false;
    };
    let Some(slot) = slot_in(middle, base) else { return false };
    if !slot.load(Ordering::Acquire).is_null() {
        return true;
    }
    // SAFETY: `fresh` is a mapped leaf of ours.
    let Some(leaf) = load_or_map(slot, |fresh: *mut Leaf| unsafe { (*fresh).base = base }) else {
        return false;
    };
    let mut head = LEAVES.load(Ordering::Acquire);
    // Two threads may have covered the base at once: only one lists the leaf.
    if !leaf.listed.swap(true, Ordering::AcqRel) {
        let this = core::ptr::from_ref(leaf).cast_mut();
        loop {
            leaf.next.store(head, Ordering::Release);
            match LEAVES.compare_exchange(head, this, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
    }
    true
}

/// The word of the granule at `address`; `None` where no leaf is, that is where no block ever was.
pub fn word(address: usize) -> Option<Word> {
    word_of(address).map(|word| Word(word.load(Ordering::Acquire)))
}

/// Declares the block at `user` live. Its head and canaries are written. The second word keeps
/// what it says until the block is freed.
pub fn set_live(user: usize, site: SiteId) {
    set(user, State::Live, site);
}

/// Plain store of a block's word: for its one owner.
pub fn set(user: usize, state: State, site: SiteId) {
    if let Some(word) = word_of(user) {
        word.store(Word::new(state, site).0, Ordering::Release);
    }
}

/// Notes the site that the block at `user` was freed from.
pub fn set_free_site(user: usize, site: SiteId) {
    if let Some(word) = word_of(user.wrapping_sub(GRANULE)) {
        word.store(Word::new(State::FreeSite, site).0, Ordering::Release);
    }
}

/// The site that a quarantined or evicted block was freed from.
pub fn free_site(user: usize) -> SiteId {
    match word(user.wrapping_sub(GRANULE)) {
        Some(word) if word.state() == State::FreeSite => word.site(),
        _ => SiteId::NONE,
    }
}

/// Takes the live block at `user` out of the program's hands, in one atomic step: of two threads
/// that free it one gets `Ok` with its site. `Err`: what the word says instead; nothing changed.
pub fn take(user: usize, into: State) -> Result<SiteId, State> {
    if !user.is_multiple_of(GRANULE) {
        return Err(State::None);
    }
    let Some(word) = word_of(user) else { return Err(State::None) };
    let mut seen = Word(word.load(Ordering::Acquire));
    while seen.state() == State::Live {
        let new = Word::new(into, seen.site()).0;
        match word.compare_exchange_weak(seen.0, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Ok(seen.site()),
            Err(now) => seen = Word(now),
        }
    }
    Err(seen.state())
}

const fn holds_block(state: State) -> bool {
    matches!(state, State::Live | State::Quarantined | State::Busy)
}

/// The last block that starts at or below `address`, live or quarantined, within memory that has
/// leaves without a gap.
pub fn at_or_before(address: usize) -> Option<usize> {
    let mut at = address & !(GRANULE - 1);
    loop {
        let leaf = leaf_of(at)?;
        let index = (at & (LEAF_BYTES - 1)) / GRANULE;
        let words = leaf.words.get(..=index)?;
        let found = words.iter().rposition(|word| {
            let word = word.load(Ordering::Acquire);
            word != 0 && holds_block(Word(word).state())
        });
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
        let words = leaf.words.get(first..)?;
        let found = words.iter().position(|word| {
            let word = word.load(Ordering::Acquire);
            word != 0 && holds_block(Word(word).state())
        });
        match found {
            Some(index) => return Some(at + index * GRANULE),
            None => at = leaf.base + LEAF_BYTES,
        }
    }
}

/// Calls `each` with every block that is live now, leaf by leaf in ascending order inside a leaf.
pub fn for_each_live(mut each: impl FnMut(usize, SiteId)) {
    let mut leaf = LEAVES.load(Ordering::Acquire);
    // SAFETY: listed leaves stay mapped for ever.
    while let Some(this) = unsafe { leaf.as_ref() } {
        for (index, word) in this.words.iter().enumerate() {
            let word = Word(word.load(Ordering::Acquire));
            if word.state() == State::Live {
                each(this.base + index * GRANULE, word.site());
            }
        }
        leaf = this.next.load(Ordering::Acquire);
    }
}

/// A page source whose memory has leaves before anybody gets it.
pub struct RegisteredPages<P>(pub P);

// SAFETY: hands through what the inner source gives.
unsafe impl<P: PageSource> PageSource for RegisteredPages<P> {
    fn grow(&mut self, end: usize, bytes: usize) -> Option<Pages> {
        let pages = self.0.grow(end, bytes)?;
        if cover(pages.start, pages.len) {
            return Some(pages);
        }
        // SAFETY: nobody has seen the pages yet.
        unsafe { self.0.shrink(pages.start + pages.len, pages.len) };
        None
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        // SAFETY: as the caller says.
        unsafe { self.0.shrink(end, bytes) }
    }

    fn map(&mut self, bytes: usize) -> Option<usize> {
        self.0.map(bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) {
        // SAFETY: as the caller says.
        unsafe { self.0.unmap(start, bytes) };
    }

    unsafe fn remap(&mut self, start: usize, old: usize, new: usize) -> Option<usize> {
        // SAFETY: as the caller says.
        unsafe { self.0.remap(start, old, new) }
    }
}

const _: () = assert!(LEAF_WORDS * GRANULE == LEAF_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    /// An address range that no mapping of the test process is in.
    const BASE: usize = 0x2222_0000_0000;

    #[test]
    fn wild_addresses_have_no_word() {
        for address in [0, 1, 8, BASE - 16, 1 << 47, usize::MAX, usize::MAX - 15, 0x4141 << 48] {
            assert_eq!(take(address, State::Quarantined), Err(State::None), "{address:#x}");
        }
        assert!(at_or_before(usize::MAX).is_none());
    }

    #[test]
    fn a_block_is_taken_once() {
        let user = BASE + 0x12_3450;
        assert!(cover(user, 64));
        assert_eq!(take(user, State::Quarantined), Err(State::None));
        set_live(user, SiteId(77));
        assert_eq!(take(user + 8, State::Quarantined), Err(State::None));
        let winners = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| take(user, State::Quarantined).is_ok())).collect();
            threads.into_iter().filter_map(|t| t.join().ok()).filter(|&won| won).count()
        });
        assert_eq!(winners, 1);
        assert_eq!(take(user, State::Busy), Err(State::Quarantined));
        set_free_site(user, SiteId(5));
        assert_eq!(free_site(user), SiteId(5));
    }

    #[test]
    fn neighbours_are_found_across_leaves() {
        let base = BASE + 0x1000_0000;
        assert!(cover(base, 3 << 20));
        set_live(base + 64, SiteId(1));
        set_live(base + (2 << 20) + 128, SiteId(2));
        assert_eq!(at_or_before(base + (2 << 20) + 127), Some(base + 64));
        assert_eq!(after(base + 64), Some(base + (2 << 20) + 128));
        assert_eq!(at_or_before(base + 63), None);
        assert_eq!(after(base + (2 << 20) + 128), None);
        let mut seen = 0;
        for_each_live(|user, _| seen += usize::from(user >= base && user < base + (3 << 20)));
        assert_eq!(seen, 2);
    }
}
