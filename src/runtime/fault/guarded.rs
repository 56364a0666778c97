//! Faults in guarded slots: a wrong access to a block, told of as a heap error. A program that is
//! not to end there goes on.

use core::sync::atomic::{AtomicU32, Ordering};

use super::explain;
use crate::arch::{FaultContext, Touch};
use crate::checks::Touched;
use crate::model::finding::{Finding, Operation};
use crate::options::{self, Name};
use crate::runtime::{HEAP, abort, reporter};
use crate::shadow::guarded_slots;
use crate::stack::modules;
use crate::sys::caught_signal::{BUS, CaughtSignal, SEGMENT};
use crate::sys::fault_net::attempt;
use crate::sys::glibc::thread_descriptor::current_tid;
use crate::sys::{
    alt_stack, death, disposition, fault_net, handler_entry, memory, process, thread, thread_number,
};

/// Kernel id of the thread that tells; 0: none does.
static TELLER: AtomicU32 = AtomicU32::new(0);
/// Longest access of one instruction.
const WIDEST: usize = 64;

/// Has an access in a guarded slot raised the signal, or one to a guard?
fn is_in_slots(caught: &CaughtSignal<'_>) -> bool {
    caught.is_memory_fault() && guarded_slots::contains(caught.address())
}

/// Takes such faults, in front of the program's own handlers, too. `is_alone`: no others are taken.
pub(super) fn watch(is_alone: bool) {
    if options::number(Name::Checks) == 0 && options::number(Name::Guard) != options::GUARD_OFF {
        handler_entry::take_faults(take);
        for (signal, option) in [(SEGMENT, Name::HandleSegv), (BUS, Name::HandleSigbus)] {
            if is_alone || !options::flag(option) {
                disposition::watch(signal, on_guard);
            }
        }
        // A library's constructor may have been here before.
        [SEGMENT, BUS].into_iter().for_each(handler_entry::stand_in_front);
    }
}

/// Where faults are not to be explained: all others have their effect at once.
fn on_guard(caught: &CaughtSignal<'_>, context: &mut FaultContext) {
    if fault_net::leave_look(context) || take(caught, context) {
        return;
    }
    death::die_of(caught, context);
}

/// Takes a fault that is one of these. `true`: the thread goes on.
pub(super) fn take(caught: &CaughtSignal<'_>, context: &mut FaultContext) -> bool {
    is_in_slots(caught) && !disposition::is_foreign() && tell(caught, context)
}

/// In a forked child: nobody tells anything.
pub(super) fn renew_after_fork() {
    if TELLER.load(Ordering::Relaxed) != 0 {
        TELLER.store(0, Ordering::Relaxed);
    }
}

/// Tells of the access and lets the thread make it again. Does not return where heap errors end the
/// program. `false`: it is no program's access to a block, or it would fault again.
fn tell(caught: &CaughtSignal<'_>, context: &FaultContext) -> bool {
    let me = current_tid();
    // A fault in our own work, or of the telling itself.
    if thread::is_critical()
        || modules::is_own(context.pc())
        || abort::is_under_way()
        || TELLER.load(Ordering::Acquire) == me
    {
        return false;
    }
    while TELLER.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire).is_err() {
        process::give_way();
    }
    let mut goes_on = false;
    death::let_in([caught.number()].into_iter());
    alt_stack::run_in_handler(|| goes_on = tell_alone(caught, context));
    TELLER.store(0, Ordering::Release);
    goes_on
}

fn tell_alone(caught: &CaughtSignal<'_>, context: &FaultContext) -> bool {
    let fault = caught.address();
    // Another thread has told of that page meanwhile, and it is open.
    if memory::is_readable(fault, fault + 1) {
        return true;
    }
    let operand = attempt(|| explain::operand_of(context)).flatten();
    let operand = operand.filter(|operand| fault.wrapping_sub(operand.address) < WIDEST);
    let start = operand.map_or(fault, |operand| operand.address);
    let Some(known) = HEAP.guarded_access(Touched { fault, start }) else { return false };
    let is_write = context.page_fault() == Some(Touch::Write);
    let defect = known.defect(is_write, operand.map_or(0, |operand| operand.bytes), None);
    let site = explain::site_of(caught, context);
    let thread = thread_number::number();
    reporter::on_finding(&Finding {
        place: known.place,
        block: Some(known.block),
        ..Finding::new(defect, Operation::Access, start, thread, site)
    });
    HEAP.open_guarded(fault)
}
