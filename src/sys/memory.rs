//! mmap and what belongs to it. Sizes in bytes; all results are zeroed memory.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::errno;
use crate::heap::size::{PAGE, round_down, round_up};
use crate::sys::once_pointer::load_or_publish;
use crate::sys::{owned_maps, raw_syscall};

/// Maps `bytes` of fresh memory, anywhere, for the tool or one of its heaps. `None` when the kernel
/// has none.
pub fn map(bytes: usize) -> Option<usize> {
    hold(map_apart(bytes)?, bytes)
}

/// The same for what is listed elsewhere.
pub(super) fn map_apart(bytes: usize) -> Option<usize> {
    map_with(bytes, libc::PROT_READ | libc::PROT_WRITE, 0)
}

/// Notes a mapping as the tool's, or has it no more.
fn hold(start: usize, bytes: usize) -> Option<usize> {
    if owned_maps::note(start, bytes) {
        return Some(start);
    }
    if let Some(table) = map_apart(owned_maps::TABLE_BYTES) {
        // SAFETY: fresh zeroed memory that is left to the list.
        unsafe { owned_maps::extend(table) };
        owned_maps::note(table, owned_maps::TABLE_BYTES);
        if owned_maps::note(start, bytes) {
            return Some(start);
        }
    }
    // SAFETY: fresh pages that nobody has seen.
    unsafe { unmap_apart(start, bytes) };
    None
}

/// Reserves `bytes` of address space: it cannot be used, and counts against no limit but that on
/// address space, until it is [`commit`]ted.
pub fn reserve(bytes: usize) -> Option<usize> {
    hold(map_with(bytes, libc::PROT_NONE, libc::MAP_NORESERVE)?, bytes)
}

/// Makes reserved pages usable; they read as zero. `false` when the kernel refuses. Safe to repeat,
/// and in signal handlers.
///
/// # Safety
/// The whole pages are from [`reserve`].
pub unsafe fn commit(start: usize, bytes: usize) -> bool {
    errno::preserve(|| {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: by the caller's word.
        unsafe { libc::mprotect(start as *mut libc::c_void, bytes, protection) == 0 }
    })
}

fn map_with(bytes: usize, protection: i32, flags: i32) -> Option<usize> {
    errno::preserve(|| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let at = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        (at != libc::MAP_FAILED).then_some(at as usize)
    })
}

/// The pointer in `slot`, to `bytes` of memory. If it is null, fresh zeroed memory is put there
/// first, which `prepare` sees before anybody else; two threads that do so at once agree on one.
/// `None`: no memory.
pub fn load_or_map<T>(
    slot: &AtomicPtr<T>,
    bytes: usize,
    prepare: impl FnOnce(*mut T),
) -> Option<*mut T> {
    let make = || {
        let fresh = map(bytes)? as *mut T;
        prepare(fresh);
        Some(fresh)
    };
    // SAFETY: mapped by `make`, and never published.
    load_or_publish(slot, make, |fresh| unsafe { unmap(fresh as usize, bytes) })
}

/// As [`map`], at a multiple of `align`, a power of two of pages.
pub fn map_aligned(bytes: usize, align: usize) -> Option<usize> {
    let whole = bytes.checked_add(align)?;
    let start = map_apart(whole)?;
    let aligned = round_up(start, align);
    let behind = aligned + bytes;
    // SAFETY: fresh pages in front of and behind the aligned part, which nobody has seen.
    unsafe {
        if aligned > start {
            unmap_apart(start, aligned - start);
        }
        if start + whole > behind {
            unmap_apart(behind, start + whole - behind);
        }
    }
    hold(aligned, bytes)
}

/// Unmaps whole pages.
///
/// # Safety
/// The pages are ours and nothing in them is used any more.
pub unsafe fn unmap(start: usize, bytes: usize) {
    // Before the addresses can be somebody else's.
    owned_maps::forget(start, bytes);
    // SAFETY: the caller of this function promises the same.
    unsafe { unmap_apart(start, bytes) };
}

/// The same for what is listed elsewhere.
///
/// # Safety
/// As [`unmap`].
pub(super) unsafe fn unmap_apart(start: usize, bytes: usize) {
    errno::preserve(|| {
        // SAFETY: by the caller's word.
        unsafe { libc::munmap(start as *mut libc::c_void, bytes) };
    });
}

/// Gives the memory of whole pages back but keeps their addresses: every access faults. `false`
/// when the kernel refuses.
///
/// # Safety
/// The pages are ours and nothing in them is used any more.
pub unsafe fn seal(start: usize, bytes: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    let at = start as *mut libc::c_void;
    errno::preserve(|| {
        // SAFETY: replaces pages that are ours, by the caller's word.
        unsafe { libc::mmap(at, bytes, libc::PROT_NONE, flags, -1, 0) != libc::MAP_FAILED }
    })
}

/// Drops the contents of whole pages; they read as zero from then on. `false`: some may have
/// stayed, as those of locked pages do (madvise(2)).
///
/// # Safety
/// The pages are ours and their contents are not used any more.
pub unsafe fn drop_contents(start: usize, bytes: usize) -> bool {
    errno::preserve(|| {
        // SAFETY: by the caller's word.
        unsafe { libc::madvise(start as *mut libc::c_void, bytes, libc::MADV_DONTNEED) == 0 }
    })
}

/// Leaves whole pages, which are ours, out of a core dump (madvise(2)).
pub fn leave_out_of_core_dump(start: usize, bytes: usize) {
    let at = start as *mut libc::c_void;
    // SAFETY: changes nothing but what a core dump has of the pages.
    errno::preserve(|| unsafe { libc::madvise(at, bytes, libc::MADV_DONTDUMP) });
}

/// Calls `each` with every page of `[start, end)`, whole pages that are mapped, that was touched
/// since it was mapped or emptied. `false`: the kernel does not say.
pub fn for_each_touched(start: usize, end: usize, mut each: impl FnMut(usize)) -> bool {
    /// Pages that are asked for at once.
    const AT_ONCE: usize = 4096;
    let mut present = [0u8; AT_ONCE];
    let mut at = start;
    while at < end {
        let bytes = (end - at).min(AT_ONCE * PAGE);
        let arguments = [at, bytes, present.as_mut_ptr() as usize, 0];
        // SAFETY: mincore(2) writes a byte for each page.
        if unsafe { raw_syscall::call(libc::SYS_mincore, arguments) } != 0 {
            return false;
        }
        let pages = present.iter().take(bytes.div_ceil(PAGE)).enumerate();
        pages.filter(|(_, byte)| **byte & 1 != 0).for_each(|(page, _)| each(at + page * PAGE));
        at += bytes;
    }
    true
}

/// Has the kernel been asked with success what can be read? Then it knows the question.
static POPULATES: AtomicBool = AtomicBool::new(false);

/// Can all of `[from, to)` be read? Makes a system call, by which pages that were never touched
/// are.
pub fn is_readable(from: usize, to: usize) -> bool {
    /// Pages that are asked for one by one at most.
    const MOST: usize = 4096;
    let start = round_down(from, PAGE);
    if to <= from {
        return false;
    }
    errno::preserve(|| {
        let at = start as *mut libc::c_void;
        // SAFETY: only reads pages in, where there are any.
        if unsafe { libc::madvise(at, to - start, libc::MADV_POPULATE_READ) == 0 } {
            POPULATES.store(true, Ordering::Relaxed);
            return true;
        }
        // Linux before 5.14 has no such advice, and a filter may refuse it with an error of its own
        // (madvise(2) has these).
        let is_answer = matches!(errno::get(), libc::EINVAL | libc::ENOMEM | libc::EFAULT);
        // The last page is the likeliest not to be there.
        !(is_answer && POPULATES.load(Ordering::Relaxed))
            && to - start <= MOST * PAGE
            && is_readable_page(round_down(to - 1, PAGE))
            && (start..to).step_by(PAGE).all(is_readable_page)
    })
}

/// The same for the page at an address.
pub(super) fn is_readable_page(start: usize) -> bool {
    const NO_SUCH_CHANGE: usize = usize::MAX;
    const SET: usize = 8;
    // SAFETY: rt_sigprocmask(2) reads a set of signals before it refuses what is to be done with
    // it.
    let refused =
        unsafe { raw_syscall::call(libc::SYS_rt_sigprocmask, [NO_SUCH_CHANGE, start, 0, SET]) };
    refused == -(libc::EINVAL as isize)
}

/// Moves or resizes a whole mapping. `None`: nothing has changed.
///
/// # Safety
/// `[start, start + old)` is a whole mapping of ours; after a move the old place is not used.
pub(super) unsafe fn remap(start: usize, old: usize, new: usize) -> Option<usize> {
    errno::preserve(|| {
        let at = start as *mut libc::c_void;
        // SAFETY: a whole mapping of ours, by the caller's word.
        let moved = unsafe { libc::mremap(at, old, new, libc::MREMAP_MAYMOVE) };
        (moved != libc::MAP_FAILED).then_some(moved as usize)
    })
}

/// Heaps that are not brk's are made of regions that start and end at multiples of this, so that no
/// two heaps have memory in the same MiB.
pub const REGION_ALIGN: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_apart_by_both_calls() {
        let start = reserve(4 * PAGE).expect("address space");
        // SAFETY: reserved just now.
        assert!(unsafe { commit(start, 2 * PAGE) });
        assert!(is_readable(start + 8, start + 2 * PAGE));
        assert!(!is_readable(start, start + 2 * PAGE + 1) && !is_readable(start, start));
        let pages = [0, 1, 2].map(|page| is_readable_page(start + page * PAGE));
        assert_eq!(pages, [true, true, false]);
        // SAFETY: reserved above, and not used any more.
        unsafe { unmap(start, 4 * PAGE) };
        assert!(!is_readable_page(start));
    }
}
