//! How processes end, and what is left of them: kept if they came to no end of their own, given
//! back if nobody runs their program any more.

use std::collections::{HashMap, HashSet};

use mallocop::debug::SiteTotals;
use mallocop::record::read::{self, Bytes, Tag};
use mallocop::record::{Kind, State};
use mallocop::report::outcome::Reachable;
use mallocop::stack::depot::SiteId;
use mallocop::stack::totals::SiteCounts;

use super::Intake;
use crate::leftovers;
use crate::recording::End;

impl<B: Bytes> Intake<B> {
    /// Settles how each process has ended that is left. `namespace` is the one whose ids can be
    /// asked for.
    pub(crate) fn conclude(&mut self, namespace: u32) {
        let tags = self.reader.tags();
        let numbers: Vec<u32> = self.seen.keys().copied().collect();
        self.settle(&numbers, &tags, |process| {
            process.namespace == namespace && leftovers::is_alive(process.pid)
        });
    }

    /// The program was not killed: where it has not said how it left, that was by a way of its own.
    pub(crate) fn note_exit(&mut self) {
        let all = self.recording.processes.iter_mut();
        for process in all.filter(|process| process.is_root && process.end == End::Killed) {
            process.end = End::Left;
        }
    }

    /// Gives back what is not needed any more: of programs of which no process is left, and was
    /// left a round before. The tags say what.
    pub(crate) fn retire(&mut self, namespace: u32) -> Vec<Tag> {
        let tags = self.reader.tags();
        let before = std::mem::take(&mut self.gone);
        let mut images: HashMap<u32, (bool, Vec<u32>)> = HashMap::new();
        for tag in tags.iter().filter(|tag| tag.kind == Kind::Process) {
            // Who is not known yet keeps the program that it was forked from, too.
            let process = self.reader.process(tag.number);
            let seen = self.seen.get(&tag.number);
            let image =
                process.as_ref().map(|process| process.image).or(seen.map(|seen| seen.image));
            let Some(image) = image else { continue };
            let gone = process.zip(seen).filter(|(process, seen)| {
                process.serial == seen.serial
                    && process.namespace == namespace
                    && seen.log_at >= process.log_used
                    && (self.is_replaced(process) || !leftovers::is_alive(process.pid))
            });
            let gone = gone.map(|(process, _)| (tag.number, process.serial));
            self.gone.extend(gone);
            let (is_over, numbers) = images.entry(image).or_insert((true, Vec::new()));
            *is_over &= gone.is_some_and(|gone| before.contains(&gone));
            numbers.push(tag.number);
        }
        let over: Vec<u32> = images
            .into_values()
            .filter(|(over, _)| *over)
            .flat_map(|(_, numbers)| numbers)
            .collect();
        if over.is_empty() {
            return Vec::new();
        }
        self.settle(&over, &tags, |_| false);
        let over: HashSet<u32> = over.into_iter().collect();
        self.seen.retain(|number, _| !over.contains(number));
        self.sites.retain(|(image, _), _| !over.contains(image));
        self.frames.retain(|(owner, _), _| !over.contains(owner));
        self.gone.retain(|(number, _)| !over.contains(number));
        self.reader.forget();
        tags.into_iter().filter(|tag| over.contains(&tag.owner)).collect()
    }

    /// Number of processes that are not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.seen.len()
    }

    /// Has the process become another program, which has told of itself?
    fn is_replaced(&self, process: &read::Process) -> bool {
        let last = self.executed.get(&(process.namespace, process.pid));
        last.is_some_and(|&last| last > process.serial)
    }

    fn settle(&mut self, numbers: &[u32], tags: &[Tag], is_alive: impl Fn(&read::Process) -> bool) {
        let mut tags_of: HashMap<u32, Vec<Tag>> = HashMap::new();
        tags.iter().for_each(|tag| tags_of.entry(tag.owner).or_default().push(*tag));
        for &number in numbers {
            let Some(process) = self.reader.process(number) else { continue };
            let end = match process.state {
                State::Exited => End::Exited,
                State::Left => End::Left,
                State::Executing => End::Replaced,
                State::Running if self.is_replaced(&process) => End::Replaced,
                State::Running if is_alive(&process) => End::Running,
                State::Running => End::Killed,
            };
            let in_use = match (end, tags_of.get(&number)) {
                (End::Exited, _) | (_, None) => Vec::new(),
                (_, Some(tags)) => self.in_use(number, tags),
            };
            let Some(seen) = self.seen.get(&number) else { continue };
            if let Some(known) = self.recording.processes.get_mut(seen.number) {
                known.end = end;
                known.lost = process.lost;
                let [allocations, ..] = process.totals;
                let add = |sum: u64, site: &Reachable| sum.saturating_add(site.counts.blocks);
                let counted = in_use.iter().fold(0, add);
                known.allocations = if end == End::Exited { allocations } else { counted };
                known.in_use = in_use;
            }
        }
    }

    /// What a process has in use by its own counts, the largest sites first.
    fn in_use(&mut self, number: u32, tags: &[Tag]) -> Vec<Reachable> {
        let found = self.reader.in_use(number, tags);
        let mut all: Vec<Reachable> = found
            .into_iter()
            .map(|(site, in_use)| Reachable {
                site: self.translate(number, SiteId(site)),
                totals: SiteTotals { blocks: u64::from(in_use.blocks), bytes: in_use.bytes },
                counts: SiteCounts {
                    blocks: in_use.all_blocks,
                    bytes: in_use.all_bytes,
                    freed: in_use.all_bytes.wrapping_sub(in_use.bytes),
                    peak: in_use.peak,
                },
            })
            .collect();
        all.sort_unstable_by_key(|site| (u64::MAX - site.totals.bytes, site.site));
        all
    }
}
