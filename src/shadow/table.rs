//! Address -> leaf: a two-level table built on demand, 13 bits, 14 bits, then a leaf for 1 MiB with
//! a state byte and two site words for each slot of 32 bytes, in which at most one block starts.
//! Leaves are never unmapped, so readers need no lock.

use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use crate::heap::size::{GRANULE, MIN_CHUNK};
use crate::options::{self, Name};
use crate::shadow::state::SECOND;
use crate::sys::once_pointer::{Link, Linked, List};
use crate::sys::{memory, seccomp, thread};

const LEAF_SHIFT: u32 = 20;
/// Bytes that a leaf speaks of; it starts at a multiple of that.
pub(crate) const LEAF_BYTES: usize = 1 << LEAF_SHIFT;
/// Bytes of a slot: no two blocks start nearer to each other than that.
pub(crate) const SLOT: usize = 32;
/// Slots of a leaf.
pub(crate) const SLOTS: usize = LEAF_BYTES / SLOT;
const MIDDLE_BITS: u32 = 14;
const TOP_BITS: u32 = 13;
/// Addresses of programs have 47 bits.
const ADDRESS_BITS: u32 = LEAF_SHIFT + MIDDLE_BITS + TOP_BITS;

/// The states of 1 MiB. Where stacks are taken, a pair of site words for each of them lies right
/// behind it in the same mapping.
#[repr(C)]
pub struct Leaf {
    /// Number of the arena whose memory this is, plus one; 0: mapped blocks, of no arena;
    /// [`GUARDED`]: guarded slots.
    pub(crate) owner: AtomicU32,
    /// First address that the leaf speaks of.
    pub(crate) base: usize,
    link: Link<Leaf>,
    /// The leak check's own.
    pub(crate) note: AtomicUsize,
    /// At a multiple of 8.
    pub(crate) states: [AtomicU8; SLOTS],
}

/// Owner of a leaf of guarded slots. No site words lie behind it: they are in the slots' records.
const GUARDED: u32 = u32::MAX;

impl Leaf {
    /// Does it speak of guarded slots?
    #[inline(always)]
    pub(crate) fn is_guarded(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == GUARDED
    }
}

/// The sites of a block.
#[repr(C)]
pub(crate) struct SitePair {
    /// Where it was allocated.
    pub(crate) own: AtomicU32,
    /// Where the last block freed here was freed from; 0: none was, or not known.
    pub(crate) free: AtomicU32,
}

struct MiddleTable {
    leaves: [AtomicPtr<Leaf>; 1 << MIDDLE_BITS],
}

static TOP: [AtomicPtr<MiddleTable>; 1 << TOP_BITS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; 1 << TOP_BITS];
/// All leaves, newest first.
static LEAVES: List<Leaf> = List { first: AtomicPtr::new(core::ptr::null_mut()) };

/// What is said of a block that starts at one address: its leaf, its slot, and which of the slot's
/// halves it is.
#[derive(Clone, Copy)]
pub(crate) struct ShadowSlot {
    pub(crate) leaf: &'static Leaf,
    index: usize,
    /// 0 or [`SECOND`]: what a state that is of such a block has in that bit.
    half: u8,
}

impl ShadowSlot {
    #[inline(always)]
    fn within(leaf: &'static Leaf, address: usize) -> Self {
        let half = (address / GRANULE % 2) as u8 * SECOND;
        Self { leaf, index: (address & (LEAF_BYTES - 1)) / SLOT, half }
    }

    /// Of the granule that `address` is in; `None` where no leaf is, that is where no block ever
    /// was.
    #[inline]
    pub(crate) fn at(address: usize) -> Option<Self> {
        Some(Self::within(leaf_of(address)?, address))
    }

    /// Of the granule that begins at `address`, any value.
    #[inline(always)]
    pub(crate) fn from(address: usize) -> Option<Self> {
        // What makes it no multiple comes on top of what makes it no address of programs.
        let turned = address.rotate_right(GRANULE.trailing_zeros());
        if turned >> (ADDRESS_BITS - GRANULE.trailing_zeros()) != 0 {
            return None;
        }
        let address = turned * GRANULE;
        // SAFETY: just asked for.
        let middle = unsafe { middle_of_program(address) };
        Some(Self::within(leaf_in(middle, address)?, address))
    }

    /// As [`ShadowSlot::at`] for an address of a heap's, which was covered before the heap got its
    /// memory.
    ///
    /// # Safety
    /// `address` is in memory that was covered.
    #[inline(always)]
    pub(crate) unsafe fn of_heap(address: usize) -> Self {
        // SAFETY: what was covered has a leaf, which stays, and programs' addresses have 47 bits.
        let leaf = unsafe { leaf_in(middle_of_program(address), address).unwrap_unchecked() };
        Self::within(leaf, address)
    }

    /// The slot's state: of a block that starts here if [`ShadowSlot::half`] agrees.
    #[inline]
    pub(crate) fn state(self) -> &'static AtomicU8 {
        // The index has 15 bits, and there are 2^15 states.
        self.leaf.states.get(self.index).unwrap_or(&NOWHERE)
    }

    /// 0 or [`SECOND`]: what states of a block that starts here have in that bit.
    #[inline(always)]
    pub(crate) const fn half(self) -> u8 {
        self.half
    }

    /// The granule that it is of.
    pub(crate) const fn address(self) -> usize {
        self.leaf.base + self.index * SLOT + (self.half / SECOND) as usize * GRANULE
    }

    /// Where the site words are, if the leaf has some.
    #[inline(always)]
    pub(crate) fn sites_address(self) -> usize {
        let first = core::ptr::from_ref(self.leaf).addr() + size_of::<Leaf>();
        first + self.index * size_of::<SitePair>()
    }

    /// The site words. A leaf of guarded slots has none.
    #[inline(always)]
    pub(crate) fn sites(self, _: Sites) -> &'static SitePair {
        let place = self.sites_address();
        // SAFETY: a `Sites` exists only where stacks are taken, and `make_leaf` has mapped SLOTS
        // pairs behind the leaf then, which is of no guarded slots; the index is below SLOTS. They
        // are zero at first and stay mapped. The mapping's pointer came from the kernel.
        unsafe { &*core::ptr::with_exposed_provenance(place) }
    }
}

/// Stands in for a state that cannot be asked for.
static NOWHERE: AtomicU8 = AtomicU8::new(0);

/// Says that stacks are taken: every leaf has its site words.
#[derive(Clone, Copy)]
pub struct Sites(());

impl Sites {
    /// Are they?
    #[inline]
    pub fn taken() -> Option<Self> {
        has_sites().then_some(Self(()))
    }

    /// They are.
    ///
    /// # Safety
    /// [`Sites::taken`] has said so in this process.
    #[inline(always)]
    pub const unsafe fn assumed() -> Self {
        Self(())
    }
}

/// Are stacks taken at all? Fixed before the first leaf is made.
#[inline]
pub(crate) fn has_sites() -> bool {
    options::number(Name::MallocContextSize) != 0
}

/// # Safety
/// `address` is less than 2^47.
#[inline(always)]
unsafe fn middle_of_program(address: usize) -> &'static AtomicPtr<MiddleTable> {
    // SAFETY: there are as many places as such addresses have highest bits.
    unsafe { TOP.get_unchecked(address >> (LEAF_SHIFT + MIDDLE_BITS)) }
}

fn middle_of(address: usize) -> Option<&'static AtomicPtr<MiddleTable>> {
    if address >> ADDRESS_BITS != 0 {
        return None;
    }
    TOP.get(address >> (LEAF_SHIFT + MIDDLE_BITS))
}

fn slot_in(middle: &'static MiddleTable, address: usize) -> Option<&'static AtomicPtr<Leaf>> {
    middle.leaves.get((address >> LEAF_SHIFT) & ((1 << MIDDLE_BITS) - 1))
}

#[inline]
pub(crate) fn leaf_of(address: usize) -> Option<&'static Leaf> {
    leaf_in(middle_of(address)?, address)
}

#[inline(always)]
fn leaf_in(middle: &AtomicPtr<MiddleTable>, address: usize) -> Option<&'static Leaf> {
    let middle = middle.load(Ordering::Acquire);
    // SAFETY: a table's pointers are null or lead to mapped tables that stay for ever.
    let middle = unsafe { middle.as_ref() }?;
    let leaf = slot_in(middle, address)?.load(Ordering::Acquire);
    // SAFETY: null, or a leaf that `make_leaf` has mapped for ever.
    unsafe { leaf.as_ref() }
}

/// Makes sure that every address in `[start, start + len)` has a leaf. `false`: no memory.
pub(crate) fn cover(start: usize, len: usize) -> bool {
    each_base(start, len, |base| leaf_for(base, has_sites()).is_some())
}

/// The same for guarded slots.
pub(crate) fn cover_guarded(start: usize, len: usize) -> bool {
    each_base(start, len, |base| {
        let leaf = leaf_for(base, false);
        if let Some(leaf) = leaf {
            leaf.owner.store(GUARDED, Ordering::Release);
        }
        leaf.is_some()
    })
}

/// The same, for memory that belongs to arena `owner`.
pub fn cover_for(owner: u32, start: usize, len: usize) -> bool {
    each_base(start, len, |base| {
        let leaf = leaf_for(base, has_sites());
        if let Some(leaf) = leaf {
            leaf.owner.store(owner + 1, Ordering::Release);
        }
        leaf.is_some()
    })
}

fn each_base(start: usize, len: usize, mut each: impl FnMut(usize) -> bool) -> bool {
    let mut base = start & !(LEAF_BYTES - 1);
    while base < start + len {
        if !each(base) {
            return false;
        }
        base += LEAF_BYTES;
    }
    true
}

fn leaf_for(base: usize, has_sites: bool) -> Option<&'static Leaf> {
    if let Some(leaf) = leaf_of(base) {
        return Some(leaf);
    }
    // Between its publication and its listing others may make blocks there: the leak check, which
    // goes by the list, does not stop a thread in between.
    thread::enter_critical();
    let leaf = make_leaf(base, has_sites);
    thread::leave_critical();
    leaf
}

fn make_leaf(base: usize, has_sites: bool) -> Option<&'static Leaf> {
    let middle = memory::load_or_map(middle_of(base)?, size_of::<MiddleTable>(), |_| {})?;
    // SAFETY: zeroed memory is a valid table, published once and never unmapped.
    let slot = slot_in(unsafe { &*middle }, base)?;
    let sites = if has_sites { size_of::<[SitePair; SLOTS]>() } else { 0 };
    let bytes = size_of::<Leaf>() + sites;
    // SAFETY: `fresh` is the leaf's head in mapped memory of ours.
    let leaf =
        memory::load_or_map(slot, bytes, |fresh| unsafe { (&raw mut (*fresh).base).write(base) })?;
    // SAFETY: a leaf that is mapped for ever; zeroed memory with a base is one.
    let shared = unsafe { &*leaf };
    if !seccomp::is_installed() {
        // Of what is not touched a forked child that looks through it would fault for each page: it
        // inherits pages of zeros, which take no memory.
        let states = shared.states.as_ptr() as usize;
        memory::is_readable(states, states + SLOTS);
    }
    // Two threads may have covered the base at once: the leaf is listed once.
    LEAVES.add(shared);
    Some(shared)
}

/// Calls `each` with every leaf.
pub(crate) fn for_each_leaf(each: impl FnMut(&'static Leaf)) {
    LEAVES.iter().for_each(each);
}

impl Linked for Leaf {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

const _: () = assert!(SLOTS * SLOT == LEAF_BYTES);
// Heads are as far in front of all blocks of a process: these are no nearer to each other than
// their chunks.
const _: () = assert!(SLOT <= MIN_CHUNK && SLOT == 2 * GRANULE);
const _: () = assert!(core::mem::offset_of!(Leaf, states) % 8 == 0);
const _: () = assert!(size_of::<Leaf>().is_multiple_of(align_of::<SitePair>()));
