//! Linked lists and binary trees, built and torn down.

use std::ptr::NonNull;

use super::block::{Block, Ledger};

/// Nodes of a list.
const LENGTH: u64 = 2000;
/// Levels of a tree.
const LEVELS: u32 = 11;
/// Nodes of a list and a tree together.
const NODES: u64 = LENGTH + (1 << LEVELS) - 1;

/// A list's node; its block is larger by what it carries.
struct Link {
    next: Option<NonNull<Link>>,
}

/// A tree's node.
struct Branch {
    children: [Option<NonNull<Branch>>; 2],
    /// A block of its own, as a string in a record is.
    payload: Option<Block>,
}

/// Builds a list and a tree, tears them down, and does so again.
pub(crate) fn structures(operations: u64) -> Ledger {
    let mut stats = Ledger::default();
    for _ in 0..operations.div_ceil(2 * NODES) {
        let list = build_list(&mut stats);
        let tree = build_tree(&mut stats, LEVELS - 1);
        tear_down_list(&mut stats, list);
        tear_down_tree(&mut stats, tree);
    }
    stats
}

fn build_list(stats: &mut Ledger) -> Option<NonNull<Link>> {
    (0..LENGTH).fold(None, |next, position| {
        let size = if position % 3 == 0 { 72 } else { 24 };
        Some(stats.place(size, Link { next }))
    })
}

fn tear_down_list(stats: &mut Ledger, mut list: Option<NonNull<Link>>) {
    while let Some(link) = list {
        // SAFETY: the list's nodes were placed by build_list, and each is freed once it is read.
        list = unsafe { link.read() }.next;
        // SAFETY: the node was placed by build_list and is read already; no pointer to it is left.
        unsafe { release(stats, link) };
    }
}

/// A full tree; each leaf that is a left child has a payload, from calloc, in place of the right.
fn build_tree(stats: &mut Ledger, levels: u32) -> Option<NonNull<Branch>> {
    if levels == 0 {
        let payload = Some(stats.allocate_zeroed(100));
        return Some(stats.place(48, Branch { children: [None, None], payload }));
    }
    let left = build_tree(stats, levels - 1);
    // The payloads' number is the lowest level's, which the right half of it makes up for.
    let right = if levels == 1 { None } else { build_tree(stats, levels - 1) };
    Some(stats.place(48, Branch { children: [left, right], payload: None }))
}

fn tear_down_tree(stats: &mut Ledger, tree: Option<NonNull<Branch>>) {
    let Some(branch) = tree else { return };
    // SAFETY: the tree's nodes were placed by build_tree, and each is freed once it is read.
    let Branch { children, payload } = unsafe { branch.read() };
    for child in children {
        tear_down_tree(stats, child);
    }
    if let Some(payload) = payload {
        stats.release(payload);
    }
    // SAFETY: the node was placed by build_tree and is read already; no pointer to it is left.
    unsafe { release(stats, branch) };
}

/// Frees a node.
///
/// # Safety
/// The node is from `Ledger::place`, and this is the last use of its address.
unsafe fn release<T>(stats: &mut Ledger, node: NonNull<T>) {
    // SAFETY: a placed node is at the start of its block, whose address the caller gives up.
    if let Some(block) = unsafe { Block::from_raw(node.as_ptr().cast()) } {
        stats.release(block);
    }
}
