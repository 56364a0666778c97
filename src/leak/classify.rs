//! Sorting what is lost: which blocks nothing leads to any more, and which are lost only with
//! those.
//!
//! Among the lost, the blocks that no other one leads to are direct leaks, and of a cycle that none
//! leads to exactly one is. Two passes find them: the first notes in which order blocks are
//! finished, all that they lead to looked through; taken from the last finished on, a block that
//! none before it has led to is direct (Kosaraju's order: what leads to a cycle is finished after
//! it).

use super::mark::{LARGE, each_in};
use super::reader::MemoryReader;
use crate::heap::size::{WORD, round_down, round_up};
use crate::leak::mark_bitmap::{BlockSet, MarkBitmap};
use crate::model::leak_report::Loss;

/// Puts every live block that is not [`BlockSet::Reached`] into [`BlockSet::Lost`]. What is reached
/// has been marked.
pub fn find_lost(marks: &MarkBitmap<'_>) {
    marks.for_each_block(|block| {
        if !marks.contains(BlockSet::Reached, block) {
            marks.add(BlockSet::Lost, block);
        }
    });
}

/// Calls `each` with every block in [`BlockSet::Lost`].
pub fn for_each_lost(
    marks: &MarkBitmap<'_>,
    reader: &MemoryReader<'_>,
    mut each: impl FnMut(usize, Loss),
) {
    let mut finished = Vec::new();
    let mut path = Vec::new();
    marks.clear(BlockSet::Seen);
    marks.clear(BlockSet::Held);
    marks.for_each_in(BlockSet::Lost, |block| {
        visit(marks, reader, BlockSet::Seen, block, &mut path, |block| finished.push(block));
    });
    while let Some(block) = finished.pop() {
        visit(marks, reader, BlockSet::Held, block, &mut path, |held| {
            each(held, if held == block { Loss::Direct } else { Loss::Indirect });
        });
    }
}

/// Takes these blocks and all that they lead to out of [`BlockSet::Lost`]; `each` gets them.
pub fn let_go(
    marks: &MarkBitmap<'_>,
    reader: &MemoryReader<'_>,
    blocks: &[usize],
    mut each: impl FnMut(usize),
) {
    let mut waiting = Vec::new();
    let mut take = |block: usize, waiting: &mut Vec<usize>| {
        if marks.remove(BlockSet::Lost, block) {
            each(block);
            waiting.push(block);
        }
    };
    for &block in blocks {
        take(block, &mut waiting);
        while let Some(block) = waiting.pop() {
            each_in(marks, reader, block, |word| {
                if let Some(next) = marks.follow(word) {
                    take(next, &mut waiting);
                }
            });
        }
    }
}

/// A block that is being looked through, as far as that has come.
struct Open {
    block: usize,
    at: usize,
    /// The words from `at` up to here can be read.
    until: usize,
    end: usize,
}

/// Bytes of a large block of which it is asked at a time which can be read.
const PIECE: usize = 1 << 20;

impl Open {
    fn new(marks: &MarkBitmap<'_>, block: usize) -> Self {
        let end = block + marks.heap().extent(block);
        Self { block, at: block, until: block, end: round_down(end, WORD) }
    }

    /// The next lost block that is led to and not in `set`.
    fn next(
        &mut self,
        marks: &MarkBitmap<'_>,
        reader: &MemoryReader<'_>,
        set: BlockSet,
    ) -> Option<usize> {
        loop {
            while self.at < self.until {
                let word = reader.word(self.at);
                self.at += WORD;
                if let Some(next) = word.and_then(|word| marks.follow(word))
                    && marks.contains(BlockSet::Lost, next)
                    && !marks.contains(set, next)
                {
                    return Some(next);
                }
            }
            if self.until >= self.end {
                return None;
            }
            self.find_readable(reader);
        }
    }

    /// Goes on to the next words that can be read, or past a piece without any.
    fn find_readable(&mut self, reader: &MemoryReader<'_>) {
        let from = self.until;
        if self.end - from < LARGE && reader.memory().sees_all() {
            self.until = self.end;
            return;
        }
        let to = self.end.min(from + PIECE);
        let mut first = None;
        reader
            .memory()
            .for_each_visible(from, to, |start, end, _| first = first.or(Some((start, end))));
        let (at, until) = first.unwrap_or((to, to));
        (self.at, self.until) = (round_up(at, WORD), until);
    }
}

/// Puts a block, if it is lost, and all lost ones that it leads to into `set`, and calls `done`
/// with each when all behind it are. `path` is empty before and after; it is as deep as the longest
/// way.
fn visit(
    marks: &MarkBitmap<'_>,
    reader: &MemoryReader<'_>,
    set: BlockSet,
    first: usize,
    path: &mut Vec<Open>,
    mut done: impl FnMut(usize),
) {
    if !marks.contains(BlockSet::Lost, first) || !marks.add(set, first) {
        return;
    }
    path.push(Open::new(marks, first));
    while let Some(open) = path.last_mut() {
        match open.next(marks, reader, set) {
            Some(next) => {
                marks.add(set, next);
                path.push(Open::new(marks, next));
            }
            None => {
                done(open.block);
                path.pop();
            }
        }
    }
}
