//! Which pages a program has touched (`/proc/self/pagemap`): the others hold nothing, and reading
//! them would bring them in, or fault where a file has become shorter.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::heap::size::PAGE;

/// The kernel's word on the process's pages.
pub struct PageMap(File);

/// Entries read at a time.
const ENTRIES: usize = 4096;
/// In an entry (Documentation/admin-guide/mm/pagemap.rst): the page is in memory; it is in swap, or
/// something stands in for it; it is a guard.
pub(super) const IN_MEMORY: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const GUARD: u64 = 1 << 58;

/// The page is a file's, or of shared memory.
const OF_FILE: u64 = 1 << 61;

/// Is the page at an address there, and of private memory without a file? `None`: the kernel does
/// not say.
pub fn is_anonymous(page: usize) -> Option<bool> {
    let pages = PageMap::open()?;
    let mut entry = [0; 8];
    pages.0.read_exact_at(&mut entry, (page / PAGE * 8) as u64).ok()?;
    let entry = u64::from_ne_bytes(entry);
    Some(entry & (IN_MEMORY | SWAPPED) != 0 && entry & OF_FILE == 0)
}

/// Where a touched page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// In memory.
    InMemory,
    /// In swap, or it cannot be read at all: before Linux 6.15 a guard looks like a page in swap.
    Elsewhere,
}

const fn presence_of(entry: u64) -> Option<Presence> {
    if entry & IN_MEMORY != 0 {
        Some(Presence::InMemory)
    } else if entry & SWAPPED != 0 && entry & GUARD == 0 {
        Some(Presence::Elsewhere)
    } else {
        None
    }
}

impl PageMap {
    /// `None`: /proc does not say.
    pub fn open() -> Option<Self> {
        File::open("/proc/self/pagemap").ok().map(Self)
    }

    /// Calls `each` with every run of touched pages in `[start, end)`, both multiples of the page
    /// size. `Err`: from that address on the kernel did not say.
    pub fn for_each_run(
        &self,
        start: usize,
        end: usize,
        mut each: impl FnMut(usize, usize, Presence),
    ) -> Result<(), usize> {
        let mut buffer = vec![0u8; ENTRIES.min((end - start) / PAGE) * 8];
        let mut run = None;
        let mut page = start;
        while page < end {
            let wanted = ((end - page) / PAGE * 8).min(buffer.len());
            let Some(bytes) = buffer.get_mut(..wanted) else { break };
            if self.0.read_exact_at(bytes, (page / PAGE * 8) as u64).is_err() {
                finish(run, page, &mut each);
                return Err(page);
            }
            let (entries, _) = bytes.as_chunks::<8>();
            for entry in entries {
                let presence = presence_of(u64::from_ne_bytes(*entry));
                if run.map(|(_, presence)| presence) != presence {
                    finish(run, page, &mut each);
                    run = presence.map(|presence| (page, presence));
                }
                page += PAGE;
            }
        }
        finish(run, end, &mut each);
        Ok(())
    }
}

/// Hands on a run that ends at `end`.
fn finish(
    run: Option<(usize, Presence)>,
    end: usize,
    each: &mut impl FnMut(usize, usize, Presence),
) {
    if let Some((start, presence)) = run {
        each(start, end, presence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_and_untouched_pages_are_not_there() {
        assert_eq!(presence_of(1 << 63), Some(Presence::InMemory));
        assert_eq!(presence_of(1 << 62), Some(Presence::Elsewhere));
        assert_eq!((presence_of(0), presence_of(1 << 62 | 1 << 58)), (None, None));
    }
}
