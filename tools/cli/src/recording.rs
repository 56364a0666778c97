//! What is known of a run: data without addresses, the same on another machine.

use std::collections::HashMap;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use mallocop::model::finding::Finding;
use mallocop::model::finding_report::FindingReport;
use mallocop::model::leak_report::{LeakReport, Reachable};
use mallocop::stack::depot::SiteId;
use mallocop::sys::exec_check::PreloadObstacle;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

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
    pub(crate) unwatched: Vec<(String, PreloadObstacle)>,
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
#[serde(from = "WrittenFrame", into = "WrittenFrame")]
pub(crate) struct Frame {
    /// Its number; none for code of no file.
    pub(crate) module: Option<u32>,
    /// Address in the file, as its symbols have it, that the call returns to; without a module the
    /// one in memory.
    pub(crate) address: u64,
    /// Did a signal come in there, so that it is the next instruction's?
    pub(crate) exact: bool,
    /// Was it found without unwind information?
    pub(crate) guessed: bool,
}

/// A frame as it is written: module or -1, address, 1 if exact plus 2 if guessed.
#[derive(Serialize, Deserialize)]
struct WrittenFrame(i64, u64, u8);

impl From<Frame> for WrittenFrame {
    fn from(frame: Frame) -> Self {
        let flags = u8::from(frame.exact) | u8::from(frame.guessed) << 1;
        Self(frame.module.map_or(-1, i64::from), frame.address, flags)
    }
}

impl From<WrittenFrame> for Frame {
    fn from(WrittenFrame(module, address, flags): WrittenFrame) -> Self {
        let module = u32::try_from(module).ok();
        Self { module, address, exact: flags & 1 != 0, guessed: flags & 2 != 0 }
    }
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
    /// The signal that ended it, where the command has seen that: of the first program.
    #[serde(default)]
    pub(crate) signal: Option<i32>,
    pub(crate) findings: Vec<FindingReport>,
    /// What it said at its end, and what it was asked for on the way.
    pub(crate) outcomes: Vec<LeakReport>,
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

    /// Writes it to a file, whole or not at all.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let step = || Failure::step(format!("write {}", path.display()));
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(step())?;
        let mut out = BufWriter::new(file.as_file_mut());
        serde_json::to_writer(&mut out, self).map_err(std::io::Error::from).map_err(step())?;
        out.write_all(b"\n").and_then(|()| out.flush()).map_err(step())?;
        drop(out);
        file.persist(path).map_err(|error| error.error).map_err(step())?;
        Ok(())
    }

    /// Reads one that [`Recording::save`] has written. An error says why it cannot be used.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let bytes =
            std::fs::read(path).map_err(Failure::step(format!("read {}", path.display())))?;
        read(&bytes).map_err(|why| Failure::Recording(path.to_owned(), why))
    }

    /// Takes over what another one has.
    pub(crate) fn absorb(&mut self, other: Self) {
        let modules: Vec<u32> =
            other.modules.into_iter().map(|module| self.module(module)).collect();
        let frames: Vec<u32> = other
            .frames
            .into_iter()
            .map(|frame| {
                let module = frame.module.and_then(|module| modules.get(module as usize).copied());
                self.frame(Frame { module, ..frame })
            })
            .collect();
        let sites: Vec<SiteId> = other
            .stacks
            .into_iter()
            .map(|stack| {
                let known =
                    stack.frames.iter().filter_map(|&frame| frames.get(frame as usize).copied());
                let frames = known.collect();
                self.site(Stack { frames, ..stack })
            })
            .collect();
        let site = |old: SiteId| {
            let at = (old.0 as usize).checked_sub(1);
            at.and_then(|at| sites.get(at).copied()).unwrap_or(SiteId::NONE)
        };
        let last = self.processes.iter().map(|process| process.serial).max().unwrap_or(0);
        for mut process in other.processes {
            process.serial = process.serial.saturating_add(last);
            process.renumber(site);
            self.processes.push(process);
        }
        self.unwatched.extend(other.unwatched);
    }

    /// The stack of a site.
    pub(crate) fn stack(&self, site: SiteId) -> Option<&Stack> {
        self.stacks.get((site.0 as usize).checked_sub(1)?)
    }
}

impl Process {
    /// What it has said at its end.
    pub(crate) fn final_outcome(&self) -> Option<&LeakReport> {
        self.outcomes.iter().rev().find(|report| report.sum.is_final)
    }

    /// Gives all of its sites other numbers.
    fn renumber(&mut self, site: impl Fn(SiteId) -> SiteId) {
        for report in &mut self.findings {
            report.finding.site = site(report.finding.site);
            let Finding { block, beside, .. } = &mut report.finding;
            for block in block.iter_mut().chain(beside.iter_mut().flatten()) {
                (block.site, block.free_site) = (site(block.site), site(block.free_site));
            }
        }
        for report in &mut self.outcomes {
            report.leaks.iter_mut().for_each(|leak| leak.site = site(leak.site));
            report.reachable.iter_mut().for_each(|known| known.site = site(known.site));
        }
        self.in_use.iter_mut().for_each(|known| known.site = site(known.site));
    }
}

/// A recording from its bytes.
fn read(bytes: &[u8]) -> Result<Recording, String> {
    /// What comes first, whatever version the rest is of.
    #[derive(Deserialize)]
    struct Head {
        format: String,
        version: u32,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
    if head.format != FORMAT {
        return Err(format!("it is a {}", head.format));
    }
    if head.version != VERSION {
        return Err(format!(
            "it is of version {}, this command knows version {VERSION}",
            head.version
        ));
    }
    serde_json::from_slice(bytes).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(module: u32, address: u64) -> Frame {
        Frame { module: Some(module), address, exact: false, guessed: false }
    }

    fn recording(path: &str) -> Recording {
        let mut recording = Recording::new();
        let module = recording.module(Module { path: path.to_owned(), build_id: "ab".to_owned() });
        let frames = vec![recording.frame(frame(module, 16)), recording.frame(frame(module, 32))];
        let site = recording.site(Stack { frames, ending: Ending::Whole });
        recording.processes.push(Process {
            serial: 1,
            pid: 7,
            parent_pid: 1,
            program: path.to_owned(),
            is_fork: false,
            is_root: true,
            end: End::Killed,
            signal: None,
            findings: Vec::new(),
            outcomes: Vec::new(),
            in_use: vec![Reachable { site, ..Reachable::default() }],
            allocations: 1,
            lost: 0,
        });
        recording
    }

    #[test]
    fn what_is_saved_is_loaded_and_absorbed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("recording");
        recording("one").save(&path).expect("written");
        let loaded = Recording::load(&path).expect("read");
        assert_eq!(loaded.stacks, recording("one").stacks);
        let mut all = Recording::new();
        all.absorb(loaded);
        all.absorb(recording("two"));
        all.absorb(recording("one"));
        assert_eq!((all.modules.len(), all.frames.len(), all.stacks.len()), (2, 4, 2));
        let sites: Vec<u32> =
            all.processes.iter().map(|process| process.in_use[0].site.0).collect();
        assert_eq!(sites, [1, 2, 1]);
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        let bytes = serde_json::to_vec(&recording("one")).expect("json");
        assert!(read(&bytes).is_ok());
        (0..bytes.len()).for_each(|len| assert!(read(&bytes[..len]).is_err(), "{len}"));
        assert!(read(b"{\"format\":\"mallocop-recording\",\"version\":99}").is_err());
        assert!(read(b"{\"format\":\"other\",\"version\":1}").is_err());
        assert!(read(b"[]").is_err());
    }
}
