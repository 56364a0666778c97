//! The address space as the kernel lists it: what of it is the program's own and may hold pointers.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::checks::CheckedHeap;
use crate::stack::modules;
use crate::sys::{maps, owned_maps};

/// Memory of the program in which words are no pointers: first byte and first byte behind.
static NO_POINTERS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Says where there is some: a fuzzer's notes of what the program has compared lead to blocks that
/// nobody has.
pub fn leave_out(start: usize, end: usize) {
    let [first, last] = &NO_POINTERS;
    first.store(start, Ordering::Relaxed);
    last.store(end, Ordering::Relaxed);
}

/// The origin of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Nothing but memory.
    Anonymous,
    /// Memory behind a module's last file mapping: its zero-initialised data.
    Bss,
    /// A file, which may have become shorter than its mapping.
    File,
}

/// A mapping that can be read and written.
#[derive(Clone, Copy, Debug)]
pub struct WritableMapping {
    /// First byte.
    pub start: usize,
    /// First byte behind.
    pub end: usize,
    /// Its origin.
    pub backing: Backing,
    /// May it be a thread's stack and nothing else? The first thread's is, and others have a guard
    /// in front.
    pub is_stack: bool,
    /// Is it the first thread's stack?
    pub is_first: bool,
}

impl WritableMapping {
    /// Is the address in it?
    pub const fn contains(&self, address: usize) -> bool {
        self.start <= address && address < self.end
    }
}

/// All of the process's mappings that matter.
#[derive(Default)]
pub struct AddressSpace {
    /// Readable and writable ranges, by ascending address.
    pub mappings: Vec<WritableMapping>,
    /// What can be read, not written, and comes from a file: constants, tables of functions among
    /// them.
    pub constants: Vec<(usize, usize)>,
    /// Unreadable ranges.
    hidden: Vec<(usize, usize)>,
    /// What is not the program's own data, by ascending address and apart from each other: our
    /// memory, and its heap.
    apart: Vec<(usize, usize)>,
}

impl AddressSpace {
    /// As it is now. `None`: the kernel does not say.
    pub fn read(heap: &CheckedHeap) -> Option<Self> {
        let mut space = Self::default();
        let mut module_end = 0;
        let mut guard_end = 0;
        let is_told = maps::for_each(|mapping| {
            let path = mapping.path();
            if mapping.readable && mapping.writable && !is_device(path) {
                let backing = match path.first() {
                    Some(b'/') => Backing::File,
                    _ if mapping.start == module_end => Backing::Bss,
                    _ => Backing::Anonymous,
                };
                let is_first = path == b"[stack]";
                let is_stack = is_first || mapping.start == guard_end;
                let (start, end) = (mapping.start, mapping.end);
                space.mappings.push(WritableMapping { start, end, backing, is_stack, is_first });
            }
            if mapping.readable && !mapping.writable && mapping.is_file() {
                space.constants.push((mapping.start, mapping.end));
            }
            if !mapping.readable {
                space.hidden.push((mapping.start, mapping.end));
                guard_end = mapping.end;
            }
            if mapping.is_file() || (mapping.start == module_end && path.is_empty()) {
                module_end = mapping.end;
            }
        });
        if !is_told || space.mappings.is_empty() {
            return None;
        }
        space.set_apart(heap);
        Some(space)
    }

    fn set_apart(&mut self, heap: &CheckedHeap) {
        let [start, end] = &NO_POINTERS;
        let mut apart = vec![modules::own()];
        apart.push((start.load(Ordering::Relaxed), end.load(Ordering::Relaxed)));
        owned_maps::for_each(|start, end| apart.push((start, end)));
        heap.for_each_stretch(|start, end| apart.push((start, end)));
        heap.for_each_mapped(|start, end, _| apart.push((start, end)));
        apart.sort_unstable();
        for (start, end) in apart {
            match self.apart.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => self.apart.push((start, end)),
            }
        }
    }

    /// Takes the list of what cannot be read of the heap's memory.
    pub fn take_hidden(&mut self, heap: &CheckedHeap) -> Vec<(usize, usize)> {
        let mut blocks = Vec::new();
        heap.for_each_stretch(|start, end| blocks.push((start, end)));
        heap.for_each_mapped(|start, end, live| blocks.extend(live.map(|_| (start, end))));
        let mut hidden = core::mem::take(&mut self.hidden);
        hidden.retain(|&(from, to)| blocks.iter().any(|&(start, end)| from < end && to > start));
        hidden
    }

    /// Calls `each` with the parts of `[start, end)` that are neither ours nor the heap's.
    pub fn for_each_own(&self, start: usize, end: usize, mut each: impl FnMut(usize, usize)) {
        let first = self.apart.partition_point(|&(_, apart_end)| apart_end <= start);
        let mut at = start;
        for &(from, to) in self.apart.get(first..).unwrap_or(&[]) {
            if from >= end {
                break;
            }
            if at < from {
                each(at, from);
            }
            at = at.max(to);
        }
        if at < end {
            each(at, end);
        }
    }

    /// Calls `each` with the parts of `[start, end)` that can be read and written.
    pub fn for_each_mapped(&self, start: usize, end: usize, mut each: impl FnMut(WritableMapping)) {
        let first = self.mappings.partition_point(|mapping| mapping.end <= start);
        for mapping in self.mappings.get(first..).unwrap_or(&[]) {
            if mapping.start >= end {
                break;
            }
            each(WritableMapping {
                start: mapping.start.max(start),
                end: mapping.end.min(end),
                ..*mapping
            });
        }
    }
}

/// Memory of a device, which a mere look may change; what the kernel keeps for its own purposes.
/// Memory that is shared by a name is none.
fn is_device(path: &[u8]) -> bool {
    let is_memory = path.starts_with(b"/dev/shm/") || path.starts_with(b"/dev/zero");
    path.starts_with(b"/dev/") && !is_memory
        || path.starts_with(b"anon_inode:")
        || path == b"[vvar]"
        || path == b"[vsyscall]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_apart_is_cut_out() {
        let apart = vec![(10, 20), (30, 40), (60, 70)];
        let space = AddressSpace { apart, ..AddressSpace::default() };
        let parts = |start, end| {
            let mut parts = Vec::new();
            space.for_each_own(start, end, |from, to| parts.push((from, to)));
            parts
        };
        assert_eq!(parts(0, 80), [(0, 10), (20, 30), (40, 60), (70, 80)]);
        assert_eq!(parts(15, 35), [(20, 30)]);
        assert_eq!(parts(42, 50), [(42, 50)]);
        assert!(parts(12, 18).is_empty());
    }

    #[test]
    fn devices_are_told_from_memory() {
        for memory in ["", "[heap]", "/dev/shm/x", "/dev/zero (deleted)", "/memfd:x (deleted)"] {
            assert!(!is_device(memory.as_bytes()), "{memory}");
        }
        for device in ["/dev/dri/card0", "/dev/mem", "anon_inode:[perf_event]", "[vvar]"] {
            assert!(is_device(device.as_bytes()), "{device}");
        }
    }
}
