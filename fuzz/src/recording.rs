//! Reading a tree file that anybody may have written to: whatever is in it, nothing panics, nothing
//! goes round for ever, nothing is taken without bound; and what was written as it should be is
//! found.

use std::cell::Cell;
use std::collections::HashMap;

use arbitrary::{Arbitrary, Result, Unstructured};
use mallocop::model::finding::{Block, Defect, Finding, Location, Operation};
use mallocop::model::finding_report::FindingReport;
use mallocop::model::leak_report::Leak;
use mallocop::model::leak_report::Loss;
use mallocop::model::leak_report::{LeakReport, LeakSummary, Reachable};
use mallocop::model::site::ProcessSite;
use mallocop::model::site::SiteTotals;
use mallocop::text::style::{Renderer, Style};
use mallocop::text::symbolizer::Nameless;
use mallocop::text::{finding, leaks};
use mallocop::trace::reader::{ByteSource, DEEPEST, ProcessView, TreeReader};
use mallocop::trace::{
    EXTENT, ExtentKind, FIRST_EXTENT, LogEntry, MOST_EXTENTS, ModuleRecord, TAGS, UNITS,
    fresh_header,
};

use crate::tally::Tally;

/// Extents that are written to.
const EXTENTS: u32 = 8;
/// Where a process's log starts, and its image's table of sites.
const LOG: usize = 5 << 10;
const SITES: usize = 256 + 4 * 512 + 4;
/// Sites that are asked for.
const MOST_SITES: u32 = 48;

/// Where what lies, as its writers put it: from which extent on, and in how many.
const PROCESSES: (u32, u32) = (0, 2);
const NODES: (u32, u32) = (2, 2);
const SITE_TABLE: (u32, u32) = (4, 1);
const COUNTS: (u32, u32) = (5, 1);

/// One of the extents of a kind, or any.
#[derive(Clone, Copy, Debug)]
enum Extent {
    Near(u8),
    Any(u32),
}

impl<'a> Arbitrary<'a> for Extent {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        match u.int_in_range(0..=15)? {
            0 => u.arbitrary().map(Self::Any),
            _ => u.arbitrary().map(Self::Near),
        }
    }
}

impl Extent {
    fn of(self, (first, count): (u32, u32)) -> u32 {
        match self {
            Self::Near(at) => FIRST_EXTENT + first + u32::from(at) % count,
            Self::Any(number) => number,
        }
    }

    /// One that can be written to.
    fn near(self, kind: (u32, u32)) -> u32 {
        FIRST_EXTENT + self.of(kind).wrapping_sub(FIRST_EXTENT) % EXTENTS
    }
}

/// What is written, as its writers would, and as they would not.
#[derive(Clone, Debug, Arbitrary)]
enum Write {
    Tag { at: Extent, owner: Extent, kind: u8, index: u8 },
    Process { at: Extent, parent: Option<Extent>, image: Extent, state: u8, part: Option<Extent> },
    LogUsed(Extent, u32),
    Append { at: Extent, kind: u8, is_damaged: bool, payload: Payload },
    Node { at: Extent, place: u8, word: u64, parent: (Extent, u8) },
    Site { image: Extent, table: Extent, site: u8, node: (Extent, u8) },
    Count { at: Extent, place: u8, value: u64 },
    Any { offset: u32, value: u64 },
}

/// Bytes of an entry.
#[derive(Clone, Debug, Arbitrary)]
enum Payload {
    Bytes(Vec<u8>),
    Text(String),
    Finding(u8, u8, u64, Option<u64>),
    Leak(u8, u64, u64),
    Reachable(u8, u64, u64),
    Sum(bool, bool, u64, String),
    Module(u64, u64, u16, Vec<u8>),
    /// A finding with a byte changed, or cut.
    Damaged(u8, u64, u8, u8),
}

impl Payload {
    fn kind(&self) -> LogEntry {
        match self {
            Self::Bytes(_) | Self::Text(_) => LogEntry::Text,
            Self::Finding(..) | Self::Damaged(..) => LogEntry::Finding,
            Self::Leak(..) => LogEntry::Leak,
            Self::Reachable(..) => LogEntry::Reachable,
            Self::Sum(..) => LogEntry::Sum,
            Self::Module(..) => LogEntry::Module,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let encoded = match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
            Self::Finding(defect, site, pointer, size) => {
                postcard::to_allocvec(&report(*defect, *site, *pointer, *size))
            }
            Self::Leak(site, blocks, bytes) => {
                let totals = SiteTotals { blocks: *blocks, bytes: *bytes };
                let site = ProcessSite(u32::from(*site));
                postcard::to_allocvec(&Leak {
                    site,
                    loss: Loss::Direct,
                    totals,
                    objects: Vec::new(),
                })
            }
            Self::Reachable(site, blocks, bytes) => postcard::to_allocvec(&Reachable {
                site: ProcessSite(u32::from(*site)),
                totals: SiteTotals { blocks: *blocks, bytes: *bytes },
                ..Reachable::default()
            }),
            Self::Sum(speaks, is_checked, count, notes) => {
                let (speaks, is_checked, notes) = (*speaks, *is_checked, notes.clone());
                postcard::to_allocvec(&LeakSummary {
                    speaks,
                    is_checked,
                    notes,
                    folded: *count,
                    ..LeakSummary::default()
                })
            }
            Self::Module(start, end, generation, path) => {
                let (start, end, generation) = (*start, *end, u32::from(*generation));
                postcard::to_allocvec(&ModuleRecord {
                    start,
                    end,
                    bias: 0,
                    generation,
                    build_id: &[],
                    folder: &[],
                    path,
                })
            }
            Self::Damaged(defect, pointer, at, value) => {
                let mut bytes = Self::Finding(*defect, 1, *pointer, Some(40)).bytes();
                match bytes.get_mut(usize::from(*at)) {
                    Some(byte) => *byte = *value,
                    None => bytes.truncate(usize::from(*value)),
                }
                Ok(bytes)
            }
        };
        encoded.unwrap_or_default()
    }
}

fn report(defect: u8, site: u8, pointer: u64, size: Option<u64>) -> FindingReport {
    let defect = match defect % 6 {
        0 => Defect::Overflow,
        1 => Defect::WriteAfterFree,
        2 => Defect::DoubleFree,
        3 => Defect::Mismatch,
        4 => Defect::DeleteMismatch { size: size.map(|size| size as usize), align: None },
        _ => Defect::BadFree,
    };
    let site = ProcessSite(u32::from(site));
    let mut finding = Finding::new(defect, Operation::Free, pointer as usize, 0, site);
    finding.place = size.map_or(Location::Unmapped, |size| Location::Past(size as usize));
    finding.block =
        Some(Block { size: size.map(|size| size as usize), site, ..Block::at(pointer as usize) });
    FindingReport { pid: 1, finding, threads: Vec::new(), module: None, command: String::new() }
}

/// A file's first part; all behind it is zero.
struct Written {
    bytes: Vec<u8>,
    logs: HashMap<u32, usize>,
    reads: Cell<usize>,
}

impl ByteSource for &Written {
    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        self.reads.set(self.reads.get() + 1);
        if at.saturating_add(into.len() as u64) > u64::from(MOST_EXTENTS) * EXTENT as u64 {
            return false;
        }
        into.fill(0);
        let written = self.bytes.get(at as usize..).unwrap_or(&[]);
        into.iter_mut().zip(written).for_each(|(to, from)| *to = *from);
        true
    }
}

impl Written {
    fn new() -> Self {
        let bytes = vec![0; (FIRST_EXTENT + EXTENTS) as usize * EXTENT];
        Self { bytes, logs: HashMap::new(), reads: Cell::new(0) }
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        let to = self.bytes.get_mut(at as usize..).unwrap_or(&mut []);
        to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }

    fn put_in(&mut self, extent: u32, at: usize, bytes: &[u8]) {
        let room = EXTENT - at % EXTENT;
        self.put(
            u64::from(extent) * EXTENT as u64 + (at % EXTENT) as u64,
            &bytes[..bytes.len().min(room)],
        );
    }

    fn tag(&mut self, number: u32, owner: u32, kind: u64, index: u8) {
        let tag = u64::from(owner) | kind << 32 | u64::from(index) << 40;
        self.put(TAGS as u64 + u64::from(number) * 8, &tag.to_ne_bytes());
    }

    fn apply(&mut self, write: &Write) {
        match write {
            Write::Tag { at, owner, kind, index } => {
                self.tag(at.near(PROCESSES), owner.of(PROCESSES), u64::from(*kind % 8), *index);
            }
            Write::Process { at, parent, image, state, part } => {
                let number = at.near(PROCESSES);
                let parent = parent.map_or(0, |parent| parent.of(PROCESSES));
                let words = [7, 42, 1, parent, image.of(PROCESSES), u32::from(*state % 6)];
                words
                    .iter()
                    .zip(0..)
                    .for_each(|(word, at)| self.put_in(number, at * 4, &word.to_ne_bytes()));
                let part = part.map_or(0, |part| part.of(COUNTS));
                self.put_in(number, 256, &part.to_ne_bytes());
                self.tag(number, number, ExtentKind::Process as u64, 0);
            }
            Write::LogUsed(at, used) => self.put_in(at.near(PROCESSES), 28, &used.to_ne_bytes()),
            Write::Append { at, kind, is_damaged, payload } => {
                self.append(at.near(PROCESSES), *kind, *is_damaged, payload);
            }
            Write::Node { at, place, word, parent: (extent, index) } => {
                let (number, at) = (at.near(NODES), usize::from(*place) * 16);
                let parent = extent.of(NODES).wrapping_mul(UNITS).wrapping_add(u32::from(*index));
                self.put_in(number, at, &word.to_ne_bytes());
                self.put_in(number, at + 8, &parent.to_ne_bytes());
                self.tag(number, FIRST_EXTENT, ExtentKind::Nodes as u64, 0);
            }
            Write::Site { image, table, site, node: (extent, index) } => {
                let node = extent.of(NODES).wrapping_mul(UNITS).wrapping_add(u32::from(*index));
                self.put_in(image.near(PROCESSES), SITES, &table.of(SITE_TABLE).to_ne_bytes());
                let at = usize::from(*site) % MOST_SITES as usize * 4;
                self.put_in(table.near(SITE_TABLE), at, &node.to_ne_bytes());
            }
            Write::Count { at, place, value } => {
                let number = at.near(COUNTS);
                self.put_in(number, usize::from(*place) * 8, &value.to_ne_bytes());
                self.tag(number, FIRST_EXTENT, ExtentKind::Counts as u64, 0);
            }
            Write::Any { offset, value } => {
                let offset =
                    u64::from(*offset) % (u64::from(FIRST_EXTENT + EXTENTS) * EXTENT as u64);
                self.put(offset, &value.to_ne_bytes());
            }
        }
    }

    fn append(&mut self, number: u32, kind: u8, is_damaged: bool, payload: &Payload) {
        let bytes = payload.bytes();
        let used = *self.logs.get(&number).unwrap_or(&0);
        let size = 8 + bytes.len().next_multiple_of(8);
        if LOG + used + size > EXTENT {
            return;
        }
        self.put_in(number, LOG + used, &(bytes.len() as u32).to_ne_bytes());
        let is_complete = !is_damaged || kind < 128;
        let kind = if is_damaged { u32::from(kind % 12) } else { payload.kind() as u32 };
        self.put_in(number, LOG + used + 4, &(kind | u32::from(is_complete) << 16).to_ne_bytes());
        self.put_in(number, LOG + used + 8, &bytes);
        self.logs.insert(number, used + size);
        self.put_in(number, 28, &((used + size) as u32).to_ne_bytes());
    }
}

/// Reads an entry as the command does, and writes its text.
fn show_entry(entry: LogEntry, bytes: &[u8], report: &mut LeakReport, tally: &mut Tally) {
    match entry {
        LogEntry::Finding => {
            if let Ok(report) = postcard::from_bytes::<FindingReport>(bytes) {
                let (mut symbolizer, style) = (Nameless, Style::default());
                let mut with = Renderer { symbolizer: &mut symbolizer, style: &style };
                assert!(!finding::write(&report, &mut with).is_empty());
                tally.count("findings");
            }
        }
        LogEntry::Leak => report.leaks.extend(postcard::from_bytes::<Leak>(bytes)),
        LogEntry::Reachable => report.reachable.extend(postcard::from_bytes::<Reachable>(bytes)),
        LogEntry::Sum => {
            if let Ok(sum) = postcard::from_bytes(bytes) {
                report.sum = sum;
                let (mut symbolizer, style) = (Nameless, Style::default());
                let mut with = Renderer { symbolizer: &mut symbolizer, style: &style };
                leaks::write(report, &mut with);
                *report = LeakReport::default();
                tally.count("outcomes");
            }
        }
        LogEntry::Module => {
            if postcard::from_bytes::<ModuleRecord<'_>>(bytes).is_ok() {
                tally.count("modules");
            }
        }
        _ => tally.count("texts"),
    }
}

fn read_process(reader: &mut TreeReader<&Written>, process: &ProcessView, tally: &mut Tally) {
    let mut report = LeakReport::default();
    let mut entries = 0;
    for last in [false, true] {
        let end = reader.log(process, 0, last, |entry, bytes| {
            entries += 1;
            show_entry(entry, bytes, &mut report, tally);
        });
        assert!(end as usize <= process.log_used as usize + 2 * EXTENT);
    }
    // Nothing is shorter than its head.
    assert!(entries <= 2 * (process.log_used as usize / 8 + 1), "{entries}");
    tally.add("entries", entries);
    for site in 0..MOST_SITES {
        let stack = reader.stack(process.image, site);
        assert!(stack.len() <= DEEPEST);
        tally.add("frames", stack.len());
        tally.add("stacks", usize::from(!stack.is_empty()));
    }
}

/// Writes, as many as the bytes make.
fn script(bytes: &[u8]) -> Result<Vec<Write>> {
    let mut u = Unstructured::new(bytes);
    let mut writes = Vec::new();
    while !u.is_empty() {
        writes.push(u.arbitrary()?);
    }
    if writes.is_empty() { Err(arbitrary::Error::NotEnoughData) } else { Ok(writes) }
}

/// Writes and reads.
///
/// # Errors
/// The bytes make no script.
///
/// # Panics
/// If reading does, or does not end.
pub fn body(bytes: &[u8]) -> Result<Tally> {
    let writes = script(bytes)?;
    let mut tally = Tally::default();
    let mut file = Written::new();
    file.put(0, &fresh_header(MOST_EXTENTS));
    file.put(36, &(FIRST_EXTENT + EXTENTS).to_ne_bytes());
    writes.iter().for_each(|write| file.apply(write));
    let mut reader = TreeReader::new(&file);
    if reader.header().is_none() {
        tally.count("refused");
        return Ok(tally);
    }
    let tags = reader.tags();
    for tag in &tags {
        if let Some(process) = reader.process(tag.number) {
            read_process(&mut reader, &process, &mut tally);
            let in_use = reader.in_use(process.number, &tags);
            tally.add("sites in use", in_use.len());
            tally.count("processes");
        }
    }
    assert!(file.reads.get() < 1_000_000, "{} reads", file.reads.get());
    Ok(tally)
}

/// The script as text.
///
/// # Errors
/// The bytes make none.
pub fn show(bytes: &[u8]) -> Result<String> {
    let writes = script(bytes)?;
    Ok(writes.iter().map(|write| format!("{write:?}\n")).collect())
}
