//! Merges the findings of several runs. An error that one run finds late and another at the access
//! counts once.

use std::collections::HashSet;

use mallocop::model::finding::{Block, Defect, Finding, Location};
use mallocop::model::recording::Recording;
use mallocop::model::site::RecordingSite;
use mallocop::text::finding;

use crate::printer;
use crate::symbolize::Symbols;

/// The kind of an error: the side of the block, or a use after free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    After,
    Before,
    Freed,
    Other(&'static str),
}

/// Two findings with the same kind, the same site of the block and the same site of the access are
/// the same error.
type Error = (Kind, RecordingSite, RecordingSite);

/// The errors so far.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Those whose access is known.
    at_access: HashSet<Error>,
    /// Those found late, whose access is not known.
    late: HashSet<(Kind, RecordingSite)>,
}

/// Index of a process in the recording, and of a finding in that process.
pub(super) type Place = (usize, usize);

impl Known {
    /// Number of different errors.
    pub(super) fn count(&self) -> usize {
        let is_late = |error: &&(Kind, RecordingSite)| {
            !self.at_access.iter().any(|(kind, block, _)| (*kind, *block) == **error)
        };
        self.at_access.len() + self.late.iter().filter(is_late).count()
    }

    /// Adds the findings of the processes from index `start` on. Removes known ones from the
    /// recording and returns the places of the others.
    pub(super) fn take_from(&mut self, recording: &mut Recording, start: usize) -> Vec<Place> {
        let mut new = Vec::new();
        for (process, number) in recording.processes.iter_mut().skip(start).zip(start..) {
            process
                .findings
                .retain(|report| !report.finding.is_error() || self.is_new(&report.finding));
            let errors = process.findings.iter().enumerate();
            let errors = errors.filter(|(_, report)| report.finding.is_error());
            new.extend(errors.map(|(at, _)| (number, at)));
        }
        new
    }

    /// Adds an error. `true` if it is new, or its access was not known before.
    fn is_new(&mut self, finding: &Finding<RecordingSite>) -> bool {
        let block =
            finding.block.as_ref().map_or(RecordingSite::NONE, |block: &Block<_>| block.site);
        let kind = kind_of(finding);
        let is_late =
            matches!(finding.defect, Defect::Overflow | Defect::Underflow | Defect::WriteAfterFree);
        if is_late {
            let is_known = self.at_access.iter().any(|(k, b, _)| (*k, *b) == (kind, block));
            return self.late.insert((kind, block)) && !is_known;
        }
        self.at_access.insert((kind, block, finding.site))
    }
}

fn kind_of(finding: &Finding<RecordingSite>) -> Kind {
    match (finding.defect, finding.place) {
        (Defect::Overflow, _) => Kind::After,
        (Defect::Underflow, _) => Kind::Before,
        (Defect::WriteAfterFree, _) => Kind::Freed,
        (Defect::Access(access), _) if access.is_freed => Kind::Freed,
        (Defect::Access(_), Location::Before(_)) => Kind::Before,
        (Defect::Access(_), _) => Kind::After,
        (defect, _) => Kind::Other(defect.id()),
    }
}

/// Prints findings.
pub(super) fn print(recording: &Recording, places: &[Place], symbols: &Symbols) {
    for &(process, at) in places {
        let report = recording.processes.get(process).and_then(|process| process.findings.get(at));
        let Some(report) = report else { continue };
        symbols.prepare(recording, report.finding.sites());
        let page = symbols.with_renderer(recording, |with| finding::write(report, with));
        printer::print(&page);
    }
}
