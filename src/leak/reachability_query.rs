//! A quick look at a few blocks: does the program still lead to all of them? It asks the other way
//! round than the leak check: not what can be reached, but where the words are that lead to these
//! blocks, and stops when there is one for each. What was there before they came is taken for
//! reachable.
//!
//! The other threads stand still meanwhile: what they unmap could not be looked at.

use crate::leak::roots::RootVisitor;
use crate::leak::roots::Roots;
use core::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::check::Check;
use super::reader::{Memory, MemoryReader};
use super::stop;
use crate::arch::ADDRESS_MASK;
use crate::checks::CheckedHeap;
use crate::heap::size::PAGE;
use crate::leak::live_stacks::LiveStacks;
use crate::leak::mappings::{AddressSpace, Backing};
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::shadow::lookup;
use crate::stack::unwind::entry_point::Point;
use crate::sys::pagemap::Presence;
use crate::sys::safe_read::Window;

/// The answer of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of them are held.
    Held,
    /// Only the leak check can tell.
    Unknown,
}

/// Slots of the table of pages with blocks that are looked for.
const PAGES: usize = 1 << 14;
/// Pages that are remembered for what was found in them.
const REMEMBERED: usize = 64;
/// Larger blocks are looked for by their first pages alone.
const MOST_PAGES: usize = 64;

/// Numbers of pages in which words were found that lead to new blocks: where a cache grows, the
/// next one will be there, too.
static KNOWN: [AtomicUsize; REMEMBERED] = [const { AtomicUsize::new(0) }; REMEMBERED];
static NEXT_KNOWN: AtomicUsize = AtomicUsize::new(0);

struct Query<'a> {
    heap: &'a CheckedHeap,
    reader: &'a MemoryReader<'a>,
    blocks: &'a [usize],
    ends: Vec<usize>,
    is_held: Vec<bool>,
    /// Held and not looked through yet.
    waiting: Vec<usize>,
    missing: usize,
    pages: Box<[u64; PAGES / 64]>,
}

/// Does the program lead to all these live blocks, in ascending order? The heap is frozen; `caller`
/// is where the calling thread's stack begins to be the program's.
pub fn are_held(heap: &CheckedHeap, caller: &Point, blocks: &[usize]) -> Answer {
    if blocks.is_empty() {
        return Answer::Held;
    }
    let mut stopped = stop::stop();
    if !stopped.is_complete() {
        return Answer::Unknown;
    }
    let Some(mut space) = AddressSpace::read(heap) else { return Answer::Unknown };
    if !space.take_hidden(heap).is_empty() {
        return Answer::Unknown;
    }
    let memory = Memory::new(Vec::new());
    let reader = memory.reader();
    let roots = Roots::new(&space, &reader, &stopped, caller);
    let mut query = Query::new(heap, &reader, blocks);
    query.look_everywhere(&roots, &space);
    let is_held = query.missing == 0;
    drop(query);
    drop(reader);
    stopped.resume();
    if is_held { Answer::Held } else { Answer::Unknown }
}

/// The leak check's word. The heap is frozen.
pub fn is_nothing_lost(heap: &CheckedHeap, caller: &Point) -> bool {
    !Check::make(heap, caller).is_ok_and(|check| check.has_lost())
}

impl<'a> Query<'a> {
    fn new(heap: &'a CheckedHeap, reader: &'a MemoryReader<'a>, blocks: &'a [usize]) -> Self {
        let ends: Vec<usize> = blocks.iter().map(|&block| block + heap.extent(block)).collect();
        let mut pages = Box::new([0; PAGES / 64]);
        for (&block, &end) in blocks.iter().zip(&ends) {
            for page in (block / PAGE..=end / PAGE).take(MOST_PAGES) {
                let slot = page % PAGES;
                if let Some(word) = pages.get_mut(slot / 64) {
                    *word |= 1 << (slot % 64);
                }
            }
        }
        let (is_held, missing) = (vec![false; blocks.len()], blocks.len());
        Self { heap, reader, blocks, ends, is_held, waiting: Vec::new(), missing, pages }
    }

    fn look_everywhere(&mut self, roots: &Roots<'_>, space: &AddressSpace) {
        let mut heap_parts = Vec::new();
        self.heap.for_each_stretch(|start, end| heap_parts.push((start, end)));
        self.heap.for_each_mapped(|_, _, live| {
            heap_parts.extend(live.map(|large| (large.user, large.user + large.size)));
        });
        heap_parts.sort_unstable();
        self.look_where_it_was(space, &heap_parts, &roots.threads());
        if self.is_done() || roots.visit(self).is_break() {
            return;
        }
        for (start, end) in heap_parts {
            if self.is_done() {
                return;
            }
            self.part(start, end);
        }
    }

    /// Looks in the pages where something was found before.
    fn look_where_it_was(
        &mut self,
        space: &AddressSpace,
        heap_parts: &[(usize, usize)],
        threads: &LiveStacks<'_>,
    ) {
        for page in
            KNOWN.iter().map(|page| page.load(Ordering::Relaxed) * PAGE).filter(|&page| page != 0)
        {
            let is_in = |&(start, end): &(usize, usize)| start <= page && page + PAGE <= end;
            let may_be_read = heap_parts.iter().any(is_in)
                || space.mappings.iter().any(|mapping| {
                    mapping.backing != Backing::File
                        && is_in(&(mapping.start, mapping.end))
                        && !mapping.is_stack
                        && !threads.has_any_in(*mapping)
                });
            if may_be_read && !self.is_done() {
                self.part(page, page + PAGE);
            }
        }
    }

    /// Looks through what waits. Is there a word for each block?
    fn is_done(&mut self) -> bool {
        while let Some(block) = self.waiting.pop() {
            let end =
                self.blocks.binary_search(&block).ok().and_then(|at| self.ends.get(at).copied());
            self.part(block, end.unwrap_or(block));
        }
        self.missing == 0
    }

    /// Looks through anonymous memory, as far as it was touched.
    fn part(&mut self, start: usize, end: usize) {
        self.reader.memory().for_each_touched(start, end, |start, end, presence| {
            self.look_at(start, end, presence);
        });
    }

    fn look_at(&mut self, start: usize, end: usize, presence: Presence) {
        let (window, reader) = (self.window(), self.reader);
        let _ = reader.words((start, end, presence), window, |at, word| {
            if self.may_lead(word) && self.is_counted(at) && self.note(word) {
                remember(at);
            }
            if self.missing == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }

    /// The words from the first block to right behind the last, whatever tag is in their upper
    /// bits.
    fn window(&self) -> Window {
        let lowest = self.blocks.first().copied().unwrap_or(0);
        let highest = self.ends.last().copied().unwrap_or(0);
        Window { mask: ADDRESS_MASK, lowest, span: highest + 1 - lowest }
    }

    #[inline(always)]
    fn may_lead(&self, word: usize) -> bool {
        let slot = (word / PAGE) % PAGES;
        self.pages.get(slot / 64).is_some_and(|bits| bits >> (slot % 64) & 1 != 0)
    }

    /// Does a word at that address count? Not in a block that is free, nor in one that is looked
    /// for and not known to be held.
    fn is_counted(&self, at: usize) -> bool {
        if block_table::owner(at).is_none() {
            return true;
        }
        let Some(block) = lookup::at_or_before(at) else { return false };
        let is_inside = block_table::state(block).is_some_and(BlockState::is_live)
            && at - block < self.heap.extent(block);
        is_inside
            && self
                .blocks
                .binary_search(&block)
                .map_or(true, |at| self.is_held.get(at) == Some(&true))
    }

    /// Notes what a word leads to. Was that missing?
    fn note(&mut self, word: usize) -> bool {
        let word = word & ADDRESS_MASK;
        let behind = self.blocks.partition_point(|&block| block <= word);
        let Some(at) = behind.checked_sub(1) else { return false };
        let (Some(&end), Some(is_held)) = (self.ends.get(at), self.is_held.get_mut(at)) else {
            return false;
        };
        if word > end || core::mem::replace(is_held, true) {
            return false;
        }
        self.missing -= 1;
        self.waiting.extend(self.blocks.get(at));
        true
    }
}

impl RootVisitor for Query<'_> {
    fn word(&mut self, word: usize) {
        self.note(word);
    }

    fn range(&mut self, start: usize, end: usize, presence: Presence) {
        self.look_at(start, end, presence);
    }

    fn pause(&mut self) -> ControlFlow<()> {
        if self.is_done() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn remember(at: usize) {
    let page = at / PAGE;
    if KNOWN.iter().any(|known| known.load(Ordering::Relaxed) == page) {
        return;
    }
    let slot = NEXT_KNOWN.fetch_add(1, Ordering::Relaxed) % REMEMBERED;
    if let Some(place) = KNOWN.get(slot) {
        place.store(page, Ordering::Relaxed);
    }
}
