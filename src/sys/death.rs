//! How a process dies of a signal that a handler of ours has seen: as without the handler.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::caught_signal::CaughtSignal;
use super::glibc::thread_descriptor::current_tid;
use super::signal::{self, Action, bit};
use super::{process, raw_syscall, seccomp};
use crate::arch::FaultContext;

/// Bytes of `syscall`.
const SYSTEM_CALL: usize = 2;

/// Lets the signal have its default effect when the handler returns, as if that had not run.
pub fn die_of(caught: &CaughtSignal<'_>, context: &mut FaultContext) {
    if seccomp::is_installed() && raise_again(caught, context) {
        // A filter may refuse the calls that sending takes. An instruction that raises a signal
        // which is blocked ends the process, whatever handler there is (Linux, force_sig_info).
        return context.block(bit(caught.number()));
    }
    send_again(caught);
}

/// Has the thread go on in front of the instruction that has raised the signal. `false`: none has.
fn raise_again(caught: &CaughtSignal<'_>, context: &mut FaultContext) -> bool {
    const PROTECTION: usize = 13;
    const STACK: usize = 12;
    // Where the kernel finds no room for a handler's record no instruction has raised it.
    let is_kernels = caught.code() == libc::SI_KERNEL
        && !matches!(context.exception(), PROTECTION | STACK)
        && caught.is_memory_fault();
    if !caught.is_raised() || is_kernels {
        return false;
    }
    match caught.number() {
        libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL => {}
        // The thread stands behind its one byte.
        libc::SIGTRAP if is_behind_breakpoint(context.pc()) => context.step_back(1),
        // A call that a filter has refused: the thread stands behind it, its number is gone.
        libc::SIGSYS => {
            context.step_back(SYSTEM_CALL);
            context.set_result(caught.refused_call());
        }
        _ => return false,
    }
    true
}

/// Is the instruction in front of `pc`, which has just been executed, a breakpoint?
pub fn is_behind_breakpoint(pc: usize) -> bool {
    const BREAKPOINT: u8 = 0xcc;
    let before = pc.wrapping_sub(1);
    // SAFETY: the instruction has just been executed.
    unsafe { (before as *const u8).read_volatile() == BREAKPOINT }
}

/// Sends the same signal to the calling thread, for which it has its default effect now: it comes
/// when the handler returns, where the thread was.
pub fn send_again(caught: &CaughtSignal<'_>) {
    let signal = caught.number();
    signal::set_action(signal, &Action::DEFAULT);
    signal::block(bit(signal));
    let arguments = [
        process::id() as usize,
        current_tid() as usize,
        signal as usize,
        core::ptr::from_ref(caught.info()) as usize,
    ];
    // SAFETY: rt_tgsigqueueinfo(2) reads the information, which may be sent again.
    let result = unsafe { raw_syscall::call(libc::SYS_rt_tgsigqueueinfo, arguments) };
    if result != 0 {
        send_plain(signal);
    }
}

/// Sends the signal to the calling thread.
fn send_plain(signal: c_int) {
    let arguments = [process::id() as usize, current_tid() as usize, signal as usize, 0];
    // SAFETY: tgkill(2) touches no memory.
    unsafe { raw_syscall::call(libc::SYS_tgkill, arguments) };
}

/// Ends the process by the signal at once.
pub fn end_now(signal: c_int) {
    signal::set_action(signal, &Action::DEFAULT);
    signal::unblock(bit(signal));
    send_plain(signal);
}

/// The timer of [`send_later`]; -1: none so far.
static LATER: AtomicI32 = AtomicI32::new(-1);

/// Has the signal sent to the calling thread once more, after that time. `false`: that cannot be.
pub fn send_later(time: Duration, signal: c_int) -> bool {
    // A timer is made for one signal and one thread: this one replaces the last.
    let Some(timer) = create_timer(signal) else { return false };
    drop(Timer(Some(LATER.swap(timer, Ordering::AcqRel)).filter(|&known| known >= 0)));
    start_timer(timer, time)
}

/// Lets signals in that end the process, from here on: on the calling thread now, and while it has
/// others parked.
pub fn let_in(signals: impl Iterator<Item = c_int>) {
    let bits = signals.fold(0, |bits, signal| bits | bit(signal));
    signal::LET_IN.fetch_or(bits, Ordering::Relaxed);
    signal::unblock(bits);
}

/// Sends the signal to the process: any thread may get it.
pub fn send_to_process(signal: c_int) {
    // SAFETY: kill(2) touches no memory.
    unsafe {
        raw_syscall::call(libc::SYS_kill, [process::id() as usize, signal as usize, 0, 0]);
    }
}

/// Waits for the process to be ended by another thread; returns if that does not happen.
pub fn await_end(patience: Duration) {
    let step = Duration::from_millis(5);
    for _ in 0..patience.as_millis() / step.as_millis() {
        if seccomp::is_installed() {
            core::hint::spin_loop();
        } else {
            std::thread::sleep(step);
        }
    }
}

/// A timer that sends a signal to the calling thread. It is for work that may not come to its end.
pub struct Timer(Option<c_int>);

impl Timer {
    /// Sets it. After a seccomp filter there is none.
    pub fn set(time: Duration, signal: c_int) -> Self {
        let timer = if seccomp::is_installed() { None } else { create_timer(signal) };
        Self(timer.filter(|&timer| start_timer(timer, time)))
    }
}

/// A timer that sends that signal to the calling thread.
fn create_timer(signal: c_int) -> Option<c_int> {
    // struct sigevent: value, signal, how, thread (asm-generic/siginfo.h).
    let mut event = [0u32; 16];
    let [_, _, number, how, thread, ..] = &mut event;
    (*number, *how, *thread) = (signal as u32, libc::SIGEV_THREAD_ID as u32, current_tid());
    let mut timer: c_int = 0;
    let (clock, event) = (libc::CLOCK_MONOTONIC as usize, event.as_ptr() as usize);
    let arguments = [clock, event, &raw mut timer as usize, 0];
    // SAFETY: timer_create(2) reads the event and writes the timer.
    let result = unsafe { raw_syscall::call(libc::SYS_timer_create, arguments) };
    (result == 0).then_some(timer)
}

/// Lets it send once, after that time.
fn start_timer(timer: c_int, time: Duration) -> bool {
    let nothing = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let (seconds, rest) = (time.as_secs() as i64, i64::from(time.subsec_nanos()));
    let value = libc::timespec { tv_sec: seconds, tv_nsec: rest };
    let times = libc::itimerspec { it_interval: nothing, it_value: value };
    let arguments = [timer as usize, 0, &raw const times as usize, 0];
    // SAFETY: timer_settime(2) reads the times.
    unsafe { raw_syscall::call(libc::SYS_timer_settime, arguments) == 0 }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(timer) = self.0 {
            // SAFETY: timer_delete(2) touches no memory.
            unsafe { raw_syscall::call(libc::SYS_timer_delete, [timer as usize, 0, 0, 0]) };
        }
    }
}
