//! The other threads of a process that a fault ends: they stand still while they are looked at.

use crate::arch::CallFrame;
use crate::leak::stop;
use crate::model::fault::{FaultReport, OtherThread};
use crate::stack::capture;
use crate::stack::unwind::step::EXACT;
use crate::sys::fault_net::attempt;
use crate::sys::thread_number;

/// Threads that are looked at.
const MOST: usize = 64;

/// Adds the names and stacks of the others, and how many were not looked at.
pub(super) fn note_others(report: &mut FaultReport) {
    let mut stopped = stop::stop();
    let count = stopped.parked().count();
    for place in stopped.parked().take(MOST) {
        let frame = CallFrame { pc: place.pc() | EXACT, sp: place.sp(), fp: place.fp() };
        let site = attempt(|| capture::site_at(frame, true)).map(|(site, _)| site);
        report.others.push(OtherThread {
            tid: place.tid(),
            name: String::new(),
            site: site.unwrap_or_default(),
        });
    }
    stopped.resume();
    report.unseen = (count.saturating_sub(MOST) + stopped.missed.len()) as u32;
    for other in &mut report.others {
        other.name = thread_number::name_of(other.tid).unwrap_or_default();
    }
}
