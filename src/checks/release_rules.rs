//! Is a block freed by the call that goes with the one it came from?

use crate::checks::heap::CheckedHeap;
use crate::checks::layout::BlockHeader;
use crate::checks::request::Release;
use crate::model::finding::{AllocKind, Block, Defect, Finding, Operation};
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::stack::depot;
use crate::stack::modules;
use crate::sys::alt_stack;
use crate::sys::thread_number;

impl CheckedHeap {
    /// Reports a taken block that is freed with the wrong call, size or alignment.
    pub(crate) fn check_release(
        &self,
        user: usize,
        site: ProcessSite,
        head: BlockHeader,
        release: &Release,
    ) {
        if self.is_checked()
            && let Some(defect) = defect_of(head, release)
        {
            self.report_release(user, site, head, release, defect);
        }
    }

    #[cold]
    fn report_release(
        &self,
        user: usize,
        site: ProcessSite,
        head: BlockHeader,
        release: &Release,
        defect: Defect,
    ) {
        let concerns_operators = head.kind != AllocKind::Rust
            && !matches!(
                release.operation,
                Operation::FreeSized | Operation::Dealloc | Operation::Reallocate
            );
        if concerns_operators && !self.operators_are_ours() {
            return;
        }
        let block = Some(Block { site, ..crate::checks::layout::facts(user, head) });
        let now = self.operation_site(release.operation);
        let hidden = concerns_operators && calls_a_runtime_of_its_own(site, now);
        if hidden {
            self.set_operators_are_ours(false);
        }
        let defect = if hidden { Defect::Unjudged } else { defect };
        self.deliver(&Finding {
            block,
            ..Finding::new(defect, release.operation, user, thread_number::number(), now)
        });
    }
}

fn defect_of(head: BlockHeader, release: &Release) -> Option<Defect> {
    let Release { operation, size, align, .. } = *release;
    let plain = matches!(head.kind, AllocKind::Malloc | AllocKind::Memalign);
    let is_rusts = matches!(operation, Operation::Dealloc | Operation::Reallocate);
    let family_fits = match operation {
        _ if is_rusts => head.kind == AllocKind::Rust,
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

const fn is_same_but_for_alignment(one: AllocKind, other: AllocKind) -> bool {
    matches!(
        (one, other),
        (AllocKind::New, AllocKind::AlignedNew)
            | (AllocKind::AlignedNew, AllocKind::New)
            | (AllocKind::NewArray, AllocKind::AlignedNewArray)
            | (AllocKind::AlignedNewArray, AllocKind::NewArray)
    )
}

/// A module with a C++ runtime of its own (-static-libstdc++) may hide an operator new that calls
/// malloc, or a delete that calls free: such blocks are not judged. Which modules called is told by
/// the stacks; without one it may have been any.
fn calls_a_runtime_of_its_own(allocated: ProcessSite, freed: ProcessSite) -> bool {
    let look = || {
        [allocated, freed].into_iter().any(|site| match depot::frames(site).next() {
            Some(frame) => modules::find(frame.pc() - 1)
                .is_some_and(|module| modules::brings_cpp_runtime(&module.path)),
            None => modules::all().iter().any(|path| modules::brings_cpp_runtime(path)),
        })
    };
    alt_stack::run(look).unwrap_or(true)
}
