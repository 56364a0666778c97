//! Sorting what is lost: which blocks nothing leads to any more, and which are lost only with those.
//!
//! Among the lost, the blocks that no other one leads to are direct leaks, and of a cycle that none leads to
//! exactly one is. Two passes find them: the first notes in which order blocks are finished, all that they
//! lead to looked through; taken from the last finished on, a block that none before it has led to is direct
//! (Kosaraju's order: what leads to a cycle is finished after it).

use super::chart::{Chart, Set};
use super::hidden::Hidden;
use super::mark::each_in;

/// How a block is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Loss {
    /// Nothing leads to it.
    Direct,
    /// Only lost blocks do.
    Indirect,
    /// It may be lost: only doubtful pointers lead to it, or not all threads could be looked at.
    Possible,
}

/// Puts every live block that is not [`Set::Reached`] into [`Set::Lost`]. What is reached has been marked.
pub fn find_lost(chart: &Chart<'_>) {
    chart.for_each_block(|block| {
        if !chart.contains(Set::Reached, block) {
            chart.add(Set::Lost, block);
        }
    });
}

/// Calls `each` with every block in [`Set::Lost`].
pub fn for_each_lost(chart: &Chart<'_>, hidden: &Hidden, mut each: impl FnMut(usize, Loss)) {
    let mut finished = Vec::new();
    let mut list = Vec::new();
    chart.clear(Set::Seen);
    chart.clear(Set::Held);
    chart.for_each_in(Set::Lost, |block| {
        list.push(block);
        visit(chart, hidden, Set::Seen, &mut list, |block| finished.push(block));
    });
    while let Some(block) = finished.pop() {
        list.push(block);
        visit(chart, hidden, Set::Held, &mut list, |held| {
            each(held, if held == block { Loss::Direct } else { Loss::Indirect });
        });
    }
}

/// Takes these blocks and all that they lead to out of [`Set::Lost`]; `each` gets them.
pub fn let_go(
    chart: &Chart<'_>,
    hidden: &Hidden,
    mut blocks: Vec<usize>,
    mut each: impl FnMut(usize),
) {
    while let Some(block) = blocks.pop() {
        if chart.remove(Set::Lost, block) {
            each(block);
            each_in(chart, hidden, block, |word| {
                blocks.extend(chart.follow(word).filter(|&next| chart.contains(Set::Lost, next)));
            });
        }
    }
}

/// A block that is being looked through: what it leads to has been put behind it in the list.
const OPEN: usize = 1;

/// Puts the one block in the list, if it is lost, and all that it leads to into `set`, and calls `done` with each
/// when all behind it are. The list is empty then.
fn visit(
    chart: &Chart<'_>,
    hidden: &Hidden,
    set: Set,
    list: &mut Vec<usize>,
    mut done: impl FnMut(usize),
) {
    while let Some(top) = list.last_mut() {
        let block = *top & !OPEN;
        if *top & OPEN != 0 {
            list.pop();
            done(block);
        } else if !chart.contains(Set::Lost, block) || !chart.add(set, block) {
            list.pop();
        } else {
            *top |= OPEN;
            let is_new =
                |next: &usize| chart.contains(Set::Lost, *next) && !chart.contains(set, *next);
            each_in(chart, hidden, block, |word| {
                list.extend(chart.follow(word).filter(is_new));
            });
        }
    }
}
