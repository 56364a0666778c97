//! The dispositions of signals: our handler where the program wants the default, and nothing else
//! of ours.
//!
//! The kernel's own list is the only one. What the program has set is found there as it has set it,
//! but for two things that it does not see: our handler stands for the default, and a handler that
//! has to be entered in a special way has an entry of ours in front of it (`handler_entry.rs`).

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use super::caught_signal::CaughtSignal;
use super::signal::{self, Action, SYNCHRONOUS, bit};
use super::{death, errno, process, seccomp};
use crate::arch::FaultContext;
use crate::options::{self, Name};

/// The work for a signal: it gets the registers of the thread where the signal has come in, as
/// the thread takes them up again. errno stays.
pub type Handler = fn(&CaughtSignal<'_>, &mut FaultContext);

/// Numbers of signals, and 0.
const SIGNALS: usize = 65;
/// The highest of them.
pub(super) const HIGHEST: c_int = SIGNALS as c_int - 1;

/// Our handler of each signal that has one.
static OURS: [AtomicUsize; SIGNALS] = [const { AtomicUsize::new(0) }; SIGNALS];

/// The place of a signal's handler. `None`: it is not a signal's number.
fn place_of(signal: c_int) -> Option<&'static AtomicUsize> {
    OURS.get(usize::try_from(signal).ok()?)
}

/// Signals that interrupt our handlers: those by which a look of ours ends.
const LET_IN: u64 = SYNCHRONOUS | bit(libc::SIGABRT) | bit(libc::SIGSYS);

/// Our handler of a signal; `None`: it is left alone.
fn ours(signal: c_int) -> Option<Action> {
    let place = place_of(signal)?;
    (place.load(Ordering::Acquire) != 0).then(|| Action::interrupted_by(deliver, LET_IN))
}

/// The handler that the kernel knows.
///
/// # Safety
/// The kernel calls it, as a handler with SA_SIGINFO.
unsafe extern "C" fn deliver(signal: c_int, info: *mut libc::siginfo_t, record: *mut c_void) {
    let handler = place_of(signal).map_or(0, |place| place.load(Ordering::Acquire));
    errno::preserve(|| {
        // SAFETY: the kernel gives both to a handler with SA_SIGINFO.
        let (caught, mut context) =
            unsafe { (CaughtSignal::new(signal, &*info), FaultContext::new(record)) };
        if handler == 0 {
            return death::die_of(&caught, &mut context);
        }
        // SAFETY: `watch` alone stores there, handlers of this type.
        unsafe { core::mem::transmute::<usize, Handler>(handler)(&caught, &mut context) };
    });
}

/// Takes a signal over where it has its default effect: now, and whenever the program sets that.
pub fn watch(signal: c_int, handler: Handler) {
    let Some(place) = place_of(signal) else { return };
    place.store(handler as *const () as usize, Ordering::Release);
    if let Some(ours) = ours(signal)
        && let Some(before) = signal::set_action(signal, &ours)
        && before.handler != libc::SIG_DFL
        && before.handler != ours.handler
    {
        // It is ignored, or a library's constructor was here before.
        signal::set_action(signal, &before);
    }
}

/// Is it a signal that is taken over where it has its default effect?
pub fn is_watched(signal: c_int) -> bool {
    ours(signal).is_some() && !is_foreign()
}

/// Is a handler of the program's for the signal not to be entered (allow_user_segv_handler)?
pub fn keeps_from_program(signal: c_int) -> bool {
    matches!(signal, libc::SIGSEGV | libc::SIGBUS)
        && !options::flag(Name::AllowUserSegvHandler)
        && is_watched(signal)
}

/// Is it one of our handlers, so that the program sees the default?
pub fn is_own(handler: usize) -> bool {
    handler == deliver as *const () as usize
}

/// Is this process another one than the memory's owner, a child of vfork or of clone with
/// CLONE_VM, or a child that fork's handlers have not seen? Nothing of ours is written there.
pub fn is_foreign() -> bool {
    !seccomp::is_installed() && process::id() != process::noted_id()
}

/// The rest of a disposition: flags, and the signals that wait while a handler runs.
/// The kernel keeps both also for the default, which has no handler.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// As in `sa_flags`.
    pub flags: c_int,
    /// A bit each.
    pub mask: u64,
}

/// The manner in which the program has set each signal's default effect.
static FLAGS: [AtomicI32; SIGNALS] = [const { AtomicI32::new(0) }; SIGNALS];
static MASKS: [AtomicU64; SIGNALS] = [const { AtomicU64::new(0) }; SIGNALS];

/// The manner in which the program has set a signal's default effect.
pub fn manner_of_default(signal: c_int) -> Manner {
    let at = usize::try_from(signal).unwrap_or(0);
    Manner {
        flags: FLAGS.get(at).map_or(0, |flags| flags.load(Ordering::Relaxed)),
        mask: MASKS.get(at).map_or(0, |mask| mask.load(Ordering::Relaxed)),
    }
}

/// Gives a signal that is watched its default effect, as the program sees it. Returns the handler
/// that was there before and its manner. `None`: the kernel refuses.
pub fn set_default(signal: c_int, manner: Manner) -> Option<(usize, Manner)> {
    let before = signal::set_action(signal, &ours(signal)?)?;
    let was = Manner { flags: before.flags() as c_int, mask: before.mask() };
    note_manner(signal, manner);
    Some((before.handler, was))
}

/// Sets the default where a handler is entered that is to be there once. The kernel has the flags
/// `added`, which the program has not set.
pub(super) fn reset(signal: c_int, added: c_int) {
    let ours = ours(signal);
    if let Some(before) = ours.and_then(|ours| signal::set_action(signal, &ours)) {
        let flags = before.flags() as c_int & !added | libc::SA_RESETHAND;
        note_manner(signal, Manner { flags, mask: before.mask() });
    }
}

fn note_manner(signal: c_int, manner: Manner) {
    let at = usize::try_from(signal).unwrap_or(0);
    if let (Some(flags), Some(mask)) = (FLAGS.get(at), MASKS.get(at)) {
        flags.store(manner.flags, Ordering::Relaxed);
        mask.store(manner.mask, Ordering::Relaxed);
    }
}

/// Leaves a signal to the kernel for good, also where the program gives it its default effect
/// later.
pub fn leave(signal: c_int) {
    stop_watching(signal);
    if let Some(place) = place_of(signal) {
        place.store(0, Ordering::Release);
    }
}

/// Gives a signal that is watched its default effect in the kernel; one for which the program has a
/// handler keeps that.
pub fn stop_watching(signal: c_int) {
    if ours(signal).is_none() {
        return;
    }
    if let Some(before) = signal::set_action(signal, &Action::DEFAULT)
        && !is_own(before.handler)
    {
        signal::set_action(signal, &before);
    }
}
