//! `mallocop report`: recordings, merged and shown once more, also on another machine.

use std::path::PathBuf;

use mallocop::model::recording::Recording;
use mallocop::text::finding;

use crate::failure::Failure;

use crate::destinations::Destinations;
use crate::printer;
use crate::recording_file;
use crate::symbolize::Symbols;

/// Shows the recordings as one. Returns `exitcode`, if that is asked for and they have an error or
/// a leak; else 0.
pub(crate) fn show(
    files: &[PathBuf],
    to: &Destinations,
    exitcode: Option<u8>,
) -> Result<u8, Failure> {
    let mut recording = Recording::new();
    for file in files {
        recording.absorb(recording_file::load(file)?);
    }
    let symbols = Symbols::new(to.debuginfod);
    let findings = || recording.processes.iter().flat_map(|process| &process.findings);
    symbols.prepare(&recording, findings().flat_map(|report| report.finding.sites()));
    for report in findings() {
        printer::print(&symbols.with_renderer(&recording, |with| finding::write(report, with)));
    }
    printer::print_summary(&recording, &symbols);
    to.write(&recording, &symbols)?;
    let mut reports = recording.processes.iter().flat_map(|process| &process.leak_reports);
    let has_error = findings().any(|report| report.finding.is_error())
        || reports.any(mallocop::model::leak_report::LeakReport::is_error);
    Ok(exitcode.filter(|_| has_error).unwrap_or(0))
}
