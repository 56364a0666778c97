//! The bitmap of all live blocks: which block a word points into, and what has been found out about
//! it. Drawn while the other threads stand still, and valid as long.

use crate::arch;
use crate::arch::ADDRESS_MASK;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::checks::{CheckedHeap, Large};
use crate::heap::size::PAGE;
use crate::shadow::block_table::Leaf;
use crate::shadow::lookup;
use crate::sys::safe_read::Window;

/// Pages of a leaf, each with the block that reaches into it from in front.
const PAGES: usize = Leaf::BYTES / PAGE;
const WORDS: usize = Leaf::SLOTS / 64;

/// What is found out about a block: it is in this set, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSet {
    /// The program can reach it.
    Reached = 0,
    /// The program can reach it by pointers that are beyond doubt.
    Certain = 1,
    /// The program cannot reach it, and it is to be sorted.
    Lost = 2,
    /// It was come by among the lost ones, the first and the second time through.
    Seen = 3,
    /// See [`BlockSet::Seen`].
    Held = 4,
}

const SETS: usize = 5;

/// The marks of one leaf.
struct LeafMarks {
    /// For each page the last block that starts in front of it; 0: none.
    before: [usize; PAGES],
    sets: [[AtomicU64; WORDS]; SETS],
}

/// The bitmap.
pub struct MarkBitmap<'a> {
    heap: &'a CheckedHeap,
    /// Of leaves, by ascending address; the leaf's note is its place here plus one.
    sheets: Vec<Box<LeafMarks>>,
    leaves: Vec<&'static Leaf>,
    /// Live blocks with mappings of their own, by ascending address.
    large: Vec<Large>,
    lowest: usize,
    /// Bytes from there to the end of the last block.
    span: usize,
}

/// A fresh sheet in zeroed memory; `None` without any.
fn new_leaf_marks() -> Option<Box<LeafMarks>> {
    let layout = core::alloc::Layout::new::<LeafMarks>();
    // SAFETY: the layout is not empty, and zero is a valid sheet.
    unsafe {
        let leaf_marks = std::alloc::alloc_zeroed(layout).cast::<LeafMarks>();
        (!leaf_marks.is_null()).then(|| Box::from_raw(leaf_marks))
    }
}

impl<'a> MarkBitmap<'a> {
    /// Draws it. `None`: no memory for that.
    pub fn draw(heap: &'a CheckedHeap) -> Option<Self> {
        let mut large = Vec::new();
        heap.for_each_mapped(|_, _, live| large.extend(live));
        large.sort_unstable_by_key(|block| block.user);
        let mut marks = Self {
            heap,
            sheets: Vec::new(),
            leaves: lookup::leaves(),
            large,
            lowest: usize::MAX,
            span: 0,
        };
        let mut before = 0;
        for (place, leaf) in marks.leaves.iter().enumerate() {
            let mut leaf_marks = new_leaf_marks()?;
            for (page, slot) in leaf_marks.before.iter_mut().enumerate() {
                *slot = before;
                before = leaf.last_live(page * PAGE..=(page + 1) * PAGE - 1).unwrap_or(before);
            }
            leaf.note().store(place + 1, Ordering::Relaxed);
            marks.sheets.push(leaf_marks);
        }
        let ends = marks.leaves.iter().map(|leaf| leaf.base() + Leaf::BYTES);
        let highest = ends.chain(marks.large.iter().map(|block| block.user + block.size + 1)).max();
        let starts = marks.leaves.iter().map(|leaf| leaf.base());
        marks.lowest = starts.chain(marks.large.iter().map(|block| block.user)).min().unwrap_or(0);
        marks.span = highest.unwrap_or(0) - marks.lowest;
        Some(marks)
    }

    /// The heap that is marked.
    pub const fn heap(&self) -> &'a CheckedHeap {
        self.heap
    }

    /// The words that could lead to a block, whatever tag is in their upper bits. Most words are
    /// nowhere near one.
    pub const fn window(&self) -> Window {
        Window { mask: ADDRESS_MASK, lowest: self.lowest, span: self.span }
    }

    /// Could a word lead to a block, whatever tag is in its upper bits?
    #[inline(always)]
    fn is_near(&self, word: usize) -> bool {
        (word & ADDRESS_MASK).wrapping_sub(self.lowest) < self.span
    }

    /// Lets what is known of the place that a word leads to come near.
    #[inline(always)]
    pub fn prefetch(&self, word: usize) {
        if let Some(leaf) = Leaf::of(word & ADDRESS_MASK) {
            let offset = (word & ADDRESS_MASK) - leaf.base();
            leaf.prefetch(offset);
            // Blocks mostly are where words point to.
            let reached = self.leaf_marks(leaf).and_then(|leaf_marks| leaf_marks.sets.first());
            if let Some(bits) = reached.and_then(|bits| bits.get(offset / Leaf::SLOT / 64)) {
                arch::prefetch(core::ptr::from_ref(bits) as usize);
            }
        }
    }

    /// The live block that a word leads to, whatever tag is in its upper bits.
    #[inline(always)]
    pub fn follow(&self, word: usize) -> Option<usize> {
        if self.is_near(word) { self.find(word & ADDRESS_MASK) } else { None }
    }

    #[inline(always)]
    fn leaf_marks(&self, leaf: &Leaf) -> Option<&LeafMarks> {
        let place = leaf.note().load(Ordering::Relaxed).wrapping_sub(1);
        self.sheets.get(place).map(|leaf_marks| &**leaf_marks)
    }

    /// The live block that an address points to, at its start, into it, or just behind it: a list's
    /// end is kept so.
    #[inline(always)]
    pub fn find(&self, address: usize) -> Option<usize> {
        let Some(leaf) = Leaf::of(address) else { return self.find_large(address) };
        let offset = address - leaf.base();
        if leaf.is_live(offset) {
            return Some(address);
        }
        self.find_inside(leaf, offset, address)
    }

    #[inline(never)]
    fn find_inside(&self, leaf: &Leaf, offset: usize, address: usize) -> Option<usize> {
        let page = offset / PAGE;
        let start = match leaf.last_live(page * PAGE..=offset) {
            Some(start) => start,
            None => *self.leaf_marks(leaf)?.before.get(page)?,
        };
        if start != 0 && address - start <= self.heap.extent(start) {
            return Some(start);
        }
        self.find_large(address)
    }

    #[inline(never)]
    fn find_large(&self, address: usize) -> Option<usize> {
        let behind = self.large.partition_point(|block| block.user <= address);
        let block = self.large.get(behind.checked_sub(1)?)?;
        (address - block.user <= block.size).then_some(block.user)
    }

    #[inline(always)]
    fn bit(&self, set: BlockSet, block: usize) -> Option<(&AtomicU64, u64)> {
        let leaf = Leaf::of(block)?;
        let index = (block - leaf.base()) / Leaf::SLOT;
        let words = self.leaf_marks(leaf)?.sets.get(set as usize)?;
        Some((words.get(index / 64)?, 1 << (index % 64)))
    }

    /// Puts a block into a set. `false`: it was there.
    #[inline(always)]
    pub fn add(&self, set: BlockSet, block: usize) -> bool {
        self.bit(set, block).is_some_and(|(word, bit)| {
            let before = word.load(Ordering::Relaxed);
            word.store(before | bit, Ordering::Relaxed);
            before & bit == 0
        })
    }

    /// Takes a block out of a set. `false`: it was not there.
    pub fn remove(&self, set: BlockSet, block: usize) -> bool {
        self.bit(set, block).is_some_and(|(word, bit)| {
            let before = word.load(Ordering::Relaxed);
            word.store(before & !bit, Ordering::Relaxed);
            before & bit != 0
        })
    }

    /// Empties a set.
    pub fn clear(&self, set: BlockSet) {
        for words in self.sheets.iter().filter_map(|leaf_marks| leaf_marks.sets.get(set as usize)) {
            words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
    }

    /// Is a block in a set?
    #[inline(always)]
    pub fn contains(&self, set: BlockSet, block: usize) -> bool {
        self.bit(set, block).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Calls `each` with every block of a set.
    pub fn for_each_in(&self, set: BlockSet, mut each: impl FnMut(usize)) {
        for (leaf, leaf_marks) in self.leaves.iter().zip(&self.sheets) {
            for (at, word) in leaf_marks.sets.get(set as usize).into_iter().flatten().enumerate() {
                let mut bits = word.load(Ordering::Relaxed);
                while bits != 0 {
                    let index = at * 64 + bits.trailing_zeros() as usize;
                    each(leaf.start_in(index));
                    bits &= bits - 1;
                }
            }
        }
    }

    /// Calls `each` with every live block.
    pub fn for_each_block(&self, mut each: impl FnMut(usize)) {
        for leaf in &self.leaves {
            leaf.for_each_live(&mut each);
        }
    }
}
