//! System calls that the kernel has refused, or cut short, since a guarded block ends there: it
//! raises no signal for a buffer that it cannot use.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::checks::Touched;
use crate::model::access::{Call, CallEnd};
use crate::model::finding::{Finding, Operation};
use crate::runtime::HEAP;
use crate::shadow::guarded_slots;
use crate::stack::capture;
use crate::sys::{disposition, thread, thread_number};

/// A part of a call's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// First byte.
    pub start: usize,
    /// Bytes.
    pub bytes: usize,
}

/// Are there guarded blocks at all? To be asked before anything else is.
#[inline(always)]
pub fn is_possible() -> bool {
    guarded_slots::start() != 0
}

/// Looks at a call that has come back with EFAULT (`done` is `None`), or with fewer bytes than the
/// parts of its buffer have. `has_more`: would it have transferred more? Tells of the guarded block
/// that ends there. `true`: the call is to be repeated, all of its buffer can be accessed now.
pub fn look(
    call: Call,
    parts: impl Iterator<Item = Part>,
    done: Option<usize>,
    has_more: impl FnOnce() -> bool,
) -> bool {
    if !thread::is_outside() || disposition::is_foreign() {
        return false;
    }
    let mut before = 0;
    for Part { start, bytes } in parts {
        let end = start.saturating_add(bytes);
        if let Some(fault) = HEAP.first_inaccessible(start, end) {
            let is_end = done.is_none_or(|done| done == before + (fault - start));
            if is_end && (done.is_none() || has_more()) {
                tell(call, Part { start, bytes }, fault, done);
                HEAP.open_all(start, end);
                return done.is_none();
            }
            return false;
        }
        before += bytes;
    }
    false
}

fn tell(call: Call, Part { start, bytes }: Part, fault: usize, done: Option<usize>) {
    static IS_TELLING: AtomicBool = AtomicBool::new(false);
    let Some(known) = HEAP.guarded_access(Touched { fault, start }) else { return };
    if IS_TELLING.swap(true, Ordering::AcqRel) {
        return;
    }
    let end = done.map_or(CallEnd::Refused, CallEnd::Short);
    let defect = known.defect(call.fills(), bytes, Some((call, end)));
    let thread = thread_number::number();
    HEAP.deliver(&Finding {
        place: known.place,
        block: Some(known.block),
        ..Finding::new(defect, Operation::Access, start, thread, capture::full_site())
    });
    IS_TELLING.store(false, Ordering::Release);
}
