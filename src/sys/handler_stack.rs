//! Stacks for our signal handlers, one a thread, 64 in a reservation: where a thread runs on a
//! stack of a few KiB, or on one that is full, nothing of ours is put there.
//!
//! The kernel knows a thread's by sigaltstack(2), as long as the program has given the thread none
//! of its own. The program does not see it there (`tools/preload/src/signals.rs`).

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{memory, raw_syscall, seccomp, thread};
use crate::heap::size::PAGE;

/// Bytes of address space for a stack.
const BYTES: usize = 32 << 10;
/// The upper part, which is used: the kernel's record of a signal has up to 11 KiB (AVX-512 and
/// AMX). What is below keeps the next stack apart. It is no guard page: a program that reads all
/// that the kernel lists as its readable memory (redis does in a crash) would fault there.
const USED: usize = 20 << 10;
/// Stacks of a group, with one guard page below all of them.
const GROUP: usize = 64;
const GROUP_BYTES: usize = GROUP * BYTES;
/// Groups that there can be.
const MOST_GROUPS: usize = 256;

/// A group: where it starts, and a bit for each stack that a thread has.
struct Group {
    /// 0: it is not reserved.
    start: AtomicUsize,
    taken: AtomicU64,
}

static GROUPS: [Group; MOST_GROUPS] =
    [const { Group { start: AtomicUsize::new(0), taken: AtomicU64::new(0) } }; MOST_GROUPS];

/// The groups that are reserved.
fn groups() -> impl Iterator<Item = (&'static Group, usize)> {
    let reserved = |group: &'static Group| {
        let start = group.start.load(Ordering::Acquire);
        (start != 0).then_some((group, start))
    };
    GROUPS.iter().map_while(reserved)
}

/// Is the address on one of them?
pub fn contains(address: usize) -> bool {
    groups().any(|(_, start)| address.wrapping_sub(start) < GROUP_BYTES)
}

/// Gives the calling thread one, unless it has one already or the program has given it one.
/// `false`: it has none now.
pub fn attach() -> bool {
    if thread::handler_stack() != 0 {
        return true;
    }
    if seccomp::is_installed() {
        return false;
    }
    let Some(stack) = take() else { return false };
    if ask().is_some_and(|known| known.ss_flags & libc::SS_DISABLE == 0) || !tell(stack) {
        release(stack);
        return false;
    }
    thread::set_handler_stack(stack);
    true
}

/// The calling thread ends: another one can have its stack.
pub fn detach() {
    let stack = thread::handler_stack();
    // A filter may forbid the call: the stack stays taken.
    if stack == 0 || seccomp::is_installed() {
        return;
    }
    // The kernel refuses while the thread is on it: then it stays taken.
    let is_known = ask().is_some_and(|known| known.ss_sp as usize == lowest(stack));
    if !is_known || disable() {
        thread::set_handler_stack(0);
        release(stack);
    }
}

/// In a forked child: the stacks of the threads that are not here are free.
pub fn renew_after_fork() {
    let mine = thread::handler_stack();
    for (group, start) in groups() {
        let is_mine = mine.wrapping_sub(start) < GROUP_BYTES;
        let taken = if is_mine { bit_of(mine, start) } else { 0 };
        // A page that is not written to need not be copied.
        if group.taken.load(Ordering::Relaxed) != taken {
            group.taken.store(taken, Ordering::Relaxed);
        }
    }
}

/// The program takes its own stack away: the kernel gets the thread's back.
pub fn put_back() -> bool {
    let stack = thread::handler_stack();
    stack != 0 && tell(stack)
}

/// The kernel's stack of the calling thread.
fn ask() -> Option<libc::stack_t> {
    let mut known = libc::stack_t { ss_sp: core::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    let arguments = [0, &raw mut known as usize, 0, 0];
    // SAFETY: sigaltstack(2) fills the structure.
    let result = unsafe { raw_syscall::call(libc::SYS_sigaltstack, arguments) };
    (result == 0).then_some(known)
}

/// First byte that is used of the stack with that start.
const fn lowest(stack: usize) -> usize {
    stack + BYTES - USED
}

/// Tells the kernel of the stack with that start.
fn tell(stack: usize) -> bool {
    set(lowest(stack), USED, 0)
}

fn disable() -> bool {
    set(0, 0, libc::SS_DISABLE)
}

/// For a handler that has gone on to another stack: signals that come now are to be handled on
/// `[start, start + bytes)`, until the handler returns.
pub fn lend(start: usize, bytes: usize) {
    set(start, bytes, 0);
}

fn set(start: usize, bytes: usize, flags: i32) -> bool {
    let stack = libc::stack_t { ss_sp: start as *mut _, ss_flags: flags, ss_size: bytes };
    let arguments = [core::ptr::from_ref(&stack) as usize, 0, 0, 0];
    // SAFETY: sigaltstack(2) reads the structure; the memory is ours and stays.
    unsafe { raw_syscall::call(libc::SYS_sigaltstack, arguments) == 0 }
}

/// The bit of a stack in its group.
const fn bit_of(stack: usize, start: usize) -> u64 {
    1 << ((stack - start) / BYTES)
}

fn take() -> Option<usize> {
    loop {
        if let Some(stack) = groups().find_map(|(group, start)| take_in(group, start)) {
            return Some(stack);
        }
        reserve()?;
    }
}

fn take_in(group: &Group, start: usize) -> Option<usize> {
    let mut taken = group.taken.load(Ordering::Relaxed);
    while taken != u64::MAX {
        let bit = 1 << taken.trailing_ones();
        let (done, failed) = (Ordering::AcqRel, Ordering::Relaxed);
        match group.taken.compare_exchange_weak(taken, taken | bit, done, failed) {
            Ok(_) => return Some(start + bit.trailing_zeros() as usize * BYTES),
            Err(now) => taken = now,
        }
    }
    None
}

fn release(stack: usize) {
    let is_here = |(_, start): &(&Group, usize)| stack.wrapping_sub(*start) < GROUP_BYTES;
    if let Some((group, start)) = groups().find(is_here) {
        group.taken.fetch_and(!bit_of(stack, start), Ordering::Release);
    }
}

/// One more group. `None`: there is no address space, or there are enough.
fn reserve() -> Option<()> {
    let group = GROUPS.iter().find(|group| group.start.load(Ordering::Acquire) == 0)?;
    let start = memory::reserve(GROUP_BYTES)?;
    memory::leave_out_of_core_dump(start, GROUP_BYTES);
    // SAFETY: reserved just now, for nobody else.
    let is_made = unsafe { memory::commit(start + PAGE, GROUP_BYTES - PAGE) };
    let (done, failed) = (Ordering::AcqRel, Ordering::Relaxed);
    if !is_made || group.start.compare_exchange(0, start, done, failed).is_err() {
        // Another thread has made one, or it cannot be used.
        // SAFETY: reserved above, and nobody has seen it.
        unsafe { memory::unmap(start, GROUP_BYTES) };
        return is_made.then_some(());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_one_and_gives_it_back() {
        let work = || {
            disable();
            assert!(attach() && attach());
            let stack = thread::handler_stack();
            assert!(contains(stack) && contains(stack + BYTES - 1));
            let known = ask().expect("an answer");
            assert_eq!((known.ss_sp as usize, known.ss_size), (lowest(stack), USED));
            assert!(memory::is_readable(lowest(stack), stack + BYTES));
            let (_, first) = groups().next().expect("a group");
            assert!(!memory::is_readable(first, first + 8), "there is no guard");
            detach();
            assert_eq!(thread::handler_stack(), 0);
            stack
        };
        let first = std::thread::spawn(work).join().expect("no panic");
        let second = std::thread::spawn(work).join().expect("no panic");
        assert_eq!(first, second);
    }

    #[test]
    fn a_stack_of_the_programs_stays() {
        let work = || {
            // Rust's library has given the thread one.
            let before = ask().expect("an answer");
            assert_eq!(before.ss_flags & libc::SS_DISABLE, 0);
            assert!(!attach());
            assert_eq!(ask().expect("an answer").ss_sp, before.ss_sp);
        };
        std::thread::spawn(work).join().expect("no panic");
    }
}
