//! The depot: every stack is stored once, as a chain of nodes from its innermost frame to its
//! outermost; stacks that begin alike share them. A [`ProcessSite`] stands for a stack everywhere
//! else.
//!
//! A stack is looked up by a hash over its frames, in one step; so are the chain's parts, when a
//! new stack is stored. 64 bits are trusted: with a million stacks two share a hash in one of 30
//! million runs. Nothing waits: a process that ends in the middle of storing a stack blocks nobody.
//! What two threads store at the same time may be there twice, and so may what two processes store.

mod node_index;
pub mod prefix_hash;

use crate::model::site::ProcessSite;
use crate::model::site::StackEnd;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::options::{self, Name};
use crate::stack::concurrent_map::{ConcurrentMap, Keys};
use crate::stack::depot::node_index::NodeIndex;
use crate::stack::depot::prefix_hash::TENANT;
use crate::stack::unwind::step::{EXACT, GUESSED};
use crate::trace;
use crate::trace::{ExtentKind, NodeRecord, ProcessImage};

/// Marks the outermost frame of a stack that could not be followed further.
const LOST: u64 = 1 << 61;
/// Marks the outermost frame of those that are stored of a deeper stack.
const CUT: u64 = 1 << 60;
const MARKS: u64 = EXACT as u64 | GUESSED as u64 | LOST | CUT;

/// A stack to store, by the positions of its frames, 0 the outermost.
pub trait FrameSource {
    /// Number of frames.
    fn depth(&self) -> usize;
    /// The pc with its marks.
    fn pc(&self, index: usize) -> usize;
    /// Hash over the frames up to `index`, never 0 or 1.
    fn hash(&self, index: usize) -> u64;
    /// How it ends.
    fn ending(&self) -> StackEnd;
}

/// A stored frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredFrame(u64);

impl StoredFrame {
    /// The return address, or where a signal came in.
    pub const fn pc(self) -> usize {
        (self.0 & ((1 << TENANT) - 1)) as usize
    }

    /// The frame as a node's word has it.
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// Which of the modules that have had that address it is in.
    pub const fn generation(self) -> u32 {
        ((self.0 & !MARKS) >> TENANT) as u32
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
    pub const fn ending(self) -> StackEnd {
        match self.0 & (LOST | CUT) {
            0 => StackEnd::Whole,
            LOST => StackEnd::Lost,
            _ => StackEnd::Cut,
        }
    }
}

/// Stacks by their hash, which is spread well.
struct Hashes;

impl Keys for Hashes {
    const CHANGES_HANDS: bool = false;

    #[inline(always)]
    fn place(key: u64, bits: u32) -> usize {
        (key >> (64 - bits)) as usize
    }

    fn is_over(_key: u64, _other: u64) -> bool {
        false
    }
}

/// Most nodes that are stored, whatever the option says.
const MOST: u32 = 1 << 26;
/// Bytes that a stored frame takes: its node, and its share of the tables by which nodes and sites
/// are found.
const BYTES_OF_NODE: usize = 40;

/// Most nodes by the option on the memory for stacks.
fn most_wanted() -> usize {
    (options::number(Name::MaxStackMemoryMb) << 20) / BYTES_OF_NODE
}

/// A depot. There is one, but for tests.
///
/// Nodes and sites are in the record, and are the same in all processes that were forked from each
/// other; what they are found by is each process's own.
pub struct Depot {
    /// Whole stacks once more, apart from their parts: what is asked for at each capture lies
    /// close.
    wholes: ConcurrentMap<Hashes>,
    parts: NodeIndex,
    /// The sites' nodes, as far as they are mapped.
    sites: [AtomicPtr<AtomicU32>; trace::SITE_SEGMENTS],
    /// Where the sites are where no tree file has them.
    image: ProcessImage,
    /// Unit of the next node, and whose extent that is in; a multiple of an extent's units: in a
    /// fresh one.
    next: AtomicU32,
    owner: AtomicU32,
    stored: AtomicU32,
    /// Most nodes that are stored.
    limit: u32,
    folded: AtomicUsize,
}

static DEPOT: Depot = Depot::new(MOST);

impl Depot {
    const fn new(limit: u32) -> Self {
        Self {
            wholes: ConcurrentMap::new(),
            parts: NodeIndex::new(),
            sites: [const { AtomicPtr::new(core::ptr::null_mut()) }; trace::SITE_SEGMENTS],
            image: ProcessImage::new(),
            next: AtomicU32::new(0),
            owner: AtomicU32::new(0),
            stored: AtomicU32::new(0),
            limit,
            folded: AtomicUsize::new(0),
        }
    }

    fn image(&self) -> &ProcessImage {
        trace::image().unwrap_or(&self.image)
    }

    fn intern(&self, stack: &impl FrameSource) -> ProcessSite {
        let Some(top) = stack.depth().checked_sub(1) else { return ProcessSite::NONE };
        let hash = stack.hash(top);
        if let Some(site) = self.wholes.get(hash) {
            return ProcessSite(site as u32);
        }
        let node = self.intern_whole(stack, top);
        let site = self.site_of(node).unwrap_or(ProcessSite::NONE);
        if site != ProcessSite::NONE {
            self.wholes.put(hash, u64::from(site.0));
        }
        site
    }

    /// The node of a stack that was not seen yet, or not as a whole; 0: there is no room at all.
    #[cold]
    #[inline(never)]
    fn intern_whole(&self, stack: &impl FrameSource, top: usize) -> u32 {
        if let Some(node) = self.parts.find(stack.hash(top)) {
            return node;
        }
        // The innermost frame up to which the stack is stored already.
        let stored =
            (0..top).rev().find_map(|index| Some((index, self.parts.find(stack.hash(index))?)));
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
    fn site_of(&self, node: u32) -> Option<ProcessSite> {
        let known = &self.node(node)?.site;
        let found = known.load(Ordering::Acquire);
        if found != 0 {
            return Some(ProcessSite(found));
        }
        let most = trace::SITES * trace::SITE_SEGMENTS as u32;
        let number = take_number(&self.image().next_site, most)?;
        self.node_of(ProcessSite(number), true)?.store(node, Ordering::Release);
        match known.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(ProcessSite(number)),
            Err(other) => Some(ProcessSite(other)),
        }
    }

    /// Where a site's node stands.
    fn node_of(&self, site: ProcessSite, make: bool) -> Option<&AtomicU32> {
        let (index, at) = (site.0 / trace::SITES, site.0 % trace::SITES);
        let known = self.sites.get(index as usize)?;
        let mut first = known.load(Ordering::Acquire);
        if first.is_null() {
            let shared = self.image().sites.get(index as usize)?;
            let segment = match shared.load(Ordering::Acquire) {
                0 if make => claim_sites(shared, index)?,
                0 => return None,
                number => trace::unit(number * trace::UNITS)?,
            };
            let (done, failed) = (Ordering::AcqRel, Ordering::Acquire);
            let segment = segment as *mut AtomicU32;
            first = known
                .compare_exchange(first, segment, done, failed)
                .map_or_else(|f| f, |_| segment);
        }
        // SAFETY: an extent has that many words, and stays.
        Some(unsafe { &*first.add(at as usize) })
    }

    /// A node for the frame at `index`. `None`: no room.
    fn store(&self, stack: &impl FrameSource, index: usize, parent: u32) -> Option<u32> {
        let ending = match stack.ending() {
            StackEnd::Lost if index == 0 => LOST,
            StackEnd::Cut if index == 0 => CUT,
            _ => 0,
        };
        let number = self.take_node()?;
        let node = trace::unit(number)? as *mut NodeRecord;
        // SAFETY: the number is ours alone until the node is published.
        unsafe {
            let (word, site) = (stack.pc(index) as u64 | ending, AtomicU32::new(0));
            node.write(NodeRecord { word, parent, site });
        }
        Some(self.parts.publish(stack.hash(index), number))
    }

    /// The unit of a fresh node.
    fn take_node(&self) -> Option<u32> {
        let stored = self.stored.load(Ordering::Relaxed);
        if stored >= self.limit || stored as usize >= most_wanted() {
            return None;
        }
        self.stored.fetch_add(1, Ordering::Relaxed);
        // A child goes on in an extent of its own.
        let owner = trace::slot().unwrap_or(0);
        if self.owner.load(Ordering::Relaxed) != owner {
            self.next.store(0, Ordering::Relaxed);
            self.owner.store(owner, Ordering::Relaxed);
        }
        loop {
            let next = self.next.load(Ordering::Relaxed);
            let node = match next % trace::UNITS {
                0 => trace::claim(ExtentKind::Nodes, 0)?.number * trace::UNITS,
                _ => next,
            };
            let taken =
                self.next.compare_exchange(next, node + 1, Ordering::Relaxed, Ordering::Relaxed);
            if taken.is_ok() {
                return Some(node);
            }
        }
    }

    fn node(&self, number: u32) -> Option<&NodeRecord> {
        if number == 0 {
            return None;
        }
        // SAFETY: whoever knows a number got it after the node was written; nodes stay.
        trace::unit(number).map(|address| unsafe { &*(address as *const NodeRecord) })
    }

    fn frames(&self, site: ProcessSite) -> impl Iterator<Item = StoredFrame> {
        let mut next = self.node_of(site, false).map_or(0, |node| node.load(Ordering::Acquire));
        // What is written over may lead in a circle.
        let all = core::iter::from_fn(move || {
            let node = self.node(next)?;
            next = node.parent;
            Some(StoredFrame(node.word))
        });
        all.take(trace::reader::DEEPEST)
    }
}

/// An extent for an image's sites; known to all of its processes if it is in the tree file.
fn claim_sites(shared: &AtomicU32, index: u32) -> Option<usize> {
    let fresh = trace::claim(ExtentKind::Sites, index)?;
    if fresh.number >= trace::MOST_EXTENTS {
        return Some(fresh.address);
    }
    match shared.compare_exchange(0, fresh.number, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(fresh.address),
        Err(other) => trace::unit(other * trace::UNITS),
    }
}

/// The next number, below the limit.
fn take_number(next: &AtomicU32, limit: u32) -> Option<u32> {
    let below = |number: u32| (number < limit).then_some(number + 1);
    next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below).ok()
}

/// The site of the stack with that hash, if it is known by it.
#[inline(always)]
pub(super) fn known(hash: u64) -> Option<ProcessSite> {
    DEPOT.wholes.get(hash).map(|site| ProcessSite(site as u32))
}

/// The site of a stack, stored if it is new. `NONE` for an empty one. When the depot is full: the
/// site of as much of the stack, from outside in, as it has.
pub fn intern(stack: &impl FrameSource) -> ProcessSite {
    DEPOT.intern(stack)
}

/// The frames stored for a site, innermost first.
pub fn frames(site: ProcessSite) -> impl Iterator<Item = StoredFrame> {
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
mod tests;
