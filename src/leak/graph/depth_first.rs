//! Depth first: each block when all that it leads to is through.

use super::edges::{Graph, LARGE};
use crate::heap::size::{WORD, round_down, round_up};
use crate::leak::mark_bitmap::BlockSet;
use crate::leak::reader::MemoryReader;

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
    fn new(graph: Graph<'_>, block: usize) -> Self {
        let end = block + graph.marks.heap().extent(block);
        Self { block, at: block, until: block, end: round_down(end, WORD) }
    }

    /// The next lost block that is led to and not in `set`.
    fn next(&mut self, Graph { marks, reader }: Graph<'_>, set: BlockSet) -> Option<usize> {
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

/// The blocks that are being looked through, the first one's first.
#[derive(Default)]
pub struct Path(Vec<Open>);

/// Puts a block, if it is lost, and all lost ones that it leads to into `set`, and calls `done`
/// with each when all behind it are. `path` is empty before and after; it is as deep as the longest
/// way.
pub fn visit(
    graph: Graph<'_>,
    set: BlockSet,
    first: usize,
    path: &mut Path,
    mut done: impl FnMut(usize),
) {
    let (marks, path) = (graph.marks, &mut path.0);
    if !marks.contains(BlockSet::Lost, first) || !marks.add(set, first) {
        return;
    }
    path.push(Open::new(graph, first));
    while let Some(open) = path.last_mut() {
        match open.next(graph, set) {
            Some(next) => {
                marks.add(set, next);
                path.push(Open::new(graph, next));
            }
            None => {
                done(open.block);
                path.pop();
            }
        }
    }
}
