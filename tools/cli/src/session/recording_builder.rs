//! From the tree file into a recording, while the program runs and at its end.

mod ending;
mod log_entries;

use std::collections::{HashMap, HashSet};
use std::fs;

use mallocop::model::leak_report::Leak;
use mallocop::model::leak_report::Reachable;
use mallocop::model::recording::{
    ProcessEnd, RecordedFrame, RecordedModule, RecordedProcess, RecordedStack, Recording,
};
use mallocop::model::site::ProcessSite;
use mallocop::model::site::RecordingSite;
use mallocop::model::site::StackEnd;
use mallocop::stack::depot::StoredFrame;
use mallocop::trace;
use mallocop::trace::reader;
use mallocop::trace::reader::{ByteSource, HeaderView, TreeReader};
use mallocop::trace::{ExtentKind, LogEntry};

use crate::session::orphans;
use crate::symbolize::debug_file;

/// Something that wants to be said when it happens.
pub(crate) enum News {
    /// Lines of the library's own.
    Text(String),
    /// A finding: number of the process in the recording, and of the finding there.
    Finding(usize, usize),
    /// A deadly signal: number of the process in the recording.
    Fault(usize),
    /// The same for what a leak check on the way has found.
    LeakReport(usize, usize),
}

/// A module where a process has it.
struct Loaded {
    start: u64,
    end: u64,
    bias: u64,
    generation: u32,
    /// Empty: the program itself.
    path: String,
    build_id: String,
}

/// A process as far as it is known.
struct Seen {
    serial: u32,
    image: u32,
    /// The process that it was forked from: extent and serial number.
    parent: Option<(u32, u32)>,
    /// Its number in the recording.
    number: usize,
    log_at: u32,
    modules: Vec<Loaded>,
    leaks: Vec<Leak<RecordingSite>>,
    reachable: Vec<Reachable<RecordingSite>>,
}

/// Reads a tree file.
pub(crate) struct RecordingBuilder<B> {
    reader: TreeReader<B>,
    activity: Option<u32>,
    seen: HashMap<u32, Seen>,
    frames: HashMap<(u32, u64), u32>,
    sites: HashMap<(u32, u32), RecordingSite>,
    /// The last program that a process has become, by namespace and id.
    executed: HashMap<(u32, u32), u32>,
    /// Children of forks whose extents were given back, by their parent's extent and serial number.
    forked: HashMap<(u32, u32), u32>,
    /// Processes, by extent and serial number, that were found gone in the round before.
    gone: HashSet<(u32, u32)>,
    /// Extents that were in use when processes that are gone were last looked for.
    extents: usize,
    /// Are all lists kept, not only what is shown of them?
    keeps_all: bool,
    /// The header as it was last.
    known: HeaderView,
    /// Id of the process that was started.
    started: u32,
    /// The recording so far.
    pub(crate) recording: Recording,
}

impl<B: ByteSource> RecordingBuilder<B> {
    pub(crate) fn new(reader: TreeReader<B>, keeps_all: bool) -> Self {
        Self {
            reader,
            activity: None,
            seen: HashMap::new(),
            frames: HashMap::new(),
            sites: HashMap::new(),
            executed: HashMap::new(),
            forked: HashMap::new(),
            gone: HashSet::new(),
            extents: 0,
            keeps_all,
            known: HeaderView::default(),
            started: 0,
            recording: Recording::new(),
        }
    }

    /// The file's header as it is now, or was last.
    pub(crate) fn header(&mut self) -> HeaderView {
        // The program may write over it: a root that is known stays.
        let known = self.known.root;
        let is_sound = |header: &HeaderView| known == 0 || header.root == known;
        if let Some(header) = self.reader.header().filter(is_sound) {
            let findings = header.findings.max(self.known.findings);
            self.known = HeaderView { findings, ..header };
        }
        if self.known.root == 0 && self.known.processes != 0 {
            self.known.root = self.started;
        }
        self.known
    }

    /// Says which process is the root, for when the header does not.
    pub(crate) fn set_root(&mut self, pid: u32) {
        self.started = pid;
    }

    /// Is the header what the command and the library have written?
    pub(crate) fn is_sound(&self) -> bool {
        self.reader.header().is_some()
    }

    /// Takes in what is new. `last`: nothing more will come.
    pub(crate) fn poll(&mut self, last: bool) -> Vec<News> {
        let header = self.header();
        if self.activity == Some(header.activity) && !last {
            return Vec::new();
        }
        self.activity = Some(header.activity);
        let mut processes = self.processes();
        processes.sort_unstable_by_key(|process| process.serial);
        processes.iter().for_each(|process| self.register(process, header.root));
        let mut entries = Vec::new();
        for process in &processes {
            // What a process that is gone has begun will not be completed.
            let last = last && !orphans::is_alive(process.pid);
            let from = self.seen.get(&process.number).map_or(0, |seen| seen.log_at);
            let mut found = Vec::new();
            let at = self
                .reader
                .log(process, from, last, |entry, bytes| found.push((entry, bytes.to_vec())));
            if let Some(seen) = self.seen.get_mut(&process.number) {
                seen.log_at = at;
            }
            entries.extend(found.into_iter().map(|(entry, bytes)| (process.number, entry, bytes)));
        }
        // First who is where, of all: a stack may have frames of a parent's modules.
        entries.retain(|(number, entry, bytes)| !self.take_place(*number, *entry, bytes));
        self.name_forks();
        entries
            .into_iter()
            .filter_map(|(number, entry, bytes)| self.take(number, entry, &bytes))
            .collect()
    }

    /// The processes as they stand.
    fn processes(&self) -> Vec<reader::ProcessView> {
        let tags = self.reader.tags();
        let processes = tags.iter().filter(|tag| tag.kind == ExtentKind::Process);
        processes.filter_map(|tag| self.reader.process(tag.number)).collect()
    }

    /// A fork runs the program of the process that has called exec.
    fn name_forks(&mut self) {
        for seen in self.seen.values().filter(|seen| seen.parent.is_some()) {
            let image = self
                .seen
                .get(&seen.image)
                .and_then(|image| self.recording.processes.get(image.number));
            let Some(program) = image.map(|image| image.program.clone()) else { continue };
            if let Some(process) = self.recording.processes.get_mut(seen.number)
                && process.program.is_empty()
            {
                process.program = program;
            }
        }
    }

    fn register(&mut self, process: &reader::ProcessView, root: u32) {
        if self.seen.get(&process.number).is_some_and(|seen| seen.serial == process.serial) {
            return;
        }
        let seen = Seen {
            serial: process.serial,
            image: process.image,
            parent: process.parent.map(|parent| (parent, process.parent_serial)),
            number: self.recording.processes.len(),
            log_at: 0,
            modules: Vec::new(),
            leaks: Vec::new(),
            reachable: Vec::new(),
        };
        self.seen.insert(process.number, seen);
        if process.parent.is_none() {
            self.executed.insert((process.namespace, process.pid), process.serial);
        }
        self.recording.processes.push(RecordedProcess {
            serial: process.serial,
            pid: process.pid,
            parent_pid: process.parent_pid,
            program: String::new(),
            is_fork: process.parent.is_some(),
            is_root: process.pid == root,
            end: ProcessEnd::Running,
            signal: None,
            fault: None,
            findings: Vec::new(),
            leak_reports: Vec::new(),
            in_use: Vec::new(),
            allocations: 0,
            lost: 0,
        });
    }

    /// Takes an entry that says where code is.
    fn take_place(&mut self, number: u32, entry: LogEntry, bytes: &[u8]) -> bool {
        let Some(seen) = self.seen.get_mut(&number) else { return true };
        match entry {
            LogEntry::Program => {
                if let Some(process) = self.recording.processes.get_mut(seen.number) {
                    process.program = String::from_utf8_lossy(bytes).into_owned();
                }
            }
            LogEntry::Module => seen.modules.extend(postcard::from_bytes(bytes).ok().map(load)),
            _ => return false,
        }
        true
    }

    /// A process's site as the recording has it.
    fn translate(&mut self, number: u32, site: ProcessSite) -> RecordingSite {
        let Some(image) = self.seen.get(&number).map(|seen| seen.image) else {
            return RecordingSite::NONE;
        };
        if let Some(&known) = self.sites.get(&(image, site.0)) {
            return known;
        }
        let mut nodes = self.reader.stack(image, site.0);
        // An extent may be another process's by now.
        let owners: HashSet<u32> = self.lineage(number).map(|(owner, _)| owner).collect();
        let known = nodes.iter().take_while(|node| owners.contains(&node.owner)).count();
        let is_known = known == nodes.len();
        nodes.truncate(known);
        if nodes.is_empty() {
            return RecordingSite::NONE;
        }
        let mut stack = RecordedStack { frames: Vec::new(), ending: StackEnd::Whole };
        for node in nodes {
            let stored = StoredFrame::from_word(node.word);
            stack.frames.push(self.frame(node.owner, node.word, stored));
            stack.ending = stored.ending();
        }
        if !is_known {
            stack.ending = StackEnd::Cut;
        }
        let known = self.recording.site(stack);
        self.sites.insert((image, site.0), known);
        known
    }

    /// A frame of a process as the recording has it.
    fn frame(&mut self, owner: u32, word: u64, stored: StoredFrame) -> u32 {
        if let Some(&known) = self.frames.get(&(owner, word)) {
            return known;
        }
        let pc = stored.pc() as u64;
        let place = pc.wrapping_sub(u64::from(!stored.is_exact()));
        let found = self
            .module_at(owner, place, stored.generation())
            .map(|(module, bias)| (self.recording.module(module), pc.wrapping_sub(bias)));
        let frame = RecordedFrame {
            module: found.map(|(module, _)| module),
            address: found.map_or(pc, |(_, address)| address),
            exact: stored.is_exact(),
            guessed: stored.is_guessed(),
        };
        let known = self.recording.frame(frame);
        self.frames.insert((owner, word), known);
        known
    }

    /// A process and those that it was forked from, as far as they are known, by extent.
    fn lineage(&self, number: u32) -> impl Iterator<Item = (u32, &Seen)> {
        let first = self.seen.get(&number).map(|seen| (number, seen));
        let older = |&(_, seen): &(u32, &Seen)| {
            let (parent, serial) = seen.parent?;
            let found = self.seen.get(&parent).filter(|found| found.serial == serial)?;
            Some((parent, found))
        };
        // A hostile record may go round.
        core::iter::successors(first, older).take(self.seen.len())
    }

    /// The module that a process, or one that it was forked from, had at a place.
    fn module_at(&self, owner: u32, place: u64, generation: u32) -> Option<(RecordedModule, u64)> {
        for (_, seen) in self.lineage(owner) {
            let is_there = |loaded: &&Loaded| {
                (loaded.start..loaded.end).contains(&place) && loaded.generation == generation
            };
            if let Some(loaded) = seen.modules.iter().rev().find(is_there) {
                let process = self.recording.processes.get(seen.number)?;
                let path = match loaded.path.as_str() {
                    "" => program_of(process),
                    path => path.to_owned(),
                };
                return Some((
                    RecordedModule { path, build_id: loaded.build_id.clone() },
                    loaded.bias,
                ));
            }
        }
        None
    }
}

/// Path of a process's program, asked for where it has not said it yet.
fn program_of(process: &RecordedProcess) -> String {
    if !process.program.is_empty() {
        return process.program.clone();
    }
    let link = fs::read_link(format!("/proc/{}/exe", process.pid)).unwrap_or_default();
    link.to_string_lossy().into_owned()
}

fn load(module: trace::ModuleRecord<'_>) -> Loaded {
    let trace::ModuleRecord { start, end, bias, generation, build_id, folder, path } = module;
    let path = String::from_utf8_lossy(path).into_owned();
    let path = match folder.is_empty() {
        true => path,
        false => format!("{}/{path}", String::from_utf8_lossy(folder)),
    };
    Loaded { start, end, bias, generation, path, build_id: debug_file::hex(build_id) }
}
