//! Answers and reports for libmallocop_checked.so, which checks the arguments of libc's functions.

use crate::checks::room::UNKNOWN;
use crate::model::access::{Call, CallEnd, Overlap};
use crate::model::finding::{Defect, Finding, Operation};
use crate::runtime::HEAP;
use crate::stack::{capture, modules};
use crate::sys::{alt_stack, disposition, errno, fault_net, thread, thread_number};

/// Most bytes that libc's functions read with one instruction.
const WIDEST: usize = 64;

/// Sets the address range of that library, whose frames are left out of stacks.
pub fn add_own(start: usize, end: usize) {
    modules::set_checked_calls(start, end);
}

/// As [`CheckedHeap::room`](crate::checks::CheckedHeap::room); `UNKNOWN` inside our own work.
#[inline]
pub fn room(address: usize) -> usize {
    if thread::is_outside() { HEAP.room(address) } else { UNKNOWN }
}

/// Reports an access of `[start, start + bytes)` by a call, if a block explains why it is wrong.
#[cold]
pub fn tell(call: Call, is_write: bool, start: usize, bytes: usize) {
    if !may_tell() {
        return;
    }
    errno::preserve(|| {
        let found = alt_stack::run(|| fault_net::attempt(|| HEAP.access_beyond(start, bytes)));
        let Some(known) = found.flatten().flatten() else { return };
        let end = Some((call, CallEnd::Checked));
        HEAP.deliver(&Finding {
            place: known.place,
            block: Some(known.block),
            ..finding(known.defect(is_write, bytes, end), start)
        });
        // With halt_on_error=0 the call goes on. Opened, the guard does not report it again.
        HEAP.open_all(start, start.saturating_add(bytes).saturating_add(WIDEST));
    });
}

/// Reports two overlapping operands of a call.
#[cold]
pub fn tell_overlap(call: Call, to: usize, from: usize, bytes: usize) {
    if !may_tell() {
        return;
    }
    errno::preserve(|| {
        let found = alt_stack::run(|| fault_net::attempt(|| HEAP.locate_block(to)));
        let (place, block) = found.flatten().flatten().unzip();
        let made = finding(Defect::Overlap(Overlap { call, bytes, from }), to);
        HEAP.deliver(&Finding { place: place.unwrap_or(made.place), block, ..made });
    });
}

fn may_tell() -> bool {
    thread::is_outside() && !disposition::is_foreign()
}

fn finding(defect: Defect, start: usize) -> Finding {
    let thread = thread_number::number();
    Finding::new(defect, Operation::Access, start, thread, capture::full_site())
}
