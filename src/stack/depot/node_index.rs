//! Stored stacks and their outer parts, by hash: tables that only grow, without a lock.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::sys::memory;

/// Slots of the first table; each further one has four times as many.
const FIRST_SLOTS: usize = 1 << 12;
const TABLES: usize = 10;
/// Slots looked at in each table: two cache lines.
const PROBES: usize = 8;
/// Looks at a slot whose site is being written.
const PATIENCE: usize = 1000;

/// A hash and the node it stands for; 0: not written yet.
pub(crate) struct IndexSlot {
    pub(crate) hash: AtomicU64,
    node: AtomicU32,
}

/// The tables, of which each further one is made when all before it are full where it matters.
pub(crate) struct NodeIndex {
    tables: [AtomicPtr<IndexSlot>; TABLES],
}

impl NodeIndex {
    /// Empty ones.
    pub(crate) const fn new() -> Self {
        Self { tables: [const { AtomicPtr::new(core::ptr::null_mut()) }; TABLES] }
    }

    pub(crate) fn table(&self, level: usize) -> Option<&[IndexSlot]> {
        let first = self.tables.get(level)?.load(Ordering::Acquire);
        if first.is_null() {
            return None;
        }
        // SAFETY: a table of that level has that many slots, and stays.
        Some(unsafe { core::slice::from_raw_parts(first, slots_of(level)) })
    }

    /// The node that the hash stands for.
    pub(crate) fn find(&self, hash: u64) -> Option<u32> {
        for level in 0..TABLES {
            for slot in slots_for(self.table(level)?, hash) {
                match slot.hash.load(Ordering::Acquire) {
                    0 => return None,
                    found if found == hash => {
                        let node = wait_for(slot);
                        if node.is_some() {
                            return node;
                        }
                    }
                    _ => {}
                }
            }
        }
        None
    }

    /// Lets the hash stand for the node, unless it already stands for one; returns which.
    pub(crate) fn publish(&self, hash: u64, node: u32) -> u32 {
        for level in 0..TABLES {
            let slot = self.tables.get(level);
            if slot
                .and_then(|slot| {
                    memory::load_or_map(slot, size_of::<IndexSlot>() * slots_of(level), |_| {})
                })
                .is_none()
            {
                break;
            }
            for slot in slots_for(self.table(level).unwrap_or(&[]), hash) {
                // Most are taken: to look costs a twentieth of an atomic step.
                let taken = match slot.hash.load(Ordering::Acquire) {
                    0 => slot.hash.compare_exchange(0, hash, Ordering::AcqRel, Ordering::Acquire),
                    found => Err(found),
                };
                match taken {
                    Ok(_) => {
                        slot.node.store(node, Ordering::Release);
                        return node;
                    }
                    Err(found) if found == hash => {
                        if let Some(other) = wait_for(slot) {
                            return other;
                        }
                    }
                    Err(_) => {}
                }
            }
        }
        // No room in the tables: the node works, it is only not found again.
        node
    }
}

const fn slots_of(level: usize) -> usize {
    FIRST_SLOTS << (2 * level)
}

pub(crate) fn slots_for(table: &[IndexSlot], hash: u64) -> impl Iterator<Item = &IndexSlot> {
    let groups = (table.len() / PROBES).max(1);
    let first = (hash >> 20) as usize % groups * PROBES;
    table.get(first..first + PROBES).unwrap_or(&[]).iter()
}

/// The slot's node. `None` if whoever took the slot does not write it: it may have been another
/// thread when this process was forked.
fn wait_for(slot: &IndexSlot) -> Option<u32> {
    for _ in 0..PATIENCE {
        match slot.node.load(Ordering::Acquire) {
            0 => core::hint::spin_loop(),
            node => return Some(node),
        }
    }
    None
}
