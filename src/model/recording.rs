//! A recording: what is known of a run, without addresses, the same on another machine.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::fault::FaultReport;
use super::finding_report::FindingReport;
use super::leak_report::{LeakReport, Reachable};
use super::site::{RecordingSite, StackEnd};
use super::unwatched::PreloadObstacle;

/// Version of what is written to a file (docs/format.md).
pub const VERSION: u32 = 1;
/// The format's name.
pub const FORMAT: &str = "mallocop-recording";

/// A run, or several. Sites are numbered by [`Recording::stacks`], from 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recording {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Modules; frames refer to them by index.
    pub modules: Vec<RecordedModule>,
    /// Frames; stacks refer to them by index.
    pub frames: Vec<RecordedFrame>,
    /// Stacks; sites refer to them by index from 1.
    pub stacks: Vec<RecordedStack>,
    /// In the order of their coming.
    pub processes: Vec<RecordedProcess>,
    /// Programs that were started and could not be watched, with the reason.
    pub unwatched: Vec<(String, PreloadObstacle)>,
    #[serde(skip)]
    known: Known,
}

/// A file that code was loaded from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordedModule {
    /// Its path where the program ran.
    pub path: String,
    /// In hexadecimal digits; empty without one.
    pub build_id: String,
}

/// A place in a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "WrittenFrame", into = "WrittenFrame")]
pub struct RecordedFrame {
    /// Its number; none for code of no file.
    pub module: Option<u32>,
    /// Address in the file, as its symbols have it, that the call returns to; without a module the
    /// one in memory.
    pub address: u64,
    /// Did a signal come in there, so that it is the next instruction's?
    pub exact: bool,
    /// Was it found without unwind information?
    pub guessed: bool,
}

/// A frame as it is written: module or -1, address, 1 if exact plus 2 if guessed.
#[derive(Serialize, Deserialize)]
struct WrittenFrame(i64, u64, u8);

impl From<RecordedFrame> for WrittenFrame {
    fn from(frame: RecordedFrame) -> Self {
        let flags = u8::from(frame.exact) | u8::from(frame.guessed) << 1;
        Self(frame.module.map_or(-1, i64::from), frame.address, flags)
    }
}

impl From<WrittenFrame> for RecordedFrame {
    fn from(WrittenFrame(module, address, flags): WrittenFrame) -> Self {
        let module = u32::try_from(module).ok();
        Self { module, address, exact: flags & 1 != 0, guessed: flags & 2 != 0 }
    }
}

/// A stack, innermost frame first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordedStack {
    /// Places in [`Recording::frames`].
    pub frames: Vec<u32>,
    /// How it ends.
    pub ending: StackEnd,
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessEnd {
    /// By exit, all looked at.
    Exited,
    /// By _exit, or exit where nothing could be looked at.
    Left,
    /// It has become another program.
    Replaced,
    /// It was killed, or has left by a way of its own.
    Killed,
    /// It runs on.
    Running,
}

/// One process: one program from exec to its end, or a fork of one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordedProcess {
    /// In the order of their coming, from 1.
    pub serial: u32,
    /// Its id.
    pub pid: u32,
    /// The id of the process that started it.
    pub parent_pid: u32,
    /// Path of the program.
    pub program: String,
    /// Is it a fork that has called no exec?
    pub is_fork: bool,
    /// Is it the first program, or another that this has become?
    pub is_root: bool,
    /// How it has ended.
    pub end: ProcessEnd,
    /// The signal that ended it, where the command has seen that: of the first program.
    #[serde(default)]
    pub signal: Option<i32>,
    /// The deadly signal that it has told of itself.
    #[serde(default)]
    pub fault: Option<FaultReport<RecordingSite>>,
    /// Findings, in order.
    pub findings: Vec<FindingReport<RecordingSite>>,
    /// What it said at its end, and what it was asked for on the way.
    #[serde(rename = "outcomes")]
    pub leak_reports: Vec<LeakReport<RecordingSite>>,
    /// What it had in use by its own counts, where it came to no end.
    pub in_use: Vec<Reachable<RecordingSite>>,
    /// Allocations, if it did not come to its end.
    pub allocations: u64,
    /// Entries that did not fit in the record.
    pub lost: u32,
}

/// What is looked up when something new comes.
#[derive(Clone, Debug, Default)]
struct Known {
    modules: HashMap<RecordedModule, u32>,
    frames: HashMap<RecordedFrame, u32>,
    stacks: HashMap<RecordedStack, u32>,
}

/// The number of `value` in `all`, added if it is new.
fn intern<T: Clone + Eq + std::hash::Hash>(
    all: &mut Vec<T>,
    known: &mut HashMap<T, u32>,
    value: T,
) -> u32 {
    *known.entry(value).or_insert_with_key(|value| {
        all.push(value.clone());
        all.len() as u32 - 1
    })
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            modules: Vec::new(),
            frames: Vec::new(),
            stacks: Vec::new(),
            processes: Vec::new(),
            unwatched: Vec::new(),
            known: Known::default(),
        }
    }
}

impl Recording {
    /// Of nothing so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of a module; it is added if it is new.
    pub fn module(&mut self, module: RecordedModule) -> u32 {
        intern(&mut self.modules, &mut self.known.modules, module)
    }

    /// The number of a frame; it is added if it is new.
    pub fn frame(&mut self, frame: RecordedFrame) -> u32 {
        intern(&mut self.frames, &mut self.known.frames, frame)
    }

    /// The site of a stack; it is added if it is new.
    pub fn site(&mut self, stack: RecordedStack) -> RecordingSite {
        RecordingSite(intern(&mut self.stacks, &mut self.known.stacks, stack) + 1)
    }

    /// Takes over what another one has.
    pub fn absorb(&mut self, other: Self) {
        let modules: Vec<u32> =
            other.modules.into_iter().map(|module| self.module(module)).collect();
        let frames: Vec<u32> = other
            .frames
            .into_iter()
            .map(|frame| {
                let module = frame.module.and_then(|module| modules.get(module as usize).copied());
                self.frame(RecordedFrame { module, ..frame })
            })
            .collect();
        let sites: Vec<RecordingSite> = other
            .stacks
            .into_iter()
            .map(|stack| {
                let known =
                    stack.frames.iter().filter_map(|&frame| frames.get(frame as usize).copied());
                let frames = known.collect();
                self.site(RecordedStack { frames, ..stack })
            })
            .collect();
        let mut site = |old: RecordingSite| {
            let at = (old.0 as usize).checked_sub(1);
            at.and_then(|at| sites.get(at).copied()).unwrap_or(RecordingSite::NONE)
        };
        let last = self.processes.iter().map(|process| process.serial).max().unwrap_or(0);
        for mut process in other.processes {
            process.serial = process.serial.saturating_add(last);
            process.renumber(&mut site);
            self.processes.push(process);
        }
        self.unwatched.extend(other.unwatched);
    }

    /// All sites.
    pub fn sites(&self) -> impl Iterator<Item = RecordingSite> + use<> {
        (1..=self.stacks.len() as u32).map(RecordingSite)
    }

    /// The stack of a site.
    pub fn stack(&self, site: RecordingSite) -> Option<&RecordedStack> {
        self.stacks.get((site.0 as usize).checked_sub(1)?)
    }
}

impl RecordedProcess {
    /// What it has said at its end.
    pub fn final_report(&self) -> Option<&LeakReport<RecordingSite>> {
        self.leak_reports.iter().rev().find(|report| report.sum.is_final)
    }

    /// Gives all of its sites other numbers.
    fn renumber(&mut self, site: &mut impl FnMut(RecordingSite) -> RecordingSite) {
        let findings = std::mem::take(&mut self.findings);
        self.findings = findings.into_iter().map(|report| report.map_sites(site)).collect();
        self.fault = self.fault.take().map(|fault| fault.map_sites(site));
        let reports = std::mem::take(&mut self.leak_reports);
        self.leak_reports = reports.into_iter().map(|report| report.map_sites(site)).collect();
        let in_use = std::mem::take(&mut self.in_use);
        self.in_use = in_use.into_iter().map(|known| known.map_sites(site)).collect();
    }
}
