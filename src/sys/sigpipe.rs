//! Was this process started with SIGPIPE ignored, as systemd starts services? Rust's start-up code
//! has it ignored in any case, and what is started from there gets the default: the command looks
//! before that, and passes it on.

use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

static WAS_IGNORED: AtomicBool = AtomicBool::new(false);

extern "C" fn look() {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: it only asks; what it fills it has filled where it returns 0.
    let handler = unsafe {
        (libc::sigaction(libc::SIGPIPE, ptr::null(), now.as_mut_ptr()) == 0)
            .then(|| now.assume_init().sa_sigaction)
    };
    WAS_IGNORED.store(handler == Some(libc::SIG_IGN), Ordering::Relaxed);
}

#[used]
// SAFETY: the linker's section of functions that libc calls before main, and such a function.
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = look;

/// Has `command` start its program with SIGPIPE ignored where this process was.
pub fn pass_on(command: &mut Command) {
    if !WAS_IGNORED.load(Ordering::Relaxed) {
        return;
    }
    let ignore = || {
        // SAFETY: a signal's number and a way to take it; signal(2) may be called between fork and
        // exec.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        Ok(())
    };
    // SAFETY: what it does there is safe in a signal handler (signal-safety(7)).
    unsafe { command.pre_exec(ignore) };
}
