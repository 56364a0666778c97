//! Cold work in the middle of a program's call: on a stack of its own (the program's may be a few
//! KiB), with errno and the thread's cancellation as they were, and counted as the tool's.

use crate::arch::call_on;
use core::ffi::c_int;

use super::job::Job;
use super::thread::{self, ToolWork};
use super::{errno, handler_stack, memory, seccomp};
use crate::heap::size::PAGE;

/// Stack for names, text and files. Address space; memory is used as it is touched.
const STACK: usize = 1 << 20;
/// The stack with a guard page in front: names are looked up by recursion.
const WHOLE: usize = PAGE + STACK;

/// Runs `work`. Nothing may unwind out of it, and no stack can be captured inside: the caller's
/// frames are out of sight.
pub fn run<T>(work: impl FnOnce() -> T) -> Option<T> {
    let _tool = ToolWork::begin();
    errno::preserve(|| {
        without_cancellation(|| {
            if thread::is_apart() {
                return Some(work());
            }
            thread::set_apart(true);
            let result = on_fresh_stack(work);
            thread::set_apart(false);
            result
        })
    })
}

/// Bytes that signals are handled on that come while [`run_in_handler`] works.
const LENT: usize = 64 << 10;

/// Runs `work` for a signal's handler, wherever that runs: on a stack of its own, with another one
/// for signals that come meanwhile. The one on which the kernel has put the handler stays as it
/// is. Where there is no memory `work` is not run.
pub fn run_in_handler(work: impl FnOnce()) {
    let _tool = ToolWork::begin();
    let Some(start) = fresh_stack() else { return };
    let Some(lent) = memory::map(LENT) else { return };
    let was_apart = thread::is_apart();
    thread::set_apart(true);
    without_cancellation(|| {
        let work = || {
            if !seccomp::is_installed() {
                handler_stack::lend(lent, LENT);
            }
            work();
        };
        let mut job = Job::new(work);
        let function = job.runner();
        // SAFETY: the stack is fresh and ours, `start + WHOLE` a multiple of 16; the function gets
        // its job, which outlives the call.
        unsafe { call_on(start + WHOLE, (&raw mut job).cast(), function) };
    });
    thread::set_apart(was_apart);
    // The kernel still knows the lent one: when the handler returns it knows the former again.
}

/// First byte of a fresh stack with its guard. `None`: no memory.
fn fresh_stack() -> Option<usize> {
    let start = memory::reserve(WHOLE)?;
    // SAFETY: reserved in the line above.
    if unsafe { memory::commit(start + PAGE, STACK) } {
        return Some(start);
    }
    // SAFETY: reserved above, and nobody has seen it.
    unsafe { memory::unmap(start, WHOLE) };
    None
}

fn on_fresh_stack<F: FnOnce() -> T, T>(work: F) -> Option<T> {
    let mut job = Job::new(work);
    let function = job.runner();
    let argument = (&raw mut job).cast();
    match fresh_stack() {
        Some(start) => {
            // SAFETY: the stack is fresh and ours, `start + WHOLE` a multiple of 16; the
            // function gets its job, which outlives the call.
            unsafe {
                call_on(start + WHOLE, argument, function);
                memory::unmap(start, WHOLE);
            }
        }
        None => function(argument),
    }
    job.result
}

unsafe extern "C" {
    // Not bound by the libc crate for Linux.
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// malloc and free are no cancellation points; reading /proc would be one.
pub fn without_cancellation<T>(work: impl FnOnce() -> T) -> T {
    const PTHREAD_CANCEL_DISABLE: c_int = 1;
    let mut before = 0;
    // SAFETY: sets and later restores the calling thread's own state.
    unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut before) };
    let result = work();
    // SAFETY: restores the calling thread's own state.
    unsafe { pthread_setcancelstate(before, core::ptr::null_mut()) };
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address on the stack that is in use. Nothing in here may panic: it runs apart.
    fn here() -> usize {
        let local = 0u8;
        core::ptr::from_ref(core::hint::black_box(&local)) as usize
    }

    #[test]
    fn work_is_done_elsewhere_and_comes_back() {
        errno::set(77);
        let seen = run(|| {
            errno::set(1);
            // Inside, the stack is the one that is there.
            (here(), run(here), thread::is_apart() && thread::is_in_tool())
        });
        let (there, nested, marked) = seen.expect("a result");
        assert!(marked);
        assert!(there.abs_diff(here()) > STACK / 2);
        assert!(nested.expect("a result").abs_diff(there) < STACK / 2);
        assert_eq!(errno::get(), 77);
        assert!(thread::is_outside() && !thread::is_apart());
    }
}
