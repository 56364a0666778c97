//! Reading a tree file, from outside, while processes write to it. What is there may be half
//! written, truncated or hostile: everything is checked, nothing is believed for longer than it
//! takes to look, and what does not fit is not there.

use std::collections::HashMap;

use super::layout::{
    COUNTED, EXTENT, FIRST_EXTENT, LOG_PARTS, MAGIC, MOST_EXTENTS, PORTIONS, SITES, TAGS, UNIT,
    UNITS, VERSION,
};
use crate::trace::extents::{ExtentKind, tag_of};
use crate::trace::log::{LogEntry, MOST, SKIP, part_of};
use crate::trace::process::ProcessState;

/// Where the bytes are.
pub trait ByteSource {
    /// Fills `into` with the bytes from `at` on. `false`: there are not so many.
    fn read(&self, at: u64, into: &mut [u8]) -> bool;
}

impl ByteSource for &[u8] {
    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let Some(found) = self.get(start..).and_then(|rest| rest.get(..into.len())) else {
            return false;
        };
        into.copy_from_slice(found);
        true
    }
}

/// The header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderView {
    /// Process id of the tree's root; 0: it has not started.
    pub root: u32,
    /// Findings that are errors, over all processes.
    pub findings: u32,
    /// Processes so far.
    pub processes: u32,
    /// Changes when there is something new to read.
    pub activity: u32,
    /// First extent that was never used.
    pub used: u32,
    /// Status for findings that the root program itself asks for.
    pub exit_code: Option<u32>,
}

/// Whose an extent is, and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The extent.
    pub number: u32,
    /// Extent of its owner.
    pub owner: u32,
    /// Its kind.
    pub kind: ExtentKind,
    /// Which part of that.
    pub index: u32,
}

/// A process, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessView {
    /// Its extent.
    pub number: u32,
    /// Its number in the order of their coming.
    pub serial: u32,
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent_pid: u32,
    /// Extent of the process that it was forked from; `None`: it has come by exec.
    pub parent: Option<u32>,
    /// Serial number of that process.
    pub parent_serial: u32,
    /// Forks that have returned to it, also those that have failed.
    pub forks: u32,
    /// Is it the child of one of these?
    pub is_counted: bool,
    /// Extent of the image that it shares.
    pub image: u32,
    /// How far it has come.
    pub state: ProcessState,
    /// Exit status, as far as the state says that there is one.
    pub status: u32,
    /// Number of the namespace that its id is of; 0: not known.
    pub namespace: u32,
    /// Bytes of the log in use.
    pub log_used: u32,
    /// Entries of the log for which there was no room.
    pub lost: u32,
    /// At its end: allocations, frees, bytes allocated, most bytes live at once.
    pub totals: [u64; 4],
    log: Vec<u32>,
}

/// A process's blocks of a site, by its own counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteInUse {
    /// Blocks now, modulo 2^32: below zero where blocks were freed that the process had inherited.
    pub blocks: u32,
    /// Their bytes, modulo 2^64.
    pub bytes: u64,
    /// Blocks allocated in all, by each thread modulo 2^32.
    pub all_blocks: u64,
    /// Bytes allocated in all.
    pub all_bytes: u64,
    /// Most bytes live at once, the sum of the threads' own.
    pub peak: u64,
}

/// A frame, and where the next one further out is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The frame's word.
    pub word: u64,
    /// Unit of the next node; 0: none.
    pub parent: u32,
    /// Extent of the process whose node it is.
    pub owner: u32,
}

/// Frames of one stack that are followed.
pub const DEEPEST: usize = 512;
/// Extents that are kept at most.
const KEPT: usize = 4096;

/// A tree file that is read.
pub struct TreeReader<B> {
    bytes: B,
    /// Nodes and sites read so far, by extent.
    kept: HashMap<u32, Vec<u8>>,
    /// Owners of the extents of nodes that were read.
    owners: HashMap<u32, u32>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |found| u32::from_ne_bytes(*found))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |found| u64::from_ne_bytes(*found))
}

impl<B: ByteSource> TreeReader<B> {
    /// Starts to read.
    pub fn new(bytes: B) -> Self {
        Self { bytes, kept: HashMap::new(), owners: HashMap::new() }
    }

    /// The header. `None`: the file is none of ours.
    pub fn header(&self) -> Option<HeaderView> {
        let mut bytes = [0; 64];
        let fits = self.bytes.read(0, &mut bytes)
            && bytes.starts_with(&MAGIC)
            && word(&bytes, 8) == VERSION;
        fits.then(|| HeaderView {
            root: word(&bytes, 16),
            findings: word(&bytes, 20),
            processes: word(&bytes, 24),
            activity: word(&bytes, 28),
            used: word(&bytes, 36).clamp(FIRST_EXTENT, MOST_EXTENTS),
            exit_code: word(&bytes, 40).checked_sub(1),
        })
    }

    /// The tags of all extents in use.
    pub fn tags(&self) -> Vec<Tag> {
        let used = self.header().map_or(FIRST_EXTENT, |header| header.used);
        let mut bytes = vec![0; (used - FIRST_EXTENT) as usize * 8];
        if !self.bytes.read(TAGS as u64 + u64::from(FIRST_EXTENT) * 8, &mut bytes) {
            return Vec::new();
        }
        let words = bytes.chunks_exact(8).map(|chunk| long(chunk, 0));
        (FIRST_EXTENT..).zip(words).filter_map(|(number, tag)| read_tag(number, tag)).collect()
    }

    fn tag(&self, number: u32) -> Option<Tag> {
        let mut bytes = [0; 8];
        let fits = number < MOST_EXTENTS
            && self.bytes.read(TAGS as u64 + u64::from(number) * 8, &mut bytes);
        if fits { read_tag(number, u64::from_ne_bytes(bytes)) } else { None }
    }

    fn extent(&self, number: u32) -> Option<Vec<u8>> {
        let mut bytes = vec![0; EXTENT];
        let fits = (FIRST_EXTENT..MOST_EXTENTS).contains(&number)
            && self.bytes.read(u64::from(number) * EXTENT as u64, &mut bytes);
        fits.then_some(bytes)
    }

    /// The process in an extent. `None`: there is none, or not yet.
    pub fn process(&self, number: u32) -> Option<ProcessView> {
        const SIZE: usize = 256 + 4 * LOG_PARTS;
        let mut bytes = [0; SIZE];
        let fits = (FIRST_EXTENT..MOST_EXTENTS).contains(&number)
            && self.bytes.read(u64::from(number) * EXTENT as u64, &mut bytes);
        if !fits {
            return None;
        }
        let field = |at: usize| word(&bytes, at * 4);
        let state = ProcessState::from_code(field(5))?;
        Some(ProcessView {
            number,
            serial: field(0),
            pid: field(1),
            parent_pid: field(2),
            parent: Some(field(3)).filter(|&parent| parent != 0),
            parent_serial: field(18),
            forks: field(19),
            is_counted: field(20) != 0,
            image: field(4),
            state,
            status: field(6),
            log_used: field(7),
            lost: field(8),
            namespace: field(9),
            totals: [40, 48, 56, 64].map(|at| long(&bytes, at)),
            log: (0..LOG_PARTS)
                .map(|part| word(&bytes, 256 + part * 4))
                .take_while(|&part| part != 0)
                .collect(),
        })
    }

    /// Calls `each` with the complete entries of a process's log from a position on; returns where
    /// to go on. `last`: an incomplete entry will not be completed any more, and is passed over.
    pub fn log(
        &self,
        process: &ProcessView,
        from: u32,
        last: bool,
        mut each: impl FnMut(LogEntry, &[u8]),
    ) -> u32 {
        let mut position = from as usize;
        let mut known = (usize::MAX, Vec::new());
        while position < process.log_used as usize {
            let (part, at) = part_of(position);
            if known.0 != part {
                let number = match part.checked_sub(1) {
                    None => Some(process.number),
                    Some(rest) => process.log.get(rest).copied().filter(|&number| {
                        // Nobody else's, so that all logs together are no longer than the file.
                        let wanted = (process.number, ExtentKind::Log, part as u32);
                        self.tag(number)
                            .is_some_and(|tag| (tag.owner, tag.kind, tag.index) == wanted)
                    }),
                };
                let Some(bytes) = number.and_then(|number| self.extent(number)) else { break };
                known = (part, bytes);
            }
            let bytes = known.1.as_slice();
            let (length, what) = (word(bytes, at), word(bytes, at + 4));
            if length == SKIP || at + 8 > EXTENT {
                position += EXTENT - at;
                continue;
            }
            let len = length as usize;
            let is_complete = what >> 16 == 1;
            if len > MOST || at + 8 + len > EXTENT || !(is_complete || last && len > 0) {
                break;
            }
            if let (true, Some(entry), Some(text)) =
                (is_complete, LogEntry::from_code(what as u16), bytes.get(at + 8..at + 8 + len))
            {
                each(entry, text);
            }
            position += 8 + len.next_multiple_of(8);
        }
        position as u32
    }

    /// The stack of a site of an image, innermost frame first, as far as it is in the file: at most
    /// [`DEEPEST`] frames.
    pub fn stack(&mut self, image: u32, site: u32) -> Vec<NodeView> {
        let mut nodes = Vec::new();
        let mut unit = self.node_of_site(image, site).unwrap_or(0);
        // What is hostile may go round.
        while nodes.len() < DEEPEST
            && let Some(node) = self.node(unit)
        {
            nodes.push(node);
            unit = node.parent;
        }
        nodes
    }

    fn node_of_site(&mut self, image: u32, site: u32) -> Option<u32> {
        const SITE_TABLE: usize = 256 + 4 * LOG_PARTS + 4;
        let index = (site / SITES) as usize;
        let mut extent = [0; 4];
        let at = u64::from(image) * EXTENT as u64 + (SITE_TABLE + index * 4) as u64;
        let fits = index < crate::trace::SITE_SEGMENTS
            && image < MOST_EXTENTS
            && self.bytes.read(at, &mut extent);
        let extent = Some(u32::from_ne_bytes(extent)).filter(|&extent| fits && extent != 0)?;
        let at = (site % SITES) as usize * 4;
        Some(self.kept_at(extent, at..at + 4, |bytes| word(bytes, 0))).filter(|&node| node != 0)
    }

    fn node(&mut self, unit: u32) -> Option<NodeView> {
        let (number, at) = (unit / UNITS, (unit % UNITS) as usize * UNIT);
        let owner = match self.owners.get(&number) {
            Some(&owner) => owner,
            None => {
                let tag = self.tag(number).filter(|tag| tag.kind == ExtentKind::Nodes)?;
                self.owners.insert(number, tag.owner);
                tag.owner
            }
        };
        let (word, parent) =
            self.kept_at(number, at..at + UNIT, |bytes| (long(bytes, 0), word(bytes, 8)));
        (word != 0).then_some(NodeView { word, parent, owner })
    }

    /// Some bytes of an extent that is only written once; read again where they are still zero.
    fn kept_at<T: Default>(
        &mut self,
        number: u32,
        at: std::ops::Range<usize>,
        get: impl Fn(&[u8]) -> T,
    ) -> T {
        let found = |bytes: &Vec<u8>| {
            bytes.get(at.clone()).filter(|part| part.iter().any(|&byte| byte != 0)).map(&get)
        };
        if let Some(value) = self.kept.get(&number).and_then(found) {
            return value;
        }
        let Some(bytes) = self.extent(number) else { return T::default() };
        let value = found(&bytes);
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        self.kept.insert(number, bytes);
        value.unwrap_or_default()
    }

    /// Forgets what it knows of extents: they may have become others'.
    pub fn forget(&mut self) {
        self.kept.clear();
        self.owners.clear();
    }

    /// What a process has in use by its own counts, by site; `tags` are all tags.
    pub fn in_use(&self, owner: u32, tags: &[Tag]) -> HashMap<u32, SiteInUse> {
        let mut all: HashMap<u32, SiteInUse> = HashMap::new();
        for tag in tags.iter().filter(|tag| tag.owner == owner) {
            match tag.kind {
                ExtentKind::Counts => self.each_entry(tag, COUNTED, |site, entry| {
                    let sum = all.entry(site).or_default();
                    let (bytes, blocks) = (long(entry, 0), word(entry, 24));
                    sum.blocks = sum.blocks.wrapping_add(blocks).wrapping_sub(word(entry, 28));
                    sum.bytes = sum.bytes.wrapping_add(bytes).wrapping_sub(long(entry, 8));
                    sum.all_blocks = sum.all_blocks.wrapping_add(u64::from(blocks));
                    sum.all_bytes = sum.all_bytes.wrapping_add(bytes);
                    sum.peak = sum.peak.wrapping_add(long(entry, 16));
                }),
                ExtentKind::Portions => self.each_entry(tag, PORTIONS, |site, entry| {
                    let sum = all.entry(site).or_default();
                    sum.blocks = sum.blocks.wrapping_sub(long(entry, 8) as u32);
                    sum.bytes = sum.bytes.wrapping_sub(long(entry, 0));
                }),
                _ => {}
            }
        }
        all.retain(|_, sum| sum.blocks as i32 > 0 && sum.bytes as i64 >= 0);
        all
    }

    fn each_entry(&self, tag: &Tag, in_extent: u32, mut each: impl FnMut(u32, &[u8])) {
        let bytes = self.extent(tag.number).unwrap_or_default();
        let size = EXTENT / in_extent as usize;
        let first = tag.index.saturating_mul(in_extent);
        for (site, entry) in (first..).zip(bytes.chunks_exact(size)) {
            if entry.iter().any(|&byte| byte != 0) {
                each(site, entry);
            }
        }
    }
}

fn read_tag(number: u32, tag: u64) -> Option<Tag> {
    let kind = ExtentKind::from_code((tag >> 32) as u8)?;
    let (owner, index) = (tag as u32, (tag >> 40) as u32);
    debug_assert_eq!(tag_of(owner, kind, index), tag);
    Some(Tag { number, owner, kind, index })
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
