//! Pages that fault: how the kernel is asked for them. Each way is tried before it is believed:
//! an emulator or a filter may say success and do nothing.
//!
//! The memory is one reservation. A part of it that is [`commit`]ted is readable and writable;
//! within it [`lay`] makes single pages fault that stand between others, [`close`] makes pages
//! fault that held something, and [`open`] undoes that.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use super::{errno, memory, raw_syscall, user_faults};
use crate::heap::size::PAGE;

/// The kernel's way to make pages fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Backend {
    /// None works, or none is wanted.
    None = 0,
    /// madvise(2) with MADV_GUARD_INSTALL, Linux 6.13: marks in the page table, no mapping is
    /// split.
    Advice = 1,
    /// userfaultfd(2) with UFFD_FEATURE_SIGBUS, Linux 5.11 without privileges: pages that were
    /// never filled fault. No mapping is split; a forked child asks anew.
    UserFaults = 2,
    /// mprotect(2): two mappings for each slot in use.
    Protection = 3,
}

/// The best first.
pub const BACKENDS: [Backend; 3] = [Backend::Advice, Backend::UserFaults, Backend::Protection];

/// What a page's mark is made and taken away by (asm-generic/mman-common.h).
const GUARD_INSTALL: usize = 102;
const GUARD_REMOVE: usize = 103;
/// Number of process_madvise(2), and what stands for the calling process there (linux/pidfd.h).
const PROCESS_MADVISE: libc::c_long = 440;
const SELF: usize = -10000_isize as usize;
/// Ranges of one such call.
const RANGES: usize = 16;

static CHOSEN: AtomicU8 = AtomicU8::new(Backend::None as u8);

/// The way that is used.
pub fn chosen() -> Backend {
    let number = CHOSEN.load(Ordering::Relaxed);
    BACKENDS.into_iter().find(|&way| way as u8 == number).unwrap_or(Backend::None)
}

/// Calls until one is refused; 0: none is.
static UNTIL_REFUSAL: AtomicU32 = AtomicU32::new(0);

/// For tests: has the call with that number from here on refused, as the kernel may; 0: none.
pub fn refuse(number: u32) {
    UNTIL_REFUSAL.store(number, Ordering::Relaxed);
}

fn is_refused() -> bool {
    match UNTIL_REFUSAL.load(Ordering::Relaxed) {
        0 => false,
        number => {
            UNTIL_REFUSAL.store(number - 1, Ordering::Relaxed);
            number == 1
        }
    }
}

/// Uses no guards from here on: what is closed stays so.
pub fn give_up() {
    CHOSEN.store(Backend::None as u8, Ordering::Relaxed);
}

/// Chooses the first of `wanted` that works, tried on the first `bytes` of `start`, which are
/// reserved whole pages, three at least. They are committed afterwards, and the first page faults.
pub fn choose(wanted: &[Backend], start: usize, bytes: usize) -> Backend {
    let works = |way: Backend| {
        CHOSEN.store(way as u8, Ordering::Relaxed);
        commit(start, bytes) && lay(start, PAGE, 1) && does_fault(start)
    };
    let found = wanted.iter().copied().find(|&way| works(way)).unwrap_or(Backend::None);
    CHOSEN.store(found as u8, Ordering::Relaxed);
    found
}

/// Does the first page fault, and the next one not once it is open?
fn does_fault(start: usize) -> bool {
    !memory::is_readable_page(start) && open(start + PAGE, PAGE) && {
        memory::is_readable_page(start + PAGE)
    }
}

/// Makes a part of the reservation usable, as far as the way needs that. Its pages are zero; those
/// of [`Backend::UserFaults`] and [`Backend::Protection`] fault until they are opened.
pub fn commit(start: usize, bytes: usize) -> bool {
    if is_refused() {
        return false;
    }
    // SAFETY: a part of the reservation that nothing is in.
    let commit = || unsafe { memory::commit(start, bytes) };
    match chosen() {
        Backend::Advice => commit(),
        Backend::UserFaults => commit() && user_faults::watch(start, bytes),
        Backend::Protection => true,
        Backend::None => false,
    }
}

/// Makes `count` pages fault that were never used, one each `stride` bytes from `first` on.
pub fn lay(first: usize, stride: usize, count: usize) -> bool {
    if is_refused() {
        return false;
    }
    if chosen() != Backend::Advice {
        return true;
    }
    let mut done = 0;
    while done < count {
        let more = (count - done).min(RANGES);
        if !lay_some(first + done * stride, stride, more) {
            return false;
        }
        done += more;
    }
    true
}

/// As [`lay`], up to [`RANGES`]: by one call where the kernel has it, Linux 6.15.
fn lay_some(first: usize, stride: usize, count: usize) -> bool {
    let ranges: [[usize; 2]; RANGES] = core::array::from_fn(|at| [first + at * stride, PAGE]);
    // SAFETY: the call reads the ranges and changes pages that nothing is in.
    let done = unsafe {
        let arguments = [SELF, ranges.as_ptr() as usize, count, GUARD_INSTALL, 0];
        raw_syscall::call5(PROCESS_MADVISE, arguments)
    };
    done == (count * PAGE) as isize
        || ranges.iter().take(count).all(|&[start, bytes]| advise(start, bytes, GUARD_INSTALL))
}

fn advise(start: usize, bytes: usize, advice: usize) -> bool {
    // SAFETY: pages of the reservation, whose contents the caller gives up.
    unsafe { raw_syscall::call(libc::SYS_madvise, [start, bytes, advice, 0]) == 0 }
}

/// Makes pages usable that fault; they read as zero. `false`: they fault still, or some do.
pub fn open(start: usize, bytes: usize) -> bool {
    if is_refused() {
        return false;
    }
    match chosen() {
        Backend::Advice => advise(start, bytes, GUARD_REMOVE),
        Backend::UserFaults => user_faults::fill(start, bytes),
        // SAFETY: a part of the reservation.
        Backend::Protection => unsafe { memory::commit(start, bytes) },
        Backend::None => false,
    }
}

/// Makes usable what was never used. With [`Backend::Advice`] it is.
pub fn open_fresh(start: usize, bytes: usize) -> bool {
    matches!(chosen(), Backend::Advice) || open(start, bytes)
}

/// Makes pages fault and gives their memory back. `false`: they can be used still, or some can.
///
/// # Safety
/// What is in the pages is not used any more.
pub unsafe fn close(start: usize, bytes: usize) -> bool {
    if is_refused() {
        return false;
    }
    match chosen() {
        Backend::Advice => advise(start, bytes, GUARD_INSTALL),
        // SAFETY: the caller of this function promises the same.
        Backend::UserFaults => unsafe { memory::drop_contents(start, bytes) },
        Backend::Protection => {
            // SAFETY: the caller of this function promises the same.
            (unsafe { memory::drop_contents(start, bytes) }) && protect(start, bytes)
        }
        Backend::None => false,
    }
}

fn protect(start: usize, bytes: usize) -> bool {
    errno::preserve(|| {
        // SAFETY: pages of the reservation that are not used.
        unsafe { libc::mprotect(start as *mut libc::c_void, bytes, libc::PROT_NONE) == 0 }
    })
}

/// In a forked child: `[start, end)` was committed.
pub fn renew_after_fork(start: usize, end: usize) {
    if chosen() == Backend::UserFaults && end > start && !user_faults::renew(start, end - start) {
        give_up();
    }
}
