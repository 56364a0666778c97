//! How processes end, and what is left of them: kept if they came to no end of their own, given back if nobody runs
//! their program any more.

use std::collections::HashMap;

use mallocop::debug::SiteTotals;
use mallocop::record::State;
use mallocop::record::read::{self, Bytes, Tag};
use mallocop::report::outcome::Reachable;
use mallocop::stack::depot::SiteId;
use mallocop::stack::totals::SiteCounts;

use super::Intake;
use crate::recording::End;

impl<B: Bytes> Intake<B> {
    /// Settles how each process has ended that is left. `is_alive` knows that of those that have not said so.
    pub(crate) fn conclude(&mut self, is_alive: impl Fn(u32) -> bool) {
        let tags = self.reader.tags();
        let numbers: Vec<u32> = self.seen.keys().copied().collect();
        self.settle(&numbers, &tags, is_alive);
    }

    /// Gives back what is not needed any more: of programs of which no process is left. The tags say what.
    pub(crate) fn retire(&mut self, namespace: u32, is_alive: impl Fn(u32) -> bool) -> Vec<Tag> {
        let mut images: HashMap<u32, (bool, Vec<u32>)> = HashMap::new();
        for (&number, seen) in &self.seen {
            let process =
                self.reader.process(number).filter(|process| process.serial == seen.serial);
            let is_over = process.is_some_and(|process| {
                let is_read = process.log_used == seen.log_at && process.namespace == namespace;
                is_read && (self.is_replaced(&process) || !is_alive(process.pid))
            });
            let (is_all_over, numbers) = images.entry(seen.image).or_insert((true, Vec::new()));
            *is_all_over &= is_over;
            numbers.push(number);
        }
        let over: Vec<u32> = images
            .into_values()
            .filter(|(over, _)| *over)
            .flat_map(|(_, numbers)| numbers)
            .collect();
        if over.is_empty() {
            return Vec::new();
        }
        let tags = self.reader.tags();
        self.settle(&over, &tags, |_| false);
        self.seen.retain(|number, _| !over.contains(number));
        self.sites.retain(|(image, _), _| !over.contains(image));
        self.frames.retain(|(owner, _), _| !over.contains(owner));
        self.reader.forget();
        tags.into_iter().filter(|tag| over.contains(&tag.owner)).collect()
    }

    /// Number of processes that are not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.seen.len()
    }

    /// Has the process become another program, which has told of itself?
    fn is_replaced(&self, process: &read::Process) -> bool {
        let mut later = self.recording.processes.iter().rev();
        let mut later = later.by_ref().take_while(|other| other.serial > process.serial);
        later.any(|other| other.pid == process.pid && !other.is_fork)
    }

    fn settle(&mut self, numbers: &[u32], tags: &[Tag], is_alive: impl Fn(u32) -> bool) {
        for &number in numbers {
            let Some(process) = self.reader.process(number) else { continue };
            let is_replaced = self.is_replaced(&process);
            let end = match process.state {
                State::Exited => End::Exited,
                State::Left => End::Left,
                State::Executing | State::Running if is_replaced => End::Replaced,
                State::Executing => End::Replaced,
                State::Running if is_alive(process.pid) => End::Running,
                State::Running => End::Killed,
            };
            let in_use = if end == End::Exited { Vec::new() } else { self.in_use(number, tags) };
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
