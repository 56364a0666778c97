//! Small chunks that the cache put back, by class, not coalesced yet: what is freed in one phase is
//! asked for in the next, and to split and join chunks in between costs ten times as much.
//!
//! The addresses are kept in the chunks' own memory: one of several is a node, which holds those of
//! the others, so that few chunks are touched. What stands there is not trusted. A node seals its
//! link and the sum over the entries of the node behind; a link is followed only if the seal holds,
//! and entries are used only if they have that sum. To the heap these chunks are in use.

use core::ptr::NonNull;

use crate::arena::size_class::{CLASSES, Class};
use crate::heap::size::WORD;
use crate::heap::{Corrupt, Corruption};

/// Largest chunk that is stocked; larger ones coalesce at once.
const LARGEST: usize = 512;

/// The chunks of one class. All zero is none.
#[derive(Clone, Copy)]
struct ClassList {
    /// Payload of the node in front, 0: none.
    node: usize,
    /// Entries in it, and their sum.
    count: usize,
    sum: u64,
    /// Chunks in all, nodes included.
    chunks: usize,
}

/// What a node's payload starts with; entries follow.
#[repr(C)]
struct ListNode {
    next: usize,
    /// Sum over the next node's entries, which are as many as it holds.
    sum: u64,
    seal: u64,
}

/// Entries that a node of the class holds.
const fn room(class: Class) -> usize {
    (class.capacity() - size_of::<ListNode>()) / WORD
}

/// Lists by class.
pub(super) struct CentralFreeList {
    lists: [ClassList; CLASSES],
    bytes: usize,
    key: u64,
}

impl CentralFreeList {
    pub(super) const fn new() -> Self {
        let none = ClassList { node: 0, count: 0, sum: 0, chunks: 0 };
        Self { lists: [none; CLASSES], bytes: 0, key: 0 }
    }

    pub(super) fn set_key(&mut self, key: u64) {
        self.key = key;
    }

    /// Bytes of all chunks in stock.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn takes(class: Class) -> bool {
        class.chunk_size() <= LARGEST
    }

    const fn seal(&self, at: usize, next: usize, sum: u64) -> u64 {
        let mixed = (next as u64 ^ self.key)
            .wrapping_add((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_mul(0xd6e8_feb8_6659_fd93)
            .wrapping_add(sum);
        mixed ^ (mixed >> 32)
    }

    /// An entry's part of the sum: by its place, so that two that changed places show.
    const fn share(&self, entry: usize, index: usize) -> u64 {
        (entry as u64 ^ self.key).wrapping_mul((2 * index as u64 + 1) ^ 0x9e37_79b9_7f4a_7c14)
    }

    /// Puts chunks in, by the addresses of their payloads.
    ///
    /// # Safety
    /// Each is a payload of a chunk in use of the heap beside, has that class, and is the caller's
    /// to give.
    #[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_stock_put"))]
    pub(super) unsafe fn put(&mut self, class: Class, payloads: &[usize]) {
        let Some(mut list) = self.lists.get(class.index()).copied() else { return };
        let room = room(class);
        for &at in payloads {
            if list.node != 0 && list.count < room {
                // SAFETY: the node is a chunk of the class, put in before: it has room for so many.
                unsafe { entry(list.node, list.count).write(at) };
                list.sum = list.sum.wrapping_add(self.share(at, list.count));
                list.count += 1;
            } else {
                let seal = self.seal(at, list.node, list.sum);
                let node = ListNode { next: list.node, sum: list.sum, seal };
                // SAFETY: a payload is 16-aligned and has 24 bytes, by the caller's word the
                // heap's.
                unsafe { (at as *mut ListNode).write(node) };
                list = ClassList { node: at, count: 0, sum: 0, ..list };
            }
        }
        list.chunks += payloads.len();
        self.bytes += payloads.len() * class.chunk_size();
        self.set(class, list);
    }

    fn set(&mut self, class: Class, list: ClassList) {
        if let Some(place) = self.lists.get_mut(class.index()) {
            *place = list;
        }
    }

    /// Takes up to `most` chunks of a class out, one at a time, as long as `each` says so. `Err`: a
    /// node was overwritten; the rest of the class stays in use for good.
    pub(super) fn take(
        &mut self,
        class: Class,
        most: usize,
        mut each: impl FnMut(NonNull<u8>) -> bool,
    ) -> Result<usize, Corrupt> {
        let Some(mut list) = self.lists.get(class.index()).copied() else { return Ok(0) };
        let mut taken = 0;
        let mut goes_on = true;
        while taken < most && goes_on && list.node != 0 {
            if !self.holds(list) {
                return Err(self.lose(class, list));
            }
            while taken < most && goes_on && list.count != 0 {
                list.count -= 1;
                // SAFETY: an entry of the node whose sum just held: a chunk that `put` was given.
                let at = unsafe { entry(list.node, list.count).read() };
                list.sum = list.sum.wrapping_sub(self.share(at, list.count));
                taken += 1;
                goes_on = NonNull::new(at as *mut u8).is_none_or(&mut each);
            }
            if taken < most && goes_on {
                // SAFETY: the node is a chunk in stock, which stays mapped.
                let ListNode { next, sum, seal } = unsafe { (list.node as *const ListNode).read() };
                if seal != self.seal(list.node, next, sum) {
                    return Err(self.lose(class, list));
                }
                taken += 1;
                goes_on = NonNull::new(list.node as *mut u8).is_none_or(&mut each);
                list.node = next;
                list.count = if next == 0 { 0 } else { room(class) };
                list.sum = sum;
            }
        }
        list.chunks -= taken;
        self.bytes -= taken * class.chunk_size();
        self.set(class, list);
        Ok(taken)
    }

    /// Have the entries of the list's node the sum that they had?
    fn holds(&self, list: ClassList) -> bool {
        let sum = (0..list.count).fold(0, |sum: u64, index| {
            // SAFETY: the node has that many entries, and is a chunk in stock, which stays mapped.
            let at = unsafe { entry(list.node, index).read() };
            sum.wrapping_add(self.share(at, index))
        });
        sum == list.sum
    }

    #[cold]
    fn lose(&mut self, class: Class, list: ClassList) -> Corrupt {
        let counted = self.lists.get(class.index()).map_or(0, |list| list.chunks);
        self.bytes -= counted * class.chunk_size();
        self.set(class, ClassList { node: 0, count: 0, sum: 0, chunks: 0 });
        Corrupt { chunk: list.node - WORD, what: Corruption::Link }
    }
}

/// Place of an entry of the node at `node`.
const fn entry(node: usize, index: usize) -> *mut usize {
    (node + size_of::<ListNode>() + index * WORD) as *mut usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class() -> Class {
        Class::from_index(2).expect("a class")
    }

    #[test]
    fn what_is_put_in_comes_out_once() {
        // Room for two nodes and a part of a third.
        let count = 2 * (room(class()) + 1) + 2;
        let mut memory = vec![[0u64; 8]; count];
        let mut central_list = CentralFreeList::new();
        central_list.set_key(77);
        let payloads: Vec<_> =
            memory.iter_mut().map(|chunk| core::ptr::from_mut(chunk) as usize).collect();
        // SAFETY: the test's own memory, 64 bytes each.
        unsafe { central_list.put(class(), &payloads) };
        assert_eq!(central_list.bytes(), count * class().chunk_size());
        let mut seen = Vec::new();
        let mut take = |most| {
            central_list.take(class(), most, |payload| {
                seen.push(payload.as_ptr() as usize);
                true
            })
        };
        assert_eq!((take(3), take(99), take(1)), (Ok(3), Ok(count - 3), Ok(0)));
        seen.sort_unstable();
        assert_eq!(seen, payloads);
        assert_eq!(central_list.bytes(), 0);
    }

    /// Overwrites a word of a node's memory and takes all: the smashed node and what is behind it
    /// stay out.
    fn smashed(chunk: usize, word: usize) -> (Result<usize, Corrupt>, Vec<usize>) {
        let mut memory = vec![[0u64; 8]; 2 * (room(class()) + 1)];
        let mut central_list = CentralFreeList::new();
        central_list.set_key(77);
        for chunk in &mut memory {
            // SAFETY: the test's own memory, 64 bytes each.
            unsafe { central_list.put(class(), &[core::ptr::from_mut(chunk) as usize]) };
        }
        let start = memory.as_ptr() as usize;
        // SAFETY: the word is one of the test's own memory.
        unsafe { ((start + chunk * 64 + word * WORD) as *mut u64).write(0x4141_4141_4141_4141) };
        let mut seen = Vec::new();
        let taken = central_list.take(class(), 99, |payload| {
            seen.push((payload.as_ptr() as usize - start) / 64);
            true
        });
        assert_eq!(central_list.take(class(), 99, |_| true), Ok(0));
        assert_eq!(central_list.bytes(), 0);
        (taken, seen)
    }

    #[test]
    fn an_overwritten_node_is_not_followed() {
        let second = room(class()) + 1;
        for word in 0..3 {
            let (taken, seen) = smashed(second, word);
            assert!(matches!(taken, Err(Corrupt { what: Corruption::Link, .. })), "word {word}");
            assert!(seen.iter().all(|&chunk| chunk > second), "word {word}: {seen:?}");
        }
        // An entry of the node in front, then one of the node behind.
        for (chunk, word, rest) in [(second, 3, 0), (0, 4, second)] {
            let (taken, seen) = smashed(chunk, word);
            assert!(matches!(taken, Err(Corrupt { what: Corruption::Link, .. })));
            assert_eq!(seen.len(), rest);
        }
    }
}
