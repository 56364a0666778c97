//! Handlers of the program's that are entered in a special way.
//!
//! - One with SA_ONSTACK, in a thread to which the program has given no stack for handlers, runs
//!   where the thread was interrupted (sigaction(2)). The kernel has a stack of ours for the
//!   thread, and would take that.
//! - One with SA_RESETHAND for a signal that we explain: the kernel would give the signal its
//!   default effect, which is ours to give.
//!
//! The kernel's record of the handler's address says which entry it has, and the entry which
//! handler: entries are given out once and stay. So the list of signals is the kernel's alone.

use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::{disposition, handler_stack, seccomp, signal};
use crate::arch::{ENTRIES, Onward, RecordOnStack};

/// Handler of each entry, and in the highest bit whether it is reset; 0: the entry is free.
static HANDLERS: [AtomicUsize; ENTRIES] = [const { AtomicUsize::new(0) }; ENTRIES];
/// Addresses of handlers do not have it.
const RESETS: usize = 1 << 63;

crate::handler_entries! {
    ENTRANCES by go_on;
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
}

/// Handler and flags to give to the kernel in place of the program's. `None`: these, as they are.
pub fn for_handler(signal: c_int, handler: usize, flags: c_int) -> Option<(usize, c_int)> {
    let is_reset = flags & libc::SA_RESETHAND != 0
        && disposition::is_watched(signal)
        && !seccomp::is_installed();
    let moves = flags & libc::SA_ONSTACK != 0;
    if handler <= libc::SIG_IGN || handler & RESETS != 0 || !(is_reset || moves) {
        return None;
    }
    let key = if is_reset { handler | RESETS } else { handler };
    // A child of vfork writes nothing here.
    let may_add = !disposition::is_foreign();
    let is_it = |place: &AtomicUsize| match place.load(Ordering::Acquire) {
        0 if may_add => {
            let found = place.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire);
            found.is_ok() || found == Err(key)
        }
        known => known == key,
    };
    let number = HANDLERS.iter().position(is_it)?;
    let entry = *ENTRANCES.get(number)? as usize;
    Some((entry, if is_reset { flags & !libc::SA_RESETHAND } else { flags }))
}

/// The program's handler behind an entry, and the flag that the kernel does not have of it. `None`:
/// it is no entry.
pub fn behind(handler: usize) -> Option<(usize, c_int)> {
    if handler <= libc::SIG_IGN {
        return None;
    }
    let number = ENTRANCES.iter().position(|&entry| entry as usize == handler)?;
    let key = HANDLERS.get(number)?.load(Ordering::Acquire);
    let flags = if key & RESETS == 0 { 0 } else { libc::SA_RESETHAND };
    Some((key & !RESETS, flags))
}

/// Gives the kernel back what it would do itself, for when the call may be refused that an entry
/// makes.
pub fn give_back_resets() {
    for number in 1..=disposition::HIGHEST {
        let Some(action) = signal::action(number) else { continue };
        if let Some((handler, flags)) = behind(action.handler)
            && flags & libc::SA_RESETHAND != 0
        {
            signal::set_action(number, &action.with(handler, flags));
        }
    }
}

/// The work of an entry in front of its handler, on whatever stack the kernel has chosen.
extern "C" fn go_on(number: usize, sp: usize, signal: usize, record: *mut u8) -> Onward {
    let key = HANDLERS.get(number).map_or(0, |place| place.load(Ordering::Acquire));
    if key & RESETS != 0 {
        disposition::reset(signal as c_int);
    }
    let handler = key & !RESETS;
    if !handler_stack::contains(sp) {
        return Onward { handler, sp };
    }
    // SAFETY: the kernel has just put its record there, on our stack, behind `sp`.
    let record = unsafe { RecordOnStack::new(sp, record) };
    let interrupted = record.interrupted_sp();
    if handler_stack::contains(interrupted) {
        return Onward { handler, sp };
    }
    // SAFETY: below the thread's stack pointer and what a function may use below that, the kernel
    // would have put it, too; where there is no room the thread faults as it would then.
    let sp = unsafe { record.move_below(interrupted) };
    Onward { handler, sp }
}
