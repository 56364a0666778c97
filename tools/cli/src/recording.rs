//! What is known of a run: data without addresses, the same on another machine.

use std::collections::HashMap;

use mallocop::report::outcome::{Outcome, Reachable};
use mallocop::report::told::Told;
use mallocop::stack::depot::SiteId;
use mallocop::sys::target::Obstacle;
use serde::{Deserialize, Serialize};

/// Version of what is written to a file (docs/recording.md).
pub(crate) const VERSION: u32 = 1;
/// What it says that it is.
pub(crate) const FORMAT: &str = "mallocop-recording";

/// A run, or several. Sites are numbered by [`Recording::stacks`], from 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Recording {
    pub(crate) format: String,
    pub(crate) version: u32,
    pub(crate) modules: Vec<Module>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) stacks: Vec<Stack>,
    pub(crate) processes: Vec<Process>,
    /// Programs that were started and could not be watched, with the reason.
    pub(crate) unwatched: Vec<(String, Obstacle)>,
    #[serde(skip)]
    known: Known,
}

/// A file that code was loaded from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Module {
    pub(crate) path: String,
    /// In hexadecimal digits; empty without one.
    pub(crate) build_id: String,
}

/// A place in a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Frame {
    /// Its number; none for code of no file.
    pub(crate) module: Option<u32>,
    /// Address in the file, as its symbols have it, that the call returns to; without a module the one in memory.
    pub(crate) address: u64,
    /// Did a signal come in there, so that it is the next instruction's?
    pub(crate) exact: bool,
    /// Was it found without unwind information?
    pub(crate) guessed: bool,
}

/// A stack, innermost frame first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Stack {
    pub(crate) frames: Vec<u32>,
    pub(crate) ending: Ending,
}

/// How a stack ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Ending {
    Whole,
    Cut,
    Lost,
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
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
pub(crate) struct Process {
    /// In the order of their coming, from 1.
    pub(crate) serial: u32,
    pub(crate) pid: u32,
    pub(crate) parent_pid: u32,
    /// Path of the program.
    pub(crate) program: String,
    /// Is it a fork that has called no exec?
    pub(crate) is_fork: bool,
    /// Is it the first program, or another that this has become?
    pub(crate) is_root: bool,
    pub(crate) end: End,
    pub(crate) findings: Vec<Told>,
    /// What it said at its end, and what it was asked for on the way.
    pub(crate) outcomes: Vec<Outcome>,
    /// What it had in use by its own counts, where it came to no end.
    pub(crate) in_use: Vec<Reachable>,
    /// Allocations, if it did not come to its end.
    pub(crate) allocations: u64,
    /// What it could not say for want of room.
    pub(crate) lost: u32,
}

/// What is looked up when something new comes.
#[derive(Clone, Debug, Default)]
struct Known {
    modules: HashMap<Module, u32>,
    frames: HashMap<Frame, u32>,
    stacks: HashMap<Stack, u32>,
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

impl Recording {
    /// Of nothing so far.
    pub(crate) fn new() -> Self {
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

    pub(crate) fn module(&mut self, module: Module) -> u32 {
        intern(&mut self.modules, &mut self.known.modules, module)
    }

    pub(crate) fn frame(&mut self, frame: Frame) -> u32 {
        intern(&mut self.frames, &mut self.known.frames, frame)
    }

    pub(crate) fn site(&mut self, stack: Stack) -> SiteId {
        SiteId(intern(&mut self.stacks, &mut self.known.stacks, stack) + 1)
    }

    /// The stack of a site.
    pub(crate) fn stack(&self, site: SiteId) -> Option<&Stack> {
        self.stacks.get((site.0 as usize).checked_sub(1)?)
    }
}
