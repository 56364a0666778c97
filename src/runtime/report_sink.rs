//! What a reader sees: findings and the summary as text, and the way it leaves the process.

use crate::model::fault::FaultReport;
use crate::model::finding_report::FindingReport;
use crate::model::leak_report::LeakReport;
use crate::model::site::ProcessSite;
use crate::text::style::Renderer;

use super::log_file;
use crate::model::leak_report::Leak;
use crate::model::unwatched::PreloadObstacle;
use crate::sys::output;
use crate::text::{escape, leaks};
use crate::trace;
use crate::trace::LogEntry;

/// Puts lines for the reader where that looks: under `mallocop run` into the tree file, from which
/// the command prints; without one, or when it is full, on the standard error that the process was
/// started with; but first of all into the file of `log_path`.
pub fn emit(text: &str) {
    if log_file::append(text.as_bytes()) {
        return;
    }
    // An entry has an end: long texts are several.
    for piece in text.as_bytes().chunks(trace::MOST_BYTES) {
        if !trace::append(LogEntry::Text, piece) {
            output::write_stderr(piece);
        }
    }
}

/// Puts lines where the reader looks, for the first program before it runs: its standard error is
/// still the command's. So they stand in front of all that the program writes; the command would
/// print them somewhere in the middle.
pub fn emit_at_start(text: &str) {
    let text = escape::escape_lines(text);
    if !log_file::append(text.as_bytes()) {
        output::write_stderr(text.as_bytes());
    }
}

/// Tells a finding, as data, if somebody reads the record. `false`: nobody does.
pub fn tell(report: &FindingReport) -> bool {
    !log_file::is_wanted()
        && postcard::to_allocvec(report).is_ok_and(|bytes| trace::append(LogEntry::Finding, &bytes))
}

/// Tells a fault, as data, if somebody reads the record. `false`: nobody does.
pub fn tell_fault(report: &FaultReport) -> bool {
    !log_file::is_wanted()
        && postcard::to_allocvec(report).is_ok_and(|bytes| trace::append(LogEntry::Fault, &bytes))
}

/// Tells a fault without taking memory, for a report without lists.
pub fn record_fault_in_place(report: &FaultReport) {
    let mut entry = [0; 1024];
    if let Ok(bytes) = postcard::to_slice(report, &mut entry) {
        trace::append(LogEntry::Fault, bytes);
    }
}

/// Tells of a program that is started unwatched. Safe in signal handlers and between vfork and
/// exec.
pub fn record_unwatched(obstacle: PreloadObstacle, path: &[u8]) {
    let mut entry = [0; 512];
    let path = path.get(..500).unwrap_or(path);
    if let Ok(bytes) = postcard::to_slice(&(obstacle, path), &mut entry) {
        trace::append(LogEntry::Unwatched, bytes);
    }
}

/// Tells an outcome, entry by entry.
pub fn record_leak_report(report: &LeakReport) -> bool {
    let append = |entry, bytes: postcard::Result<Vec<u8>>| {
        bytes.is_ok_and(|bytes| trace::append(entry, &bytes))
    };
    if !trace::is_open() || log_file::is_wanted() {
        return false;
    }
    // A list that is too long for the record ends early; the sum has the rest.
    for leak in &report.leaks {
        let alone = Leak { objects: Vec::new(), ..*leak };
        if !append(LogEntry::Leak, postcard::to_allocvec(&alone)) {
            break;
        }
        for object in &leak.objects {
            append(LogEntry::Object, postcard::to_allocvec(object));
        }
    }
    for reachable in &report.reachable {
        if !append(LogEntry::Reachable, postcard::to_allocvec(reachable)) {
            break;
        }
    }
    append(LogEntry::Sum, postcard::to_allocvec(&report.sum))
}

/// The text of an outcome, where this process has to write it itself.
pub fn emit_leak_report(report: &LeakReport, with: &mut Renderer<'_, ProcessSite>) {
    let text = leaks::write(report, with);
    if !text.is_empty() {
        emit(text.text());
    }
}
