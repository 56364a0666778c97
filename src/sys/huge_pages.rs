//! Huge pages for what is large and in use throughout: one fault brings 512 pages, and one entry of
//! the processor's tables leads to all of them. Linux has them for who asks where
//! `transparent_hugepage/enabled` says `madvise`.

use core::sync::atomic::{AtomicBool, Ordering};

use super::errno;
use crate::heap::size::{PAGE, round_down, round_up};
use crate::sys::seccomp;

/// Bytes of one.
pub const HUGE_PAGE: usize = 2 << 20;

/// Bytes of a heap that are much, for which they are asked for: they make it larger by one at most.
pub(super) const LARGE: usize = 16 << 20;
/// Most bytes of a growth for which they are: a larger one is for one block, of which the program
/// may use little.
pub(super) const MOST_AT_ONCE: usize = 2 * HUGE_PAGE;

/// Is every page of such chunks used? A larger chunk's program may touch only some of its pages.
pub(super) const fn are_dense(chunk: usize) -> bool {
    chunk <= PAGE
}

static WANTED: AtomicBool = AtomicBool::new(false);

/// Says whether they are to be asked for. Before the heap's first growth.
pub fn set_wanted(wanted: bool) {
    WANTED.store(wanted, Ordering::Relaxed);
}

/// Are they? No more when the program has installed a filter for system calls.
pub fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed) && !seccomp::is_installed()
}

/// Asks for huge pages in `[start, end)`, as far as whole ones lie in there. Whether they come is
/// the kernel's matter (MADV_HUGEPAGE of madvise(2)).
pub fn ask(start: usize, end: usize) {
    advise(round_up(start, HUGE_PAGE), round_down(end, HUGE_PAGE), libc::MADV_HUGEPAGE);
}

/// Asks for none in the pages `[start, end)`, all of them the heap's, nor in huge pages that reach
/// into them: what was given back there would come again when the kernel puts one together.
pub fn decline(start: usize, end: usize) {
    advise(start, end, libc::MADV_NOHUGEPAGE);
}

fn advise(start: usize, end: usize, advice: i32) {
    if start >= end || seccomp::is_installed() {
        return;
    }
    errno::preserve(|| {
        // SAFETY: changes what backs the memory, not what it holds.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, advice) }
    });
}
