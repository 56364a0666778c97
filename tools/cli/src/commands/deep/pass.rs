//! A pass: one run of the program with guards on each block, at one place.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use mallocop::model::recording::Recording;

use super::input;
use super::request::Deep;
use crate::commands::run::Run;
use crate::failure::Failure;
use crate::recording_file;

/// A pass, and the alignments of blocks that are tried one after the other.
pub(super) struct Pass {
    pub(super) letter: &'static str,
    pub(super) about: &'static str,
    flags: &'static [&'static str],
    pub(super) alignments: &'static [usize],
}

pub(super) const PASSES: [Pass; 4] = [
    Pass {
        letter: "A",
        about: "guards after blocks",
        flags: &["--guard-side=after"],
        alignments: &[16],
    },
    Pass {
        letter: "B",
        about: "guards before blocks",
        flags: &["--guard-side=before"],
        alignments: &[16],
    },
    Pass {
        letter: "C",
        about: "freed blocks closed",
        flags: &["--guard-freed=all"],
        alignments: &[16],
    },
    Pass {
        letter: "D",
        about: "guards after blocks, to the byte",
        flags: &["--guard-side=after"],
        alignments: &[1, 2, 4, 8],
    },
];

/// A pass that is over.
pub(super) struct Passed {
    pub(super) status: u8,
    pub(super) output: Vec<u8>,
    pub(super) recording: Recording,
}

impl Passed {
    /// Has a process told of a deadly signal?
    pub(super) fn has_fault(&self) -> bool {
        self.recording.processes.iter().any(|process| process.fault.is_some())
    }

    /// Blocks that were to be guarded and were not.
    pub(super) fn unguarded(&self) -> u64 {
        let reports = self.recording.processes.iter().filter_map(|process| process.final_report());
        reports.map(|report| report.sum.unguarded).sum()
    }
}

impl Pass {
    /// Runs it. Its output goes to files.
    pub(super) fn run(
        &self,
        first: &Run<'_>,
        deep: &Deep,
        alignment: usize,
        files: &Path,
        input: &File,
    ) -> Result<Passed, Failure> {
        let step = || Failure::step(format!("run pass {}", self.letter));
        if let Some(prepare) = &deep.prepare {
            let ended = Command::new("sh").args(["-c", prepare]).status().map_err(step())?;
            if !ended.success() {
                let why = format!("--deep-prepare: {ended}");
                return Err(Failure::Step(why, std::io::ErrorKind::Other.into()));
            }
        }
        let (kept, output) = (files.with_extension("recording"), files.with_extension("out"));
        let mut command = Command::new(std::env::current_exe().map_err(step())?);
        command.args(["run", "--quiet", "--exitcode=0", "--halt-on-error=0", "--detect-leaks=0"]);
        command.args(["--guard=all", "--check-libc=1"]).args(self.flags);
        command.arg(format!("--guard-align={alignment}")).arg("--output").arg(&kept);
        command.arg("--").arg(first.program).args(first.arguments);
        let users = std::env::var("MALLOCOP_OPTIONS").unwrap_or_default();
        command.env("MALLOCOP_OPTIONS", format!("{users}:{}", first.options));
        command.stdin(input::again(input)?).stdout(File::create(&output).map_err(step())?);
        command.stderr(File::create(files.with_extension("err")).map_err(step())?);
        let ended = command.status().map_err(step())?;
        Ok(Passed {
            status: crate::status::of_run(ended, false, 0),
            output: fs::read(&output).map_err(step())?,
            recording: recording_file::load(&kept)?,
        })
    }
}
