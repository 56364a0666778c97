//! Signal dispositions and masks by the kernel's own calls: libc's wrappers refuse the signals that
//! libc keeps.

use crate::arch::restore_from_signal;
use core::ffi::c_int;
use core::sync::atomic::AtomicU64;

use crate::sys::raw_syscall;

/// The kernel's `struct sigaction` (asm/signal.h), which differs from libc's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Action {
    /// Address of the handler, or `SIG_DFL`, or `SIG_IGN`.
    pub(super) handler: usize,
    flags: u64,
    restorer: usize,
    /// Signals blocked while the handler runs, a bit each.
    mask: u64,
}

/// The kernel calls `restorer` when the handler returns.
const SA_RESTORER: u64 = 0x0400_0000;

impl Action {
    /// The default disposition.
    pub(super) const DEFAULT: Self = Self { handler: 0, flags: 0, restorer: 0, mask: 0 };

    /// A handler with SA_SIGINFO that runs with every signal blocked.
    pub(super) fn handled_by(
        handler: unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void),
        flags: c_int,
    ) -> Self {
        Self {
            handler: handler as *const () as usize,
            flags: (libc::SA_SIGINFO | flags) as u64 | SA_RESTORER,
            restorer: restore_from_signal as *const () as usize,
            mask: u64::MAX,
        }
    }

    /// A handler with SA_SIGINFO, on the stack for handlers, that only these signals interrupt, its
    /// own among them if it is one of them.
    pub(super) fn interrupted_by(
        handler: unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void),
        signals: u64,
    ) -> Self {
        let flags = libc::SA_ONSTACK | libc::SA_NODEFER;
        Self { mask: !signals, ..Self::handled_by(handler, flags) }
    }

    /// This action with another handler and more flags.
    pub(super) const fn with(self, handler: usize, flags: c_int) -> Self {
        Self { handler, flags: self.flags | flags as u32 as u64, ..self }
    }

    /// This action with another handler and these flags.
    pub(super) const fn with_flags(self, handler: usize, flags: c_int) -> Self {
        Self { handler, flags: flags as u32 as u64 | self.flags & SA_RESTORER, ..self }
    }

    /// The flags, but the one of libc's own.
    pub(super) const fn flags(&self) -> u64 {
        self.flags & !SA_RESTORER
    }

    /// Signals blocked while the handler runs, a bit each.
    pub(super) const fn mask(&self) -> u64 {
        self.mask
    }

    /// Is the handler one that takes a `siginfo_t`?
    pub(super) const fn takes_info(&self) -> bool {
        self.handler > libc::SIG_IGN && self.flags & libc::SA_SIGINFO as u64 != 0
    }
}

/// Sets what a signal does and returns what it did before. `None`: the kernel refuses.
pub(super) fn set_action(signal: c_int, new: &Action) -> Option<Action> {
    let mut old = Action::DEFAULT;
    let (new, place) = (core::ptr::from_ref(new) as usize, &raw mut old as usize);
    // SAFETY: rt_sigaction(2) reads one kernel structure and writes the other; a set has 8 bytes.
    let result =
        unsafe { raw_syscall::call(libc::SYS_rt_sigaction, [signal as usize, new, place, 8]) };
    (result == 0).then_some(old)
}

/// The action of a signal now. `None`: the kernel does not say.
pub(super) fn action(signal: c_int) -> Option<Action> {
    let mut now = Action::DEFAULT;
    let arguments = [signal as usize, 0, &raw mut now as usize, 8];
    // SAFETY: rt_sigaction(2) writes a kernel structure; a set has 8 bytes.
    let result = unsafe { raw_syscall::call(libc::SYS_rt_sigaction, arguments) };
    (result == 0).then_some(now)
}

/// Signals that end a dying process at once, also while it has other threads parked, a bit each.
pub(super) static LET_IN: AtomicU64 = AtomicU64::new(0);

/// Bit of a signal in a set.
pub(super) const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Signals that an instruction of the thread's own raises.
pub(super) const SYNCHRONOUS: u64 = bit(libc::SIGILL)
    | bit(libc::SIGTRAP)
    | bit(libc::SIGBUS)
    | bit(libc::SIGFPE)
    | bit(libc::SIGSEGV);

/// Sets which signals the calling thread blocks, libc's own among them; returns the mask that it
/// had.
pub(super) fn set_mask(mask: u64) -> u64 {
    change_mask(libc::SIG_SETMASK, mask)
}

/// Unblocks these signals on the calling thread; returns the mask that it had.
pub(super) fn unblock(signals: u64) -> u64 {
    change_mask(libc::SIG_UNBLOCK, signals)
}

/// Blocks these signals on the calling thread; returns the mask that it had.
pub(super) fn block(signals: u64) -> u64 {
    change_mask(libc::SIG_BLOCK, signals)
}

fn change_mask(how: c_int, signals: u64) -> u64 {
    let mut before = 0u64;
    let (new, old) = (core::ptr::from_ref(&signals) as usize, &raw mut before as usize);
    // SAFETY: rt_sigprocmask(2) with 8-byte sets.
    unsafe { raw_syscall::call(libc::SYS_rt_sigprocmask, [how as usize, new, old, 8]) };
    before
}
