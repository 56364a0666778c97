//! Which pages a forked child may have written to since its fork (`/proc/self/pagemap`): the others
//! it still shares with its parent. Allocates nothing, and has 2 KiB of its own.

use core::cell::{Cell, RefCell};

use super::pagemap::IN_MEMORY;
use super::raw_syscall;
use crate::heap::size::{PAGE, round_down};

/// In an entry (Documentation/admin-guide/mm/pagemap.rst): no other process has the page.
const EXCLUSIVE: u64 = 1 << 56;
/// Pages that are asked for at once: those of a MiB.
const ENTRIES: usize = 256;
const SPAN: usize = ENTRIES * PAGE;

/// The kernel's word on the pages, of one MiB at a time.
pub struct WrittenPages {
    file: usize,
    start: Cell<usize>,
    entries: RefCell<[u64; ENTRIES]>,
}

impl WrittenPages {
    /// `None`: /proc does not say.
    pub fn open() -> Option<Self> {
        let path = c"/proc/self/pagemap".as_ptr() as usize;
        let arguments =
            [libc::AT_FDCWD as usize, path, (libc::O_RDONLY | libc::O_CLOEXEC) as usize, 0];
        // SAFETY: openat(2) with a C string. Not by libc's function, whose symbol may have to be
        // looked up first, in each child anew.
        let file = unsafe { raw_syscall::call(libc::SYS_openat, arguments) };
        let (start, entries) = (Cell::new(usize::MAX), RefCell::new([0; ENTRIES]));
        (file >= 0).then_some(Self { file: file as usize, start, entries })
    }

    /// Calls `each` with every page of the MiB from `start` on, a multiple of that, that was
    /// written to.
    pub fn for_each(&self, start: usize, mut each: impl FnMut(usize)) {
        self.read(start);
        // `each` may ask for other pages.
        let mut bits = [0u64; ENTRIES / 64];
        for (entry, at) in self.entries.borrow().iter().zip(0..) {
            if let Some(word) = bits.get_mut(at / 64).filter(|_| is_written(*entry)) {
                *word |= 1 << (at % 64);
            }
        }
        for (mut word, first) in bits.into_iter().zip((0..).step_by(64)) {
            while word != 0 {
                each(start + (first + word.trailing_zeros() as usize) * PAGE);
                word &= word - 1;
            }
        }
    }

    /// Has the page of an address?
    pub fn has(&self, address: usize) -> bool {
        let start = round_down(address, SPAN);
        self.read(start);
        let entries = self.entries.borrow();
        entries.get((address - start) / PAGE).copied().is_some_and(is_written)
    }

    fn read(&self, start: usize) {
        if self.start.replace(start) == start {
            return;
        }
        let mut entries = self.entries.borrow_mut();
        let (place, bytes) = (entries.as_mut_ptr() as usize, ENTRIES * 8);
        let arguments = [self.file, place, bytes, start / PAGE * 8];
        // SAFETY: pread(2) writes at most so many bytes to the entries.
        let got = unsafe { raw_syscall::call(libc::SYS_pread64, arguments) };
        if got != bytes as isize {
            // Not known: looked at.
            *entries = [u64::MAX; ENTRIES];
        }
    }
}

impl Drop for WrittenPages {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, and not used any more.
        unsafe { raw_syscall::call(libc::SYS_close, [self.file, 0, 0, 0]) };
    }
}

const fn is_written(entry: u64) -> bool {
    entry & IN_MEMORY != 0 && entry & EXCLUSIVE != 0
}
