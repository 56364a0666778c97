//! The program's memory, word by word, without being hurt by it: mappings may hold guard pages,
//! pages behind a protection key, pages of a file that has become shorter, pages in swap.
//!
//! In place only pages are read that are in memory; a fault there costs nothing, since a
//! [`FaultGuard`] is spread. All others are copied by the kernel; those that even the kernel cannot
//! read are counted.

use core::cell::Cell;
use core::ops::ControlFlow;

use crate::heap::size::{PAGE, WORD, round_down, round_up};
use crate::sys::pagemap::{PageMap, Presence};
use crate::sys::safe_read;
use crate::sys::safe_read::{FaultGuard, Window};
use crate::sys::vm_read::KernelReader;

/// Bytes copied at a time.
const PIECE: usize = 64 << 10;

/// The process's memory, of which parts may not be readable.
pub struct Memory {
    /// Mappings of the heap's memory that the program has protected, by ascending address.
    protected: Vec<(usize, usize)>,
    pages: Option<PageMap>,
    kernel: KernelReader,
    unread: Cell<usize>,
}

/// Reads it, while one lives. Other threads may write to it meanwhile.
pub struct MemoryReader<'a> {
    memory: &'a Memory,
    net: FaultGuard,
}

impl Memory {
    /// Of the heap's memory these ranges are protected.
    pub fn new(mut protected: Vec<(usize, usize)>) -> Self {
        protected.sort_unstable();
        let (pages, kernel) = (PageMap::open(), KernelReader::open());
        Self { protected, pages, kernel, unread: Cell::new(0) }
    }

    /// Begins to read, on the calling thread.
    #[must_use]
    pub fn reader(&self) -> MemoryReader<'_> {
        MemoryReader { memory: self, net: FaultGuard::spread() }
    }

    /// Has the program protected none of the heap's memory?
    pub const fn sees_all(&self) -> bool {
        self.protected.is_empty()
    }

    /// Pages so far that could not be read, each counted as often as it was met.
    pub const fn unread(&self) -> usize {
        self.unread.get()
    }

    /// Calls `each` with the parts of `[start, end)`, the heap's memory, that are not protected and
    /// were ever touched.
    pub fn for_each_visible(
        &self,
        start: usize,
        end: usize,
        mut each: impl FnMut(usize, usize, Presence),
    ) {
        let mut at = start;
        let mut rest =
            self.protected.iter().skip_while(|&&(_, protected_end)| protected_end <= start);
        while at < end {
            let (from, to) = rest.next().copied().unwrap_or((usize::MAX, usize::MAX));
            let until = end.min(from.max(at));
            self.for_each_touched(at, until, &mut each);
            at = to.max(until);
        }
    }

    /// Calls `each` with the parts of `[start, end)` that were ever touched. What the kernel does
    /// not tell of is taken for a part that is elsewhere.
    pub fn for_each_touched(
        &self,
        start: usize,
        end: usize,
        mut each: impl FnMut(usize, usize, Presence),
    ) {
        if start >= end {
            return;
        }
        let untold = match &self.pages {
            None => Err(start),
            Some(pages) => pages.for_each_run(
                round_down(start, PAGE),
                round_up(end, PAGE),
                |from, to, presence| each(from.max(start), to.min(end), presence),
            ),
        };
        if let Err(from) = untold {
            each(from.max(start), end, Presence::Elsewhere);
        }
    }
}

impl MemoryReader<'_> {
    /// The memory that it reads.
    pub const fn memory(&self) -> &Memory {
        self.memory
    }

    /// The word at `at`, a multiple of 8; `None`: it cannot be read.
    #[inline]
    pub fn word(&self, at: usize) -> Option<usize> {
        safe_read::read_word(&self.net, at).or_else(|| {
            let mut bytes = [0; WORD];
            let got = self.memory.kernel.read(at, &mut bytes);
            (got == WORD).then(|| usize::from_ne_bytes(bytes))
        })
    }

    /// Calls `each` with the words of `[start, end)` in the window, and where they stand, until it
    /// breaks. They are read in place; pages that cannot be are copied.
    #[inline]
    pub fn words_in_place(
        &self,
        start: usize,
        end: usize,
        window: Window,
        mut each: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (mut at, end) = (round_up(start, WORD), round_down(end, WORD));
        while at < end {
            match safe_read::for_each_word(&self.net, at, end, window, &mut each) {
                Ok(flow) => return flow,
                Err(fault) => {
                    let next = end.min(round_down(fault, PAGE) + PAGE);
                    self.words_copied(fault, next, window, &mut each)?;
                    at = next;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// As [`Self::words_in_place`], but every word is one of a copy that the kernel makes.
    #[cold]
    pub fn words_copied(
        &self,
        start: usize,
        end: usize,
        window: Window,
        mut each: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (mut at, end) = (round_up(start, WORD), round_down(end, WORD));
        let mut piece = vec![0usize; PIECE.min(end.saturating_sub(at)) / WORD];
        while at < end {
            let copy = piece.as_mut_ptr();
            let wanted = (end - at).min(PIECE);
            // SAFETY: the vector has that many bytes, and any bytes are words.
            let bytes = unsafe { core::slice::from_raw_parts_mut(copy.cast::<u8>(), wanted) };
            let got = round_down(self.memory.kernel.read(at, bytes), WORD);
            if got == 0 {
                self.memory.unread.set(self.memory.unread.get() + 1);
                at = round_down(at, PAGE) + PAGE;
                continue;
            }
            let copy = copy as usize;
            let report =
                safe_read::for_each_word(&self.net, copy, copy + got, window, |place, word| {
                    each(at + (place - copy), word)
                });
            if let Ok(ControlFlow::Break(())) = report {
                return ControlFlow::Break(());
            }
            at += got;
        }
        ControlFlow::Continue(())
    }

    /// As [`Self::words_in_place`] where the pages are in memory, else as [`Self::words_copied`].
    #[inline]
    pub fn words(
        &self,
        (start, end, presence): (usize, usize, Presence),
        window: Window,
        each: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match presence {
            Presence::InMemory => self.words_in_place(start, end, window, each),
            Presence::Elsewhere => self.words_copied(start, end, window, each),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory;

    /// Every word that is not 0.
    const ANY: Window = Window { mask: usize::MAX, lowest: 1, span: usize::MAX - 1 };

    #[test]
    fn untouched_and_protected_parts_are_left_out() {
        let start = memory::map(16 * PAGE).expect("memory");
        for page in [1, 2, 9] {
            // SAFETY: our own fresh pages.
            unsafe { ((start + page * PAGE) as *mut u8).write(1) };
        }
        let parts = |memory: &Memory, from: usize, to: usize| {
            let mut parts = Vec::new();
            memory.for_each_visible(start + from, start + to, |from, to, presence| {
                assert_eq!(presence, Presence::InMemory);
                parts.push((from - start, to - start));
            });
            parts
        };
        let all = Memory::new(Vec::new());
        assert_eq!(parts(&all, 8, 16 * PAGE), [(PAGE, 3 * PAGE), (9 * PAGE, 10 * PAGE)]);
        assert_eq!(parts(&all, 2 * PAGE + 8, 2 * PAGE + 80), [(2 * PAGE + 8, 2 * PAGE + 80)]);
        let some = Memory::new(vec![(start + 2 * PAGE, start + 9 * PAGE + 64)]);
        let expected = [(PAGE, 2 * PAGE), (9 * PAGE + 64, 10 * PAGE)];
        assert_eq!(parts(&some, 0, 16 * PAGE), expected);
        assert!(parts(&some, 3 * PAGE, 4 * PAGE).is_empty());
        // SAFETY: our own pages.
        unsafe { memory::unmap(start, 16 * PAGE) };
    }

    #[test]
    fn a_page_that_cannot_be_read_costs_that_page() {
        let start = memory::reserve(5 * PAGE).expect("address space");
        for page in [0, 2, 4] {
            // SAFETY: pages of what was reserved just now.
            unsafe {
                assert!(memory::commit(start + page * PAGE, PAGE));
                ((start + page * PAGE + 8) as *mut usize).write(page + 1);
            }
        }
        let memory = Memory::new(Vec::new());
        let reader = memory.reader();
        for in_place in [true, false] {
            let mut found = Vec::new();
            let mut each = |at: usize, word: usize| {
                found.push((at - start, word));
                ControlFlow::Continue(())
            };
            let before = memory.unread();
            let _ = match in_place {
                true => reader.words_in_place(start, start + 5 * PAGE, ANY, &mut each),
                false => reader.words_copied(start, start + 5 * PAGE, ANY, &mut each),
            };
            assert_eq!(found, [(8, 1), (2 * PAGE + 8, 3), (4 * PAGE + 8, 5)]);
            assert_eq!(memory.unread() - before, 2);
        }
        drop(reader);
        // SAFETY: reserved above, and not used any more.
        unsafe { memory::unmap(start, 5 * PAGE) };
    }
}
