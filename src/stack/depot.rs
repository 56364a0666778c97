//! The depot: every stack is stored once, as a chain of nodes from its innermost frame to its outermost;
//! stacks that begin alike share them. A [`SiteId`] stands for a stack everywhere else.
//!
//! A stack is looked up by a hash over its frames, in one step; so are the chain's parts, when a new stack
//! is stored. 64 bits are trusted: with a million stacks two share a hash in one of 30 million runs.
//! Nothing waits: a process that ends in the middle of storing a stack blocks nobody. What two threads store
//! at the same time may be there twice.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::pairs::{Keys, Pairs};
use super::unwind::{EXACT, GUESSED};
use crate::sys::memory;

/// Names a stored stack. Numbered from 1 in the order in which they were first seen; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u32);

impl SiteId {
    /// No stack: not captured, or not stored.
    pub const NONE: Self = Self(0);
}

/// Marks the outermost frame of a stack that could not be followed further.
const LOST: u64 = 1 << 61;
/// Marks the outermost frame of those that are stored of a deeper stack.
const CUT: u64 = 1 << 60;
const MARKS: u64 = EXACT as u64 | GUESSED as u64 | LOST | CUT;

/// A stack to store, by the positions of its frames, 0 the outermost.
pub trait Stack {
    /// Number of frames.
    fn depth(&self) -> usize;
    /// The pc with its marks.
    fn pc(&self, index: usize) -> usize;
    /// Hash over the frames up to `index`, never 0 or 1.
    fn hash(&self, index: usize) -> u64;
    /// How it ends.
    fn ending(&self) -> Ending;
}

/// How a stack ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At the frame that nothing called.
    Whole,
    /// There is no way to tell who called its outermost frame.
    Lost,
    /// It goes on, but that is not stored.
    Cut,
}

/// A stored frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredFrame(u64);

impl StoredFrame {
    /// The return address, or where a signal came in.
    pub const fn pc(self) -> usize {
        (self.0 & !MARKS) as usize
    }

    /// Did a signal come in here, so that the pc is the next instruction's?
    pub const fn is_exact(self) -> bool {
        self.0 & EXACT as u64 != 0
    }

    /// Was it found without unwind information?
    pub const fn is_guessed(self) -> bool {
        self.0 & GUESSED as u64 != 0
    }

    /// How the stack ends, if this is its outermost frame.
    pub const fn ending(self) -> Ending {
        match self.0 & (LOST | CUT) {
            0 => Ending::Whole,
            LOST => Ending::Lost,
            _ => Ending::Cut,
        }
    }
}

#[repr(C)]
struct Node {
    word: u64,
    parent: u32,
    /// The site whose innermost frame this is; 0: none so far.
    site: AtomicU32,
}

/// Nodes in a segment: 512 KiB.
const SEGMENT: usize = 1 << 15;
const SEGMENTS: usize = 1 << 13;
/// Slots of the first table; each further one has four times as many.
const FIRST_SLOTS: usize = 1 << 12;
const TABLES: usize = 10;
/// Slots looked at in each table.
const PROBES: usize = 8;
/// Looks at a slot whose site is being written.
const PATIENCE: usize = 1000;

/// A hash and the node it stands for; 0: not written yet.
struct Slot {
    hash: AtomicU64,
    node: AtomicU32,
}

/// Stacks by their hash, which is spread well.
struct Hashes;

impl Keys for Hashes {
    #[inline(always)]
    fn place(key: u64, bits: u32) -> usize {
        (key >> (64 - bits)) as usize
    }

    fn is_over(_key: u64, _other: u64) -> bool {
        false
    }
}

/// A depot. There is one, but for tests.
pub struct Depot {
    /// Whole stacks once more, apart from their parts: what is asked for at each capture lies close.
    wholes: Pairs<Hashes>,
    segments: [AtomicPtr<Node>; SEGMENTS],
    tables: [AtomicPtr<Slot>; TABLES],
    /// The sites' nodes.
    sites: [AtomicPtr<AtomicU32>; SEGMENTS],
    /// Number of the next node, and of the next site; 0 is none's.
    next: AtomicU32,
    next_site: AtomicU32,
    /// First number that no node gets.
    limit: u32,
    folded: AtomicUsize,
}

static DEPOT: Depot = Depot::new((SEGMENT * SEGMENTS) as u32);

impl Depot {
    const fn new(limit: u32) -> Self {
        Self {
            wholes: Pairs::new(),
            segments: [const { AtomicPtr::new(core::ptr::null_mut()) }; SEGMENTS],
            tables: [const { AtomicPtr::new(core::ptr::null_mut()) }; TABLES],
            sites: [const { AtomicPtr::new(core::ptr::null_mut()) }; SEGMENTS],
            next: AtomicU32::new(1),
            next_site: AtomicU32::new(1),
            limit,
            folded: AtomicUsize::new(0),
        }
    }

    fn intern(&self, stack: &impl Stack) -> SiteId {
        let Some(top) = stack.depth().checked_sub(1) else { return SiteId::NONE };
        let hash = stack.hash(top);
        if let Some(site) = self.wholes.get(hash) {
            return SiteId(site as u32);
        }
        let node = self.intern_whole(stack, top);
        let site = self.site_of(node).unwrap_or(SiteId::NONE);
        if site != SiteId::NONE {
            self.wholes.put(hash, u64::from(site.0));
        }
        site
    }

    /// The node of a stack that was not seen yet, or not as a whole; 0: there is no room at all.
    #[cold]
    #[inline(never)]
    fn intern_whole(&self, stack: &impl Stack, top: usize) -> u32 {
        if let Some(node) = self.find(stack.hash(top)) {
            return node;
        }
        // The innermost frame up to which the stack is stored already.
        let stored = (0..top).rev().find_map(|index| Some((index, self.find(stack.hash(index))?)));
        let (first, mut parent) = stored.map_or((0, 0), |(index, node)| (index + 1, node));
        for index in first..=top {
            let Some(node) = self.store(stack, index, parent) else {
                self.folded.fetch_add(1, Ordering::Relaxed);
                break;
            };
            parent = node;
        }
        parent
    }

    /// The site of a node, which becomes one if it was none. `None`: no room.
    fn site_of(&self, node: u32) -> Option<SiteId> {
        let known = &self.node(node)?.site;
        let found = known.load(Ordering::Acquire);
        if found != 0 {
            return Some(SiteId(found));
        }
        let number = take_number(&self.next_site, self.limit)?;
        self.node_of(SiteId(number), true)?.store(node, Ordering::Release);
        match known.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(SiteId(number)),
            Err(other) => Some(SiteId(other)),
        }
    }

    /// Where a site's node stands.
    fn node_of(&self, site: SiteId, make: bool) -> Option<&AtomicU32> {
        let number = site.0 as usize;
        let segment = self.sites.get(number / SEGMENT)?;
        let first = if make {
            memory::load_or_map(segment, SEGMENT * size_of::<AtomicU32>(), |_| {})?
        } else {
            segment.load(Ordering::Acquire)
        };
        if first.is_null() {
            return None;
        }
        // SAFETY: a segment has that many words, and stays.
        Some(unsafe { &*first.add(number % SEGMENT) })
    }

    /// A node for the frame at `index`. `None`: no room.
    fn store(&self, stack: &impl Stack, index: usize, parent: u32) -> Option<u32> {
        let ending = match stack.ending() {
            Ending::Lost if index == 0 => LOST,
            Ending::Cut if index == 0 => CUT,
            _ => 0,
        };
        let number = take_number(&self.next, self.limit)?;
        let node = self.place(number)?;
        // SAFETY: the number is ours alone until the node is published.
        unsafe {
            let (word, site) = (stack.pc(index) as u64 | ending, AtomicU32::new(0));
            node.write(Node { word, parent, site });
        }
        Some(self.publish(stack.hash(index), number))
    }

    /// The node's memory, mapped if need be.
    fn place(&self, number: u32) -> Option<*mut Node> {
        let number = number as usize;
        let segment = self.segments.get(number / SEGMENT)?;
        let first = memory::load_or_map(segment, SEGMENT * size_of::<Node>(), |_| {})?;
        // SAFETY: a segment has that many nodes.
        Some(unsafe { first.add(number % SEGMENT) })
    }

    fn table(&self, level: usize) -> Option<&[Slot]> {
        let first = self.tables.get(level)?.load(Ordering::Acquire);
        if first.is_null() {
            return None;
        }
        // SAFETY: a table of that level has that many slots, and stays.
        Some(unsafe { core::slice::from_raw_parts(first, slots_of(level)) })
    }

    /// The node that the hash stands for.
    fn find(&self, hash: u64) -> Option<u32> {
        for level in 0..TABLES {
            for slot in slots_for(self.table(level)?, hash) {
                match slot.hash.load(Ordering::Acquire) {
                    0 => return None,
                    found if found == hash => {
                        let node = wait_for(slot);
                        if node.is_some() {
                            return node;
                        }
                    }
                    _ => {}
                }
            }
        }
        None
    }

    /// Lets the hash stand for the node, unless it already stands for one; returns which.
    fn publish(&self, hash: u64, node: u32) -> u32 {
        for level in 0..TABLES {
            let slot = self.tables.get(level);
            if slot
                .and_then(|slot| {
                    memory::load_or_map(slot, size_of::<Slot>() * slots_of(level), |_| {})
                })
                .is_none()
            {
                break;
            }
            for slot in slots_for(self.table(level).unwrap_or(&[]), hash) {
                match slot.hash.compare_exchange(0, hash, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => {
                        slot.node.store(node, Ordering::Release);
                        return node;
                    }
                    Err(found) if found == hash => {
                        if let Some(other) = wait_for(slot) {
                            return other;
                        }
                    }
                    Err(_) => {}
                }
            }
        }
        // No room in the tables: the node works, it is only not found again.
        node
    }

    fn node(&self, number: u32) -> Option<&Node> {
        let segment = self.segments.get(number as usize / SEGMENT)?.load(Ordering::Acquire);
        if segment.is_null() || number == 0 || number >= self.next.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: a segment has that many nodes; whoever knows a number got it after it was written.
        Some(unsafe { &*segment.add(number as usize % SEGMENT) })
    }

    fn frames(&self, site: SiteId) -> impl Iterator<Item = StoredFrame> {
        let mut next = self.node_of(site, false).map_or(0, |node| node.load(Ordering::Acquire));
        core::iter::from_fn(move || {
            let node = self.node(next)?;
            next = node.parent;
            Some(StoredFrame(node.word))
        })
    }
}

const fn slots_of(level: usize) -> usize {
    FIRST_SLOTS << (2 * level)
}

fn slots_for(table: &[Slot], hash: u64) -> impl Iterator<Item = &Slot> {
    let mask = table.len().wrapping_sub(1);
    let first = (hash >> 20) as usize;
    (first..first.wrapping_add(PROBES)).filter_map(move |at| table.get(at & mask))
}

/// The slot's node. `None` if whoever took the slot does not write it: it may have been another thread when
/// this process was forked.
fn wait_for(slot: &Slot) -> Option<u32> {
    for _ in 0..PATIENCE {
        match slot.node.load(Ordering::Acquire) {
            0 => core::hint::spin_loop(),
            node => return Some(node),
        }
    }
    None
}

/// The next number, below the limit.
fn take_number(next: &AtomicU32, limit: u32) -> Option<u32> {
    let below = |number: u32| (number < limit).then_some(number + 1);
    next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below).ok()
}

/// The site of the stack with that hash, if it is known by it.
#[inline(always)]
pub(super) fn known(hash: u64) -> Option<SiteId> {
    DEPOT.wholes.get(hash).map(|site| SiteId(site as u32))
}

/// The site of a stack, stored if it is new. `NONE` for an empty one. When the depot is full: the site of as
/// much of the stack, from outside in, as it has.
pub fn intern(stack: &impl Stack) -> SiteId {
    DEPOT.intern(stack)
}

/// The frames stored for a site, innermost first.
pub fn frames(site: SiteId) -> impl Iterator<Item = StoredFrame> {
    DEPOT.frames(site)
}

/// Forgets what another thread had begun when this process was forked.
pub(super) fn renew_after_fork() {
    DEPOT.wholes.renew_after_fork();
}

/// Number of times that a stack found no room.
pub fn folded() -> usize {
    DEPOT.folded.load(Ordering::Relaxed)
}

#[cfg(test)]
#[path = "depot_tests.rs"]
mod tests;
