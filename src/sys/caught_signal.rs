//! A signal as a handler gets it.

use core::ffi::c_int;

/// Signals that an instruction raises, and those that libc and filters raise for one.
pub const ILLEGAL: c_int = libc::SIGILL;
/// See [`ILLEGAL`].
pub const TRAP: c_int = libc::SIGTRAP;
/// See [`ILLEGAL`].
pub const ABORT: c_int = libc::SIGABRT;
/// See [`ILLEGAL`].
pub const BUS: c_int = libc::SIGBUS;
/// See [`ILLEGAL`].
pub const ARITHMETIC: c_int = libc::SIGFPE;
/// See [`ILLEGAL`].
pub const SEGMENT: c_int = libc::SIGSEGV;
/// See [`ILLEGAL`].
pub const SYSTEM_CALL: c_int = libc::SIGSYS;

/// Signals by which programs are asked to end.
pub const REQUESTS: [c_int; 2] = [libc::SIGTERM, libc::SIGINT];
/// Others that end a program and that no instruction raises (signal(7)).
pub const OTHER_ENDS: [c_int; 10] = [
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGALRM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGXCPU,
    libc::SIGIO,
    libc::SIGPWR,
];

/// A signal with what the kernel says of it.
pub struct CaughtSignal<'a> {
    number: c_int,
    info: &'a libc::siginfo_t,
}

impl<'a> CaughtSignal<'a> {
    pub(super) const fn new(number: c_int, info: &'a libc::siginfo_t) -> Self {
        Self { number, info }
    }

    /// Its number.
    pub const fn number(&self) -> c_int {
        self.number
    }

    /// The kernel's reason (sigaction(2), si_code).
    pub const fn code(&self) -> c_int {
        self.info.si_code
    }

    pub(super) const fn info(&self) -> &'a libc::siginfo_t {
        self.info
    }

    /// Has the kernel raised it, for an instruction of the thread's?
    pub const fn is_raised(&self) -> bool {
        self.info.si_code > 0
    }

    /// Has an access to memory?
    pub const fn is_memory_fault(&self) -> bool {
        self.is_raised() && matches!(self.number, libc::SIGSEGV | libc::SIGBUS)
    }

    /// Has a timer sent it (timer_create(2))?
    pub const fn is_timers(&self) -> bool {
        self.info.si_code == libc::SI_TIMER
    }

    /// Id of the process that has sent it; 0: none.
    pub fn sender(&self) -> u32 {
        if self.is_raised() {
            return 0;
        }
        // SAFETY: the kernel has it there for a signal that was sent.
        unsafe { self.info.si_pid() }.unsigned_abs()
    }

    /// The address of a memory fault, where the kernel knows it.
    pub fn address(&self) -> usize {
        // SAFETY: the kernel has it there for these signals; else it is some other word.
        unsafe { self.info.si_addr() as usize }
    }

    /// Number of the system call that a filter has refused.
    pub(super) fn refused_call(&self) -> usize {
        let words = core::ptr::from_ref(self.info).cast::<u32>();
        // SAFETY: si_call_addr is at 16, si_syscall behind it (asm-generic/siginfo.h).
        unsafe { words.add(6).read() as usize }
    }
}
