//! Which pages a program has touched (`/proc/self/pagemap`): the others hold nothing, and reading them would
//! bring them in, or fault where a file has become shorter.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::heap::size::PAGE;

/// The kernel's word on the process's pages.
pub struct PageMap(File);

/// Entries read at a time.
const ENTRIES: usize = 4096;
/// In an entry: the page is there, or in swap.
const PRESENT: u64 = 0b11 << 62;

impl PageMap {
    /// `None`: /proc does not say.
    pub fn open() -> Option<Self> {
        File::open("/proc/self/pagemap").ok().map(Self)
    }

    /// Calls `each` with every run of touched pages in `[start, end)`, both multiples of the page size. `false`:
    /// the kernel did not say; `each` was not called then.
    pub fn for_each_run(
        &self,
        start: usize,
        end: usize,
        mut each: impl FnMut(usize, usize),
    ) -> bool {
        let mut buffer = vec![0u8; ENTRIES.min((end - start) / PAGE) * 8];
        let mut run = None;
        let mut page = start;
        while page < end {
            let wanted = ((end - page) / PAGE * 8).min(buffer.len());
            let Some(bytes) = buffer.get_mut(..wanted) else { break };
            if self.0.read_exact_at(bytes, (page / PAGE * 8) as u64).is_err() {
                if page == start {
                    return false;
                }
                // What is not known is looked at.
                each(run.unwrap_or(page), end);
                return true;
            }
            let (entries, _) = bytes.as_chunks::<8>();
            for entry in entries {
                let is_there = u64::from_ne_bytes(*entry) & PRESENT != 0;
                match (is_there, run) {
                    (true, None) => run = Some(page),
                    (false, Some(from)) => {
                        each(from, page);
                        run = None;
                    }
                    _ => {}
                }
                page += PAGE;
            }
        }
        if let Some(from) = run {
            each(from, end);
        }
        true
    }
}
