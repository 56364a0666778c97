//! The leak check: stops the world, marks, sorts what is lost, and lets the world go on before
//! anything is said.

use super::classify;
use super::classify::find_lost;
use super::graph::{Graph, Interior, Marking, Reach};
use super::reader::Memory;
use super::roots::Roots;
use super::stop;
use crate::checks::{CheckedHeap, deferred_free};
use crate::leak::mappings::AddressSpace;
use crate::leak::mark_bitmap::{BlockSet, MarkBitmap};
use crate::model::leak_report::Leak;
use crate::model::leak_report::LeakCheckObstacle;
use crate::model::leak_report::Loss;
use crate::model::leak_report::NotStopped;
use crate::model::leak_report::Verdict;
use crate::model::site::ProcessSite;
use crate::model::site::SiteTotals;
use crate::options::{self, Name};
use crate::own;
use crate::shadow::{block_table, lookup};
use crate::stack::depot;
use crate::stack::modules;
use crate::stack::unwind::entry_point::Point;
use crate::sys::seccomp;
use crate::sys::stable_hash::StableMap;
use crate::sys::thread_number;

/// What the marks of a block need at most: its places in two lists, which double when they are
/// full.
const BYTES_A_BLOCK: usize = 3 * (8 + 32);
/// What the marks of a MiB need.
const BYTES_A_LEAF: usize = 48 << 10;
/// What all the rest needs.
const BYTES_BESIDES: usize = 8 << 20;

/// A check that was made: the world goes on, and what is lost can be looked at. The heap stays
/// frozen.
pub struct Check<'a> {
    marks: MarkBitmap<'a>,
    memory: Memory,
    /// The reached and the doubtful blocks.
    reached: Groups,
    /// Threads that could not be looked at, by kernel id.
    pub missed: Vec<(u32, NotStopped)>,
    /// Is it not even known which threads there are?
    pub is_blind: bool,
    /// Pages in which the program may keep pointers and that could not be read.
    pub unread_pages: usize,
}

impl<'a> Check<'a> {
    /// Checks. The heap is frozen; `caller` is where the calling thread's stack begins to be the
    /// program's.
    pub fn make(heap: &'a CheckedHeap, caller: &Point) -> Result<Self, LeakCheckObstacle> {
        if seccomp::is_installed() {
            return Err(LeakCheckObstacle::Filter);
        }
        if !heap.notes_exemption() && thread_number::is_forked() {
            return Err(LeakCheckObstacle::Inherited);
        }
        let mut stopped = stop::stop();
        // Blocks that handlers have freed in vain are taken for lost where they cannot be noted.
        stopped.is_blind |= !heap.notes_exemption() && deferred_free::lost() > 0;
        if !own::heap::has_room(room_for_marks()) {
            return Err(LeakCheckObstacle::NoMemory);
        }
        let mut space = AddressSpace::read(heap).ok_or(LeakCheckObstacle::NoMappings)?;
        let memory = Memory::new(space.take_hidden(heap));
        let marks = MarkBitmap::draw(heap).ok_or(LeakCheckObstacle::NoMemory)?;
        let reader = memory.reader();
        let (roots, graph) = (
            Roots::new(&space, &reader, &stopped, caller),
            Graph { marks: &marks, reader: &reader },
        );
        let mark = |interior, set| {
            let mut reach = Reach::new(graph, interior, Marking { marks: &marks, set });
            enter_exempt(&mut reach, &marks);
            let _ = roots.visit(&mut reach);
        };
        mark(Interior::Lenient, BlockSet::Reached);
        let unread_pages = memory.unread();
        let is_strict = options::number(Name::Interior) == 1;
        if is_strict {
            mark(Interior::Strict(&space.constants), BlockSet::Certain);
        }
        find_lost(&marks);
        let mut reached = Groups::default();
        marks.for_each_in(BlockSet::Reached, |block| {
            let is_doubtful =
                is_strict && !marks.contains(BlockSet::Certain, block) && !is_loaders(block);
            reached.add(heap, block, is_doubtful.then_some(Loss::Possible));
        });
        drop(reader);
        stopped.resume();
        let (missed, is_blind) = (core::mem::take(&mut stopped.missed), stopped.is_blind);
        Ok(Self { marks, memory, reached, missed, is_blind, unread_pages })
    }

    /// Is anything lost?
    pub fn has_lost(&self) -> bool {
        let mut any = false;
        self.marks.for_each_in(BlockSet::Lost, |_| any = true);
        any
    }

    /// Was everything looked at, so that what is lost is lost beyond doubt?
    pub const fn is_certain(&self) -> bool {
        self.missed.is_empty() && !self.is_blind
    }

    /// The lost blocks and the others.
    pub fn verdict(&self) -> Verdict {
        self.verdict_without(|_, _| false)
    }

    /// The same if some leaks, by site and loss, and what only they lead to, are not to be
    /// reported.
    pub fn verdict_without(&self, is_suppressed: impl Fn(ProcessSite, Loss) -> bool) -> Verdict {
        let mut suppressed = Groups::default();
        let mut blocks = Vec::new();
        self.for_each_lost(|block, loss| {
            if is_suppressed(site_of(block), loss) {
                blocks.push(block);
            }
        });
        let heap = self.marks.heap();
        let reader = self.memory.reader();
        let graph = Graph { marks: &self.marks, reader: &reader };
        classify::unmark_lost(graph, &blocks, |block| suppressed.add(heap, block, None));
        drop(reader);
        let mut lost = Groups::default();
        self.for_each_lost(|block, loss| lost.add(heap, block, Some(loss)));
        let mut verdict = Verdict::default();
        for (site, loss, group) in self.reached.all().chain(lost.all()) {
            match loss {
                Some(loss) if is_suppressed(site, loss) => verdict.suppressed.add(group.totals),
                Some(loss) => verdict.leaks.push(group.leak(site, loss)),
                None => verdict.reachable.push((site, group.totals)),
            }
        }
        suppressed.all().for_each(|(_, _, group)| verdict.suppressed.add(group.totals));
        verdict.sort();
        verdict
    }

    /// The same for the blocks that are wanted alone; `with_reached`: what can be reached is
    /// listed, too.
    pub fn verdict_of(&self, is_wanted: impl Fn(usize) -> bool, with_reached: bool) -> Verdict {
        let heap = self.marks.heap();
        let (mut lost, mut reached) = (Groups::default(), Groups::default());
        self.for_each_lost(|block, loss| {
            if is_wanted(block) {
                lost.add(heap, block, Some(loss));
            }
        });
        if with_reached {
            self.marks.for_each_in(BlockSet::Reached, |block| {
                if is_wanted(block) {
                    reached.add(heap, block, None);
                }
            });
        }
        let mut verdict = Verdict::default();
        for (site, loss, group) in lost.all() {
            verdict.leaks.extend(loss.map(|loss| group.leak(site, loss)));
        }
        verdict.reachable = reached.all().map(|(site, _, group)| (site, group.totals)).collect();
        verdict.sort();
        verdict
    }

    fn for_each_lost(&self, mut each: impl FnMut(usize, Loss)) {
        let is_certain = self.is_certain();
        let reader = self.memory.reader();
        let graph = Graph { marks: &self.marks, reader: &reader };
        classify::for_each_lost(graph, |block, loss| {
            each(block, if is_certain { loss } else { Loss::Possible });
        });
    }
}

/// Blocks that nobody wants to hear of, and what they lead to, count as reached.
fn enter_exempt(reach: &mut Reach<'_, Marking<'_>>, marks: &MarkBitmap<'_>) {
    marks.for_each_block(|block| {
        if marks.heap().facts(block).is_exempt {
            reach.block(block, 0);
        }
    });
    reach.finish();
}

fn room_for_marks() -> usize {
    let leaves = lookup::leaves();
    let mut blocks = 0;
    leaves.iter().for_each(|leaf| leaf.for_each_live(|_| blocks += 1));
    BYTES_BESIDES + leaves.len() * BYTES_A_LEAF + blocks * BYTES_A_BLOCK
}

fn site_of(block: usize) -> ProcessSite {
    block_table::word(block).map_or(ProcessSite::NONE, |word| word.site)
}

/// Was the block allocated by the dynamic loader, which keeps pointers in ways of its own?
fn is_loaders(block: usize) -> bool {
    depot::frames(site_of(block)).next().is_some_and(|frame| modules::is_loader(frame.pc()))
}

/// Blocks with one site and one fate.
#[derive(Default)]
struct Group {
    totals: SiteTotals,
    objects: Vec<(usize, usize)>,
}

impl Group {
    fn leak(&self, site: ProcessSite, loss: Loss) -> Leak {
        let mut objects = self.objects.clone();
        objects.sort_unstable();
        Leak { site, loss, totals: self.totals, objects }
    }
}

/// Blocks by site and by how they are lost, if they are.
#[derive(Default)]
struct Groups(StableMap<usize, Group>);

/// Site and fate in one number: the hasher likes one.
const FATES: [Option<Loss>; 4] =
    [None, Some(Loss::Direct), Some(Loss::Indirect), Some(Loss::Possible)];

impl Groups {
    fn add(&mut self, heap: &CheckedHeap, block: usize, loss: Option<Loss>) {
        let fate = FATES.iter().position(|&fate| fate == loss).unwrap_or(0);
        let key = site_of(block).0 as usize * FATES.len() + fate;
        let group = self.0.entry(key).or_default();
        let (start, size) = heap.place_of(block);
        group.totals.add(SiteTotals { blocks: 1, bytes: size as u64 });
        if loss.is_some() && options::flag(Name::ReportObjects) {
            group.objects.push((start, size));
        }
    }

    fn all(&self) -> impl Iterator<Item = (ProcessSite, Option<Loss>, &Group)> {
        self.0.iter().map(|(key, group)| {
            let fate = FATES.get(key % FATES.len()).copied().flatten();
            (ProcessSite((key / FATES.len()) as u32), fate, group)
        })
    }
}

impl Verdict {
    fn sort(&mut self) {
        let falling = |totals: &SiteTotals| (u64::MAX - totals.bytes, u64::MAX - totals.blocks);
        let order = |loss| match loss {
            Loss::Direct => 0,
            Loss::Possible => 1,
            Loss::Indirect => 2,
        };
        self.leaks
            .sort_unstable_by_key(|leak| (order(leak.loss), falling(&leak.totals), leak.site));
        self.reachable.sort_unstable_by_key(|(site, totals)| (falling(totals), *site));
    }
}
