//! Is a block freed by the call that goes with the one it came from?

use super::block::Head;
use super::checked::{CheckedHeap, Release};
use crate::finding::{Block, Defect, Finding, Kind, Operation};
use crate::options::{self, Name};
use crate::stack::depot::{self, SiteId};
use crate::stack::modules;
use crate::sys::apart;

impl CheckedHeap {
    /// Reports a taken block that is freed with the wrong call, size or alignment.
    pub(super) fn check_release(&self, user: usize, site: SiteId, head: Head, release: &Release) {
        if self.is_guarded()
            && let Some(defect) = defect_of(head, release)
        {
            self.report_release(user, site, head, release, defect);
        }
    }

    #[cold]
    fn report_release(
        &self,
        user: usize,
        site: SiteId,
        head: Head,
        release: &Release,
        defect: Defect,
    ) {
        let concerns_operators = head.kind != Kind::Rust
            && !matches!(
                release.operation,
                Operation::FreeSized | Operation::Dealloc | Operation::Reallocate
            );
        if concerns_operators && !self.operators_are_ours() {
            return;
        }
        let block = Some(Block { site, ..super::block::facts(user, head) });
        let now = self.operation_site(release.operation);
        let hidden = concerns_operators && calls_a_runtime_of_its_own(site, now);
        if hidden {
            self.set_operators_are_ours(false);
        }
        let defect = if hidden { Defect::Unjudged } else { defect };
        self.deliver(&Finding { block, ..Finding::new(defect, release.operation, user, now) });
    }
}

fn defect_of(head: Head, release: &Release) -> Option<Defect> {
    let Release { operation, size, align, .. } = *release;
    let plain = matches!(head.kind, Kind::Malloc | Kind::Memalign);
    let is_rusts = matches!(operation, Operation::Dealloc | Operation::Reallocate);
    let family_fits = match operation {
        _ if is_rusts => head.kind == Kind::Rust,
        Operation::Delete(kind) => head.kind == kind || is_same_but_for_alignment(head.kind, kind),
        _ => plain,
    };
    if !family_fits {
        return options::flag(Name::AllocDeallocMismatch).then_some(Defect::Mismatch);
    }
    if is_rusts {
        // A free that a handler left has no Layout any more.
        return size
            .zip(align)
            .filter(|&layout| layout != (head.size, head.align))
            .map(|(size, align)| Defect::LayoutMismatch { size, align });
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

/// A module with a C++ runtime of its own (-static-libstdc++) may hide an operator new that calls
/// malloc, or a delete that calls free: such blocks are not judged. Which modules called is told by
/// the stacks; without one it may have been any.
fn calls_a_runtime_of_its_own(allocated: SiteId, freed: SiteId) -> bool {
    let look = || {
        [allocated, freed].into_iter().any(|site| match depot::frames(site).next() {
            Some(frame) => modules::find(frame.pc() - 1)
                .is_some_and(|module| modules::brings_cpp_runtime(&module.path)),
            None => modules::all().iter().any(|path| modules::brings_cpp_runtime(path)),
        })
    };
    apart::run(look).unwrap_or(true)
}
