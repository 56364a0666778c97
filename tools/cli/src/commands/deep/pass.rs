//! A pass: a run of the program with all blocks guarded on one side.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use mallocop::model::recording::Recording;

use super::input;
use super::request::Deep;
use crate::commands::run::Run;
use crate::failure::Failure;
use crate::{recording_file, status};

/// A pass, and the alignments of blocks to try, in this order.
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

/// The result of a pass.
pub(super) struct Passed {
    pub(super) status: u8,
    pub(super) output: Vec<u8>,
    pub(super) recording: Recording,
}

impl Passed {
    /// Has a process recorded a deadly signal?
    pub(super) fn has_fault(&self) -> bool {
        self.recording.processes.iter().any(|process| process.fault.is_some())
    }

    /// Blocks that were not guarded, for lack of memory or since they are too large.
    pub(super) fn unguarded(&self) -> u64 {
        let reports = self.recording.processes.iter().filter_map(|process| process.final_report());
        reports.map(|report| report.sum.unguarded).sum()
    }
}

impl Pass {
    /// Its name for the user.
    pub(super) fn title(&self, alignment: usize) -> String {
        let (letter, about) = (self.letter, self.about);
        match (self.alignments.len(), alignment) {
            (2.., 2..) => format!("pass {letter} ({about}, aligned to {alignment})"),
            _ => format!("pass {letter} ({about})"),
        }
    }

    /// Runs the program. Its standard output goes to a file, its standard error nowhere.
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
                let failed = std::io::Error::other(ended.to_string());
                return Err(Failure::step("prepare it (--deep-prepare)")(failed));
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
        let ended = command.stderr(Stdio::null()).status().map_err(step())?;
        Ok(Passed {
            status: status::of_run(ended, false, 0),
            output: fs::read(&output).map_err(step())?,
            recording: recording_file::load(&kept)?,
        })
    }
}
