//! The calls by which a program says what signals do: it sets and reads back what it would without
//! us, and where it wants the default, a deadly signal is explained first.
//!
//! The kernel's list is the only one (`sys/disposition.rs`), so that children of vfork, which write
//! to their parent's memory, do no harm: their calls go to the kernel.

use core::ffi::c_int;
use core::mem;

use mallocop::sys::disposition::{self, Manner};
use mallocop::sys::{errno, handler_entry, handler_stack};

use crate::real::Real;

/// The flag that libc adds to each action that it sets.
const SA_RESTORER: c_int = 0x0400_0000;

type Handler = libc::sighandler_t;
type Sigaction = unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;
type Signal = unsafe extern "C" fn(c_int, Handler) -> Handler;
type Sigaltstack = unsafe extern "C" fn(*const libc::stack_t, *mut libc::stack_t) -> c_int;

static SIGACTION: Real = Real::new(c"sigaction");
static SIGNAL: Real = Real::new(c"signal");
static SYSV_SIGNAL: Real = Real::new(c"__sysv_signal");
static SIGSET: Real = Real::new(c"sigset");
static SIGALTSTACK: Real = Real::new(c"sigaltstack");

/// Looks all of libc's functions up, while that can be done.
pub(crate) fn find() {
    for real in [&SIGACTION, &SIGNAL, &SYSV_SIGNAL, &SIGSET, &SIGALTSTACK] {
        real.find();
    }
}

/// Replaces what is ours in an action that was read back by what the program has set.
///
/// # Safety
/// `old` is null, or what libc's sigaction has filled.
unsafe fn hide_ours(old: *mut libc::sigaction, default: Manner) {
    // SAFETY: by the caller's word.
    let Some(old) = (unsafe { old.as_mut() }) else { return };
    if disposition::is_own(old.sa_sigaction) {
        old.sa_sigaction = libc::SIG_DFL;
        set_manner(old, default);
    } else if let Some((handler, flags)) = handler_entry::behind(old.sa_sigaction) {
        old.sa_sigaction = handler;
        let [more, less] = flags;
        old.sa_flags = (old.sa_flags | more) & !less;
    }
}

fn set_manner(action: &mut libc::sigaction, manner: Manner) {
    action.sa_flags = manner.flags;
    // SAFETY: sigemptyset(3) fills the set, which begins with the kernel's 64 bits (glibc's
    // sigset_t).
    unsafe {
        libc::sigemptyset(&raw mut action.sa_mask);
        (&raw mut action.sa_mask).cast::<u64>().write(manner.mask);
    }
}

/// sigaction(2).
///
/// # Safety
/// As for sigaction(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    // SAFETY: as the caller says; libc's function has that form.
    unsafe {
        let Some(real) = mem::transmute::<usize, Option<Sigaction>>(SIGACTION.find()) else {
            errno::set(libc::ENOSYS);
            return -1;
        };
        let mut changed;
        let mut given = new;
        if let Some(new) = new.as_ref() {
            if new.sa_sigaction == libc::SIG_DFL && disposition::is_watched(signal) {
                // SAFETY: a set begins with the kernel's 64 bits (glibc's sigset_t).
                let mask = (&raw const new.sa_mask).cast::<u64>().read();
                let flags = new.sa_flags | SA_RESTORER;
                return set_default(signal, Manner { flags, mask }, old);
            }
            if disposition::keeps_from_program(signal) && new.sa_sigaction > libc::SIG_IGN {
                let default = disposition::manner_of_default(signal);
                let result = real(signal, core::ptr::null(), old);
                if result == 0 {
                    hide_ours(old, default);
                }
                return result;
            }
            if let Some((entry, flags)) =
                handler_entry::for_handler(signal, new.sa_sigaction, new.sa_flags)
            {
                changed = *new;
                (changed.sa_sigaction, changed.sa_flags) = (entry, flags);
                given = &raw const changed;
            }
        }
        let default = disposition::manner_of_default(signal);
        let result = real(signal, given, old);
        if result == 0 {
            hide_ours(old, default);
        }
        result
    }
}

/// sigaction(2) with SIG_DFL, for a signal that is watched.
///
/// # Safety
/// As for sigaction(2).
unsafe fn set_default(signal: c_int, manner: Manner, old: *mut libc::sigaction) -> c_int {
    let default = disposition::manner_of_default(signal);
    let Some((handler, before)) = disposition::set_default(signal, manner) else {
        errno::set(libc::EINVAL);
        return -1;
    };
    // SAFETY: as the caller says.
    unsafe {
        if let Some(old) = old.as_mut() {
            old.sa_sigaction = handler;
            set_manner(old, before);
            hide_ours(old, default);
        }
    }
    0
}

/// Sets a handler by one of libc's shorter functions.
fn set_handler((real, manner): (&Real, Manner), signal: c_int, handler: Handler) -> Handler {
    if handler > libc::SIG_IGN && disposition::keeps_from_program(signal) {
        return libc::SIG_DFL;
    }
    if handler == libc::SIG_DFL && disposition::is_watched(signal) {
        return match disposition::set_default(signal, manner) {
            Some((before, _)) => seen(before),
            None => libc::SIG_ERR,
        };
    }
    // SAFETY: libc's function of that name, with the caller's own arguments.
    unsafe {
        match mem::transmute::<usize, Option<Signal>>(real.find()) {
            Some(real) => {
                let before = seen(real(signal, handler));
                handler_entry::stand_in_front(signal);
                before
            }
            None => {
                errno::set(libc::ENOSYS);
                libc::SIG_ERR
            }
        }
    }
}

/// A handler as the program has set it.
fn seen(handler: Handler) -> Handler {
    if disposition::is_own(handler) {
        return libc::SIG_DFL;
    }
    handler_entry::behind(handler).map_or(handler, |(handler, _)| handler)
}

/// The manner of signal(2) as glibc has it: calls go on, and the signal waits for its handler.
const fn bsd_manner(signal: c_int) -> Manner {
    Manner { flags: libc::SA_RESTART | SA_RESTORER, mask: 1 << ((signal - 1) & 63) }
}

/// That of System V's: once, and nothing waits.
const fn sysv_manner(_signal: c_int) -> Manner {
    Manner { flags: libc::SA_RESETHAND | libc::SA_NODEFER | SA_RESTORER, mask: 0 }
}

/// `symbol => function, manner`: the names of one function.
macro_rules! handler_calls {
    ($($symbol:ident => $real:ident, $manner:ident;)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $symbol(signal: c_int, handler: Handler) -> Handler {
                set_handler((&$real, $manner(signal)), signal, handler)
            }
        )*
    };
}

handler_calls! {
    signal => SIGNAL, bsd_manner;
    bsd_signal => SIGNAL, bsd_manner;
    ssignal => SIGNAL, bsd_manner;
    sysv_signal => SYSV_SIGNAL, sysv_manner;
    __sysv_signal => SYSV_SIGNAL, sysv_manner;
}

/// sigset(3): SIG_HOLD blocks the signal, everything else unblocks it.
#[unsafe(no_mangle)]
extern "C" fn sigset(signal: c_int, handler: Handler) -> Handler {
    // SAFETY: libc's function of that name, with the caller's own arguments.
    let before = unsafe {
        match mem::transmute::<usize, Option<Signal>>(SIGSET.find()) {
            Some(real) => real(signal, handler),
            None => return libc::SIG_ERR,
        }
    };
    if handler == libc::SIG_DFL && disposition::is_watched(signal) {
        disposition::set_default(signal, Manner { flags: SA_RESTORER, mask: 0 });
    }
    handler_entry::stand_in_front(signal);
    seen(before)
}

/// sigaltstack(2): the program's own stack is the kernel's; where it has none, the kernel has ours,
/// which the program does not see.
///
/// # Safety
/// As for sigaltstack(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn sigaltstack(new: *const libc::stack_t, old: *mut libc::stack_t) -> c_int {
    // SAFETY: as the caller says; libc's function has that form.
    unsafe {
        let Some(real) = mem::transmute::<usize, Option<Sigaltstack>>(SIGALTSTACK.find()) else {
            errno::set(libc::ENOSYS);
            return -1;
        };
        // Both may be the same place.
        let is_taken_away = new.as_ref().is_some_and(|new| new.ss_flags & libc::SS_DISABLE != 0);
        let result = real(new, old);
        if result != 0 {
            return result;
        }
        if let Some(old) = old.as_mut()
            && handler_stack::contains(old.ss_sp as usize)
        {
            (old.ss_sp, old.ss_flags, old.ss_size) = (core::ptr::null_mut(), libc::SS_DISABLE, 0);
        }
        if is_taken_away && !disposition::is_foreign() {
            handler_stack::put_back();
        }
        result
    }
}
