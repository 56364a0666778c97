//! Sorting what is lost: which blocks nothing leads to any more, and which are lost only with
//! those.
//!
//! Among the lost, the blocks that no other one leads to are direct leaks, and of a cycle that none
//! leads to exactly one is. Two passes find them: the first notes in which order blocks are
//! finished, all that they lead to looked through; taken from the last finished on, a block that
//! none before it has led to is direct (Kosaraju's order: what leads to a cycle is finished after
//! it).

use super::graph::{Enter, Graph, Interior, Path, Reach, visit};
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
pub fn for_each_lost(graph: Graph<'_>, mut each: impl FnMut(usize, Loss)) {
    let marks = graph.marks;
    let (mut finished, mut path) = (Vec::new(), Path::default());
    marks.clear(BlockSet::Seen);
    marks.clear(BlockSet::Held);
    marks.for_each_in(BlockSet::Lost, |block| {
        visit(graph, BlockSet::Seen, block, &mut path, |block| finished.push(block));
    });
    while let Some(block) = finished.pop() {
        visit(graph, BlockSet::Held, block, &mut path, |held| {
            each(held, if held == block { Loss::Direct } else { Loss::Indirect });
        });
    }
}

/// Enters what is lost, which is lost no more.
struct LettingGo<'a, F> {
    marks: &'a MarkBitmap<'a>,
    each: F,
}

impl<F: FnMut(usize)> Enter for LettingGo<'_, F> {
    fn enter(&mut self, block: usize, _: usize) -> bool {
        let is_lost = self.marks.remove(BlockSet::Lost, block);
        if is_lost {
            (self.each)(block);
        }
        is_lost
    }
}

/// Takes these blocks and all that they lead to out of [`BlockSet::Lost`]; `each` gets them.
pub fn unmark_lost(graph: Graph<'_>, blocks: &[usize], each: impl FnMut(usize)) {
    let enter = LettingGo { marks: graph.marks, each };
    let mut reach = Reach::new(graph, Interior::Lenient, enter);
    blocks.iter().for_each(|&block| reach.block(block, 0));
    reach.finish();
}
