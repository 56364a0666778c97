//! Numbers of threads, and what is known of each thread by its number.

use crate::sys::glibc::thread_descriptor::{self, current_tid};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::{process, thread};
use crate::sys::seccomp;

/// Threads are numbered from 0 in the order of their first allocation; later ones than this share
/// the last number.
pub const MAX_THREADS: usize = 1 << 14;

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);
/// First number given out since the last fork of which this process is the child.
static FIRST_OWN: AtomicU32 = AtomicU32::new(0);
static TIDS: [AtomicU32; MAX_THREADS] = [const { AtomicU32::new(0) }; MAX_THREADS];
static STACKS: [AtomicUsize; MAX_THREADS] = [const { AtomicUsize::new(0) }; MAX_THREADS];

/// Number of the calling thread. Makes one system call, the first time.
#[inline]
pub fn number() -> u16 {
    match thread::number_word().get() {
        0 => take_number(),
        number => (number - 1) as u16,
    }
}

/// The same for a thread that has its number already, as one with an arena has.
#[inline]
pub fn known_number() -> u16 {
    thread::number_word().get().wrapping_sub(1) as u16
}

/// Gives the calling thread another number; [`put_number`] takes the one back that it had. What it
/// allocates meanwhile can be told by that. `None`: there are no numbers left.
pub fn renew_number() -> Option<u16> {
    let number = take_number();
    (usize::from(number) < MAX_THREADS - 1).then_some(number)
}

/// Gives the calling thread a number back that it had.
pub fn put_number(number: u16) {
    thread::number_word().set(u32::from(number) + 1);
}

#[cold]
fn take_number() -> u16 {
    let next = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed) as usize;
    let number = next.min(MAX_THREADS - 1);
    thread::number_word().set(number as u32 + 1);
    if number < MAX_THREADS - 1 {
        note_thread(number);
    }
    number as u16
}

fn note_thread(number: usize) {
    let here = 0u8;
    if let (Some(tid), Some(stack)) = (TIDS.get(number), STACKS.get(number)) {
        // libc has noted it, but in a child that it does not know of.
        let known = thread_descriptor::noted_tid(thread::pointer());
        tid.store(known.unwrap_or_else(current_tid), Ordering::Relaxed);
        stack.store(core::ptr::from_ref(&here) as usize, Ordering::Relaxed);
    }
}

/// Was the number given out?
pub fn is_numbered(number: u16) -> bool {
    u32::from(number) < NEXT_NUMBER.load(Ordering::Relaxed)
}

/// Kernel id of a numbered thread; 0 when it is not known.
pub fn tid_of(number: u16) -> u32 {
    TIDS.get(usize::from(number)).map_or(0, |tid| tid.load(Ordering::Relaxed))
}

/// Name of the thread with a kernel id. Reads /proc; `None` after a seccomp filter.
pub fn name_of(tid: u32) -> Option<String> {
    if seccomp::is_installed() {
        return None;
    }
    let name = std::fs::read_to_string(format!("/proc/self/task/{tid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

/// Numbered threads with an address on the stack of each.
pub fn stacks() -> impl Iterator<Item = (u16, usize)> {
    let count = (NEXT_NUMBER.load(Ordering::Relaxed) as usize).min(MAX_THREADS - 1);
    STACKS
        .iter()
        .take(count)
        .enumerate()
        .map(|(number, stack)| (number as u16, stack.load(Ordering::Relaxed)))
}

/// Looks at threads that run on the processor are repeated so often, a millisecond apart.
const LOOKS: u32 = 50;

/// Kernel id of a thread with its stack pointer in `[start, end)`. The kernel tells that of threads
/// that sleep; one that runs is given up to 50 ms to do so. Reads /proc; may allocate.
pub fn with_stack_in(start: usize, end: usize) -> Option<u32> {
    if seccomp::is_installed() {
        return None;
    }
    for _ in 0..LOOKS {
        let mut any_runs = false;
        for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
            let tid = task.file_name().to_str().and_then(|name| name.parse().ok())?;
            let line = std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
            any_runs |= line.starts_with("running") && tid != current_tid();
            if stack_pointer(&line).is_some_and(|pointer| pointer >= start && pointer < end) {
                return Some(tid);
            }
        }
        if !any_runs {
            return None;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    None
}

/// The last but one field of /proc/PID/task/TID/syscall (proc_pid_syscall(5)).
fn stack_pointer(line: &str) -> Option<usize> {
    let pointer = line.split_whitespace().rev().nth(1)?.strip_prefix("0x")?;
    usize::from_str_radix(pointer, 16).ok()
}

/// After fork the child's only thread has a new kernel id and the others are gone.
pub fn renew_after_fork() {
    for (tid, stack) in TIDS.iter().zip(&STACKS) {
        if stack.swap(0, Ordering::Relaxed) == 0 {
            break;
        }
        tid.store(0, Ordering::Relaxed);
    }
    // A number of its own tells what this process allocates from what it inherited.
    FIRST_OWN.store(NEXT_NUMBER.load(Ordering::Relaxed), Ordering::Relaxed);
    thread::number_word().set(0);
    let number = number();
    // The child's one thread has the process's id.
    process::set_id(tid_of(number));
}

/// Is this process the child of a fork?
pub fn is_forked() -> bool {
    FIRST_OWN.load(Ordering::Relaxed) != 0
}

/// Was the number given out before the fork of which this process is the child?
pub fn is_inherited(number: u16) -> bool {
    u32::from(number) < FIRST_OWN.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_numbers_of_their_own() {
        let mine = number();
        let theirs = std::thread::spawn(number).join().expect("no panic");
        assert_ne!(mine, theirs);
        assert_eq!(mine, number());
        assert_eq!(tid_of(mine), current_tid());
    }
}
