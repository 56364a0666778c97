//! Calls of libc's that libmallocop_checked.so stands in front of: what it asks, and what it has
//! found.

use crate::checks::room::UNKNOWN;
use crate::model::access::{Call, CallEnd, Overlap};
use crate::model::finding::{Defect, Finding, Operation};
use crate::runtime::HEAP;
use crate::stack::{capture, modules};
use crate::sys::{alt_stack, disposition, errno, fault_net, thread, thread_number};

/// libc's functions read so many bytes at once.
const WIDEST: usize = 64;

/// Says where that library's code lies: its frames are no program's.
pub fn add_own(start: usize, end: usize) {
    modules::set_checked_calls(start, end);
}

/// Bytes that the program may access from an address on; `usize::MAX` where nothing is known of it,
/// and for our own work.
#[inline]
pub fn room(address: usize) -> usize {
    if thread::is_outside() { HEAP.room(address) } else { UNKNOWN }
}

/// Tells of an access of `[start, start + bytes)` by a call. It is silent where no block explains
/// what is wrong with it.
#[cold]
pub fn tell(call: Call, is_write: bool, start: usize, bytes: usize) {
    if !may_tell() {
        return;
    }
    errno::preserve(|| {
        let found = alt_stack::run(|| fault_net::attempt(|| HEAP.access_beyond(start, bytes)));
        let Some(known) = found.flatten().flatten() else { return };
        let end = Some((call, CallEnd::Checked));
        deliver(Finding {
            place: known.place,
            block: Some(known.block),
            ..finding(known.defect(is_write, bytes, end), start)
        });
        // The call is made all the same, where the program goes on: it is told of once.
        HEAP.open_all(start, start.saturating_add(bytes).saturating_add(WIDEST));
    });
}

/// Tells of two operands of a call that overlap.
#[cold]
pub fn tell_overlap(call: Call, to: usize, from: usize, bytes: usize) {
    if !may_tell() {
        return;
    }
    errno::preserve(|| {
        let found = alt_stack::run(|| fault_net::attempt(|| HEAP.locate_block(to)));
        let (place, block) = found.flatten().flatten().unzip();
        let made = finding(Defect::Overlap(Overlap { call, bytes, from }), to);
        deliver(Finding { place: place.unwrap_or(made.place), block, ..made });
    });
}

fn may_tell() -> bool {
    thread::is_outside() && !disposition::is_foreign()
}

fn finding(defect: Defect, start: usize) -> Finding {
    let thread = thread_number::number();
    Finding::new(defect, Operation::Access, start, thread, capture::full_site())
}

fn deliver(finding: Finding) {
    HEAP.deliver(&finding);
}
