//! `mallocop report`: recordings, merged and shown once more, also on another machine.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use mallocop::text::finding;

use crate::failure::Failure;
use crate::recording::Recording;
use crate::symbols::{Named, Symbols, told_sites};
use crate::{json, printer, summary};

/// Where else than to the terminal a report goes, and by what it is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Destinations {
    /// File that keeps the recording.
    pub(crate) output: Option<PathBuf>,
    /// File for the report as JSON; `-` is standard output.
    pub(crate) json: Option<PathBuf>,
    /// May debuginfod be asked for what is not on this machine?
    pub(crate) debuginfod: bool,
}

impl Destinations {
    /// Is all that is known to be kept, not only what the text shows?
    pub(crate) const fn want_all(&self) -> bool {
        self.output.is_some() || self.json.is_some()
    }

    /// Writes what is wanted there.
    pub(crate) fn write(
        &self,
        recording: &Recording,
        symbols: &mut Symbols,
    ) -> Result<(), Failure> {
        if let Some(path) = &self.output {
            recording.save(path)?;
        }
        let Some(path) = &self.json else { return Ok(()) };
        let text = json::write(recording, symbols).map_err(std::io::Error::from);
        let write = |text: String| match path == Path::new("-") {
            true => writeln!(std::io::stdout(), "{text}"),
            false => std::fs::write(path, text + "\n"),
        };
        text.and_then(write).map_err(Failure::step(format!("write {}", path.display())))
    }
}

/// Shows the recordings as one. Returns `exitcode`, if that is asked for and they have an error or
/// a leak; else 0.
pub(crate) fn show(
    files: &[PathBuf],
    to: &Destinations,
    exitcode: Option<u8>,
) -> Result<u8, Failure> {
    let mut recording = Recording::new();
    for file in files {
        recording.absorb(Recording::load(file)?);
    }
    let mut symbols = Symbols::new(to.debuginfod);
    let findings = || recording.processes.iter().flat_map(|process| &process.findings);
    symbols.prepare(&recording, findings().flat_map(told_sites));
    for report in findings() {
        printer::print(&finding::finding(
            report,
            &mut Named { recording: &recording, symbols: &mut symbols },
        ));
    }
    printer::print(&summary::write(&recording, &mut symbols));
    to.write(&recording, &mut symbols)?;
    let mut outcomes = recording.processes.iter().flat_map(|process| &process.outcomes);
    let has_error = findings().any(|report| report.finding.is_error())
        || outcomes.any(|report| report.is_error());
    Ok(exitcode.filter(|_| has_error).unwrap_or(0))
}
