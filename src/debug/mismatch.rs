//! Is a block freed by the call that goes with the one it came from?

use super::block::Head;
use super::checked::{CheckedHeap, Release};
use crate::finding::{Block, Defect, Finding, Kind, Operation};
use crate::options::{self, Name};
use crate::stack::depot::{self, SiteId};
use crate::stack::modules;

/// The operators whose definition inside a module shows that it brings its own runtime.
const OPERATORS: [&str; 4] = ["_Znwm", "_Znam", "_ZdlPv", "_ZdaPv"];

impl CheckedHeap {
    /// Reports a taken block that is freed with the wrong call, size or alignment.
    pub(super) fn check_release(
        &self,
        user: usize,
        site: SiteId,
        head: Head,
        release: Release,
        now: SiteId,
    ) {
        if !self.is_guarded() {
            return;
        }
        let Some(defect) = defect_of(head, release) else { return };
        let concerns_operators = !matches!(release.operation, Operation::FreeSized);
        if concerns_operators && !(self.operators_are_ours() && both_ends_are_ours(site, now)) {
            return;
        }
        let block = Block { site, ..super::block::facts(user, head) };
        let now = if now == SiteId::NONE { self.operation_site(release.operation) } else { now };
        self.deliver(&Finding {
            block: Some(block),
            ..Finding::new(defect, release.operation, user, now)
        });
    }
}

fn defect_of(head: Head, release: Release) -> Option<Defect> {
    let Release { operation, size, align } = release;
    let plain = matches!(head.kind, Kind::Malloc | Kind::Memalign);
    let family_fits = match operation {
        Operation::Delete(kind) => head.kind == kind || is_same_but_for_alignment(head.kind, kind),
        _ => plain,
    };
    if !family_fits {
        return options::flag(Name::AllocDeallocMismatch).then_some(Defect::Mismatch);
    }
    let kind_fits = match operation {
        Operation::Delete(kind) => head.kind == kind,
        _ => true,
    };
    let fits = kind_fits
        && size.is_none_or(|size| size == head.size)
        && align.is_none_or(|align| align.max(16) == head.align);
    if fits || !options::flag(Name::NewDeleteTypeMismatch) {
        return None;
    }
    Some(Defect::DeleteMismatch { size, align })
}

const fn is_same_but_for_alignment(one: Kind, other: Kind) -> bool {
    matches!(
        (one, other),
        (Kind::New, Kind::AlignedNew)
            | (Kind::AlignedNew, Kind::New)
            | (Kind::NewArray, Kind::AlignedNewArray)
            | (Kind::AlignedNewArray, Kind::NewArray)
    )
}

/// A module with a C++ runtime of its own (-static-libstdc++) allocates with one pair of operators
/// and may free with another: nothing can be said of such blocks.
fn both_ends_are_ours(allocated: SiteId, freed: SiteId) -> bool {
    [allocated, freed].into_iter().all(|site| {
        let caller = depot::frames(site).first().and_then(|&pc| modules::find(pc - 1));
        caller.is_none_or(|module| !modules::defines(&module, &OPERATORS))
    })
}
