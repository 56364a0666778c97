//! Findings of several runs as one list: what was found late in one and at the access in another is
//! one error.

use std::collections::HashSet;

use mallocop::model::finding::{Block, Defect, Finding, Location};
use mallocop::model::recording::Recording;
use mallocop::model::site::RecordingSite;
use mallocop::text::finding;

use crate::printer;
use crate::symbolize::Symbols;

/// On which side of its block an error is, or that the block was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    After,
    Before,
    Freed,
    Other(&'static str),
}

/// What makes two findings the same error: the kind and the block's site; and where it is made, if
/// that is known.
type Error = (Kind, RecordingSite, RecordingSite);

/// The errors so far.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// With the place of the access.
    at_access: HashSet<Error>,
    /// Found late: where they were made, nobody knew.
    late: HashSet<(Kind, RecordingSite)>,
}

/// A finding's number: of its process in the recording, and in that one.
pub(super) type Place = (usize, usize);

impl Known {
    /// Errors in all.
    pub(super) fn count(&self) -> usize {
        let is_late = |error: &&(Kind, RecordingSite)| {
            !self.at_access.iter().any(|(kind, block, _)| (*kind, *block) == **error)
        };
        self.at_access.len() + self.late.iter().filter(is_late).count()
    }

    /// Takes over the findings of the processes from number `start` on: those that are known leave
    /// the recording. Returns the others.
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

    /// Notes an error. Does it say more than is known?
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
