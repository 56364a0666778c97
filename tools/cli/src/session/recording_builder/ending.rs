//! How processes end, and what is left of them: kept if they came to no end of their own, given
//! back if nobody runs their program any more.

use std::collections::{HashMap, HashSet};

use mallocop::model::leak_report::Reachable;
use mallocop::model::recording::ProcessEnd;
use mallocop::model::site::ProcessSite;
use mallocop::model::site::RecordingSite;
use mallocop::model::site::SiteCounts;
use mallocop::model::site::SiteTotals;
use mallocop::trace::reader;
use mallocop::trace::reader::{ByteSource, Tag};
use mallocop::trace::{ExtentKind, ProcessState};

use super::RecordingBuilder;
use crate::session::orphans;

/// Are there children of a process's forks that have not counted themselves in yet? So it looks
/// also where a fork has failed, or a child has found no room.
fn awaits_forks(process: &reader::ProcessView, children: &HashMap<(u32, u32), u32>) -> bool {
    let known = children.get(&(process.number, process.serial)).copied();
    process.forks > known.unwrap_or(0)
}

/// Where a process stands that has a part of the record.
struct Standing {
    /// Extent of the process that it was forked from.
    parent: Option<u32>,
    /// Extent of the process whose program it runs.
    image: u32,
    /// Is it gone, and was it a round before?
    is_over: bool,
}

/// Those of which nothing is asked any more: they are over, and so are all that were forked from
/// them, whose stacks begin in theirs.
fn dispensable(all: &HashMap<u32, Standing>) -> HashSet<u32> {
    let mut needed: HashSet<u32> = HashSet::new();
    for (number, standing) in all.iter().filter(|(_, standing)| !standing.is_over) {
        let mut next = Some(*number);
        // Up to one whose forefathers are known to be needed.
        while let Some(number) = next.filter(|&number| needed.insert(number)) {
            next = all.get(&number).and_then(|standing| standing.parent);
        }
        needed.insert(standing.image);
    }
    all.keys().copied().filter(|number| !needed.contains(number)).collect()
}

impl<B: ByteSource> RecordingBuilder<B> {
    /// Does a process run of which more may come, or begin to? Ids of another pid namespace than
    /// this one cannot be asked for.
    pub(crate) fn has_running(&self, namespace: u32) -> bool {
        let first = self.processes();
        let runs = |process: &reader::ProcessView| {
            matches!(process.state, ProcessState::Running | ProcessState::Executing)
                && process.namespace == namespace
                && orphans::is_alive(process.pid)
        };
        if first.iter().any(runs) {
            return true;
        }
        // Once more, now that they have ended: what they have forked in the end is counted.
        let then = self.processes();
        let children = self.children(&then);
        then.len() > first.len() || then.iter().any(|process| awaits_forks(process, &children))
    }

    /// Number of children of forks, by their parent's extent and serial number; `all` are the
    /// processes as they stand.
    fn children(&self, all: &[reader::ProcessView]) -> HashMap<(u32, u32), u32> {
        let mut children = self.forked.clone();
        for process in all.iter().filter(|process| process.is_counted) {
            if let Some(parent) = process.parent {
                *children.entry((parent, process.parent_serial)).or_default() += 1;
            }
        }
        children
    }

    /// Settles how each process has ended that is left. `namespace` is the one whose ids can be
    /// asked for.
    pub(crate) fn conclude(&mut self, namespace: u32) {
        let tags = self.reader.tags();
        let numbers: Vec<u32> = self.seen.keys().copied().collect();
        self.settle(&numbers, &tags, |process| {
            process.namespace == namespace && orphans::is_alive(process.pid)
        });
    }

    /// Takes in how the first program has ended: by that signal, or by an exit of its own. Then
    /// what has not said how it left was not killed.
    pub(crate) fn note_end(&mut self, signal: Option<i32>) {
        let mut last = None;
        let all = self.recording.processes.iter_mut();
        for process in all.filter(|process| process.is_root && process.end != ProcessEnd::Replaced)
        {
            if signal.is_none() && process.end == ProcessEnd::Killed {
                process.end = ProcessEnd::Left;
            }
            last = Some(process);
        }
        // It may have come after all was looked at, as SIGPIPE does when libc writes what is left.
        if let Some(process) = last {
            process.signal = signal;
        }
    }

    /// Gives back what is not needed any more: of processes that are gone, and were gone a round
    /// before, if none that was forked from them is left. The tags say what.
    pub(crate) fn retire(&mut self, namespace: u32) -> Vec<Tag> {
        let tags = self.reader.tags();
        let before = std::mem::take(&mut self.gone);
        let children = self.children(&self.processes());
        let mut all: HashMap<u32, Standing> = HashMap::new();
        for tag in tags.iter().filter(|tag| tag.kind == ExtentKind::Process) {
            let process = self.reader.process(tag.number);
            let seen = self.seen.get(&tag.number);
            let gone = process.as_ref().zip(seen).filter(|(process, seen)| {
                process.serial == seen.serial
                    && process.namespace == namespace
                    && seen.log_at >= process.log_used
                    && (before.contains(&(process.number, process.serial))
                        || self.is_replaced(process)
                        || !orphans::is_alive(process.pid))
            });
            let gone = gone.map(|(process, _)| (tag.number, process.serial));
            self.gone.extend(gone);
            let parent = process.as_ref().map(|process| (process.parent, process.image));
            // Who has not said so much yet keeps the one that has forked it by its number there.
            let (parent, image) = parent
                .or(seen.map(|seen| (seen.parent.map(|(parent, _)| parent), seen.image)))
                .unwrap_or_default();
            let is_over = gone.is_some_and(|gone| before.contains(&gone))
                && !process.is_some_and(|process| awaits_forks(&process, &children));
            all.insert(tag.number, Standing { parent, image, is_over });
        }
        let over = dispensable(&all);
        self.extents = tags.iter().filter(|tag| !over.contains(&tag.owner)).count();
        if over.is_empty() {
            return Vec::new();
        }
        let numbers: Vec<u32> = over.iter().copied().collect();
        self.settle(&numbers, &tags, |_| false);
        for process in numbers.iter().filter_map(|&number| self.reader.process(number)) {
            if let (Some(parent), true) = (process.parent, process.is_counted) {
                *self.forked.entry((parent, process.parent_serial)).or_default() += 1;
            }
        }
        self.forked.retain(|(parent, _), _| !over.contains(parent));
        self.seen.retain(|number, _| !over.contains(number));
        self.sites.retain(|(image, _), _| !over.contains(image));
        self.frames.retain(|(owner, _), _| !over.contains(owner));
        self.gone.retain(|(number, _)| !over.contains(number));
        self.reader.forget();
        tags.into_iter().filter(|tag| over.contains(&tag.owner)).collect()
    }

    /// Extents that were in use, or still are, when [`RecordingBuilder::retire`] was last called.
    pub(crate) const fn extents(&self) -> usize {
        self.extents
    }

    /// Number of processes that are not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.seen.len()
    }

    /// Has the process become another program, which has told of itself?
    fn is_replaced(&self, process: &reader::ProcessView) -> bool {
        let last = self.executed.get(&(process.namespace, process.pid));
        last.is_some_and(|&last| last > process.serial)
    }

    fn settle(
        &mut self,
        numbers: &[u32],
        tags: &[Tag],
        is_alive: impl Fn(&reader::ProcessView) -> bool,
    ) {
        let mut tags_of: HashMap<u32, Vec<Tag>> = HashMap::new();
        tags.iter().for_each(|tag| tags_of.entry(tag.owner).or_default().push(*tag));
        for &number in numbers {
            let Some(process) = self.reader.process(number) else { continue };
            let end = match process.state {
                ProcessState::Exited => ProcessEnd::Exited,
                ProcessState::Left => ProcessEnd::Left,
                ProcessState::Executing => ProcessEnd::Replaced,
                ProcessState::Running if self.is_replaced(&process) => ProcessEnd::Replaced,
                ProcessState::Running if is_alive(&process) => ProcessEnd::Running,
                ProcessState::Running => ProcessEnd::Killed,
            };
            let in_use = match (end, tags_of.get(&number)) {
                (ProcessEnd::Exited, _) | (_, None) => Vec::new(),
                (_, Some(tags)) => self.in_use(number, tags),
            };
            let Some(seen) = self.seen.get(&number) else { continue };
            if let Some(known) = self.recording.processes.get_mut(seen.number) {
                known.end = end;
                known.lost = process.lost;
                let [allocations, ..] = process.totals;
                let add = |sum: u64, site: &Reachable<RecordingSite>| {
                    sum.saturating_add(site.counts.blocks)
                };
                let counted = in_use.iter().fold(0, add);
                known.allocations = if end == ProcessEnd::Exited { allocations } else { counted };
                known.in_use = in_use;
            }
        }
    }

    /// What a process has in use by its own counts, the largest sites first.
    fn in_use(&mut self, number: u32, tags: &[Tag]) -> Vec<Reachable<RecordingSite>> {
        let found = self.reader.in_use(number, tags);
        let mut all: Vec<Reachable<RecordingSite>> = found
            .into_iter()
            .map(|(site, in_use)| Reachable {
                site: self.translate(number, ProcessSite(site)),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The image 1, its forks 2 and 3, and 4, which 2 has forked.
    fn family(over: &[u32]) -> HashMap<u32, Standing> {
        [(1, None), (2, Some(1)), (3, Some(1)), (4, Some(2))]
            .map(|(number, parent): (u32, Option<u32>)| {
                (number, Standing { parent, image: 1, is_over: over.contains(&number) })
            })
            .into()
    }

    #[test]
    fn who_has_living_forks_is_needed_and_so_is_the_program_of_all() {
        let spared = |over: &[u32]| {
            let mut spared: Vec<u32> = dispensable(&family(over)).into_iter().collect();
            spared.sort_unstable();
            spared
        };
        assert!(spared(&[]).is_empty());
        assert_eq!(spared(&[3]), [3]);
        assert_eq!(spared(&[2, 3]), [3]);
        assert_eq!(spared(&[2, 4]), [2, 4]);
        assert_eq!(spared(&[1, 2, 3]), [3]);
        assert_eq!(spared(&[1, 2, 3, 4]), [1, 2, 3, 4]);
    }
}
