//! Handlers of the program's that are entered in a special way.
//!
//! - One with SA_ONSTACK, in a thread to which the program has given no stack for handlers, runs
//!   where the thread was interrupted (sigaction(2)). The kernel has a stack of ours for the
//!   thread, and would take that.
//! - One of SIGSEGV or SIGBUS: accesses that guard pages have caught are ours to tell of. It is
//!   entered for all others. The kernel's information is wanted for that (SA_SIGINFO), which the
//!   program may not have asked for.
//! - One with SA_RESETHAND for a signal that we explain: the kernel would give the signal its
//!   default effect, which is ours to give.
//!
//! The kernel's record of the handler's address says which entry it has, and the entry which
//! handler: entries are given out once and stay. So the list of signals is the kernel's alone.

use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::caught_signal::CaughtSignal;
use super::errno;
use super::{disposition, handler_stack, seccomp, signal};
use crate::arch::{ENTRIES, FaultContext, Onward, RecordOnStack, leave_handler};

/// Handler of each entry, and in the highest bits what is special; 0: the entry is free.
static HANDLERS: [AtomicUsize; ENTRIES] = [const { AtomicUsize::new(0) }; ENTRIES];
/// It is reset. Addresses of handlers do not have these bits.
const RESETS: usize = 1 << 63;
/// The program has not asked for SA_SIGINFO.
const INFORMED: usize = 1 << 62;
const SPECIAL: usize = RESETS | INFORMED;

/// Takes a fault of the thread's. `true`: it goes on where it was.
pub type Take = fn(&CaughtSignal<'_>, &mut FaultContext) -> bool;

/// Takes faults in front of the program's handlers; 0: nobody does.
static TAKE: AtomicUsize = AtomicUsize::new(0);

/// Has `take` asked in front of the program's handlers of SIGSEGV and SIGBUS that are set from here
/// on.
pub fn take_faults(take: Take) {
    TAKE.store(take as usize, Ordering::Release);
}

fn is_taken(signal: c_int) -> bool {
    matches!(signal, libc::SIGSEGV | libc::SIGBUS) && TAKE.load(Ordering::Acquire) != 0
}

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
    let is_taken = is_taken(signal);
    if handler <= libc::SIG_IGN || handler & SPECIAL != 0 || !(is_reset || moves || is_taken) {
        return None;
    }
    let is_informed = is_taken && flags & libc::SA_SIGINFO == 0;
    let bits = [(is_reset, RESETS), (is_informed, INFORMED)];
    let key = bits.iter().fold(handler, |key, &(is, bit)| if is { key | bit } else { key });
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
    let flags = if is_reset { flags & !libc::SA_RESETHAND } else { flags };
    Some((entry, if is_taken { flags | libc::SA_SIGINFO } else { flags }))
}

/// Puts an entry in front of the handler that a signal has, where faults are to be taken first and
/// it was set by another way than [`for_handler`]'s callers.
pub fn stand_in_front(signal: c_int) {
    if !is_taken(signal) {
        return;
    }
    if let Some(action) = signal::action(signal)
        && !disposition::is_own(action.handler)
        && behind(action.handler).is_none()
        && let Some((entry, flags)) = for_handler(signal, action.handler, action.flags() as c_int)
    {
        signal::set_action(signal, &action.with_flags(entry, flags));
    }
}

/// The program's handler behind an entry, and the flags that the kernel has otherwise than the
/// program: to be added, and to be left out. `None`: it is no entry.
pub fn behind(handler: usize) -> Option<(usize, [c_int; 2])> {
    if handler <= libc::SIG_IGN {
        return None;
    }
    let number = ENTRANCES.iter().position(|&entry| entry as usize == handler)?;
    let key = HANDLERS.get(number)?.load(Ordering::Acquire);
    let more = if key & RESETS == 0 { 0 } else { libc::SA_RESETHAND };
    let less = if key & INFORMED == 0 { 0 } else { libc::SA_SIGINFO };
    Some((key & !SPECIAL, [more, less]))
}

/// Gives the kernel back what it would do itself, for when the call may be refused that an entry
/// makes.
pub fn give_back_resets() {
    for number in 1..=disposition::HIGHEST {
        let Some(action) = signal::action(number) else { continue };
        if let Some((handler, [more, _])) = behind(action.handler)
            && more & libc::SA_RESETHAND != 0
        {
            signal::set_action(number, &action.with(handler, more));
        }
    }
}

/// The work of an entry in front of its handler, on whatever stack the kernel has chosen.
extern "C" fn go_on(number: usize, sp: usize, signal: usize, record: *mut u8) -> Onward {
    let key = HANDLERS.get(number).map_or(0, |place| place.load(Ordering::Acquire));
    if is_taken(signal as c_int) && take(sp, signal as c_int, record) {
        return Onward { handler: leave_handler as *const () as usize, sp };
    }
    if key & RESETS != 0 {
        let added = if key & INFORMED == 0 { 0 } else { libc::SA_SIGINFO };
        disposition::reset(signal as c_int, added);
    }
    let handler = key & !SPECIAL;
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

/// Asks who takes faults.
fn take(sp: usize, signal: c_int, record: *mut u8) -> bool {
    errno::preserve(|| {
        // SAFETY: the kernel has put both there, with SA_SIGINFO; `take_faults` alone stores there,
        // functions of this type.
        unsafe {
            let info = RecordOnStack::new(sp, record).information().cast::<libc::siginfo_t>();
            let caught = CaughtSignal::new(signal, &*info);
            let mut context = FaultContext::new(record.cast());
            let take = core::mem::transmute::<usize, Take>(TAKE.load(Ordering::Acquire));
            take(&caught, &mut context)
        }
    })
}
