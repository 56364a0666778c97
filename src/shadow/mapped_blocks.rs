//! Blocks with a mapping of their own, by address: what a pointer into one is described with, and
//! where freed ones wait, their pages dropped and every access to them a fault.
//!
//! A cold map, so a plain one: behind our own lock because fork must be able to hold it, which the
//! shards of a concurrent map do not allow.

use core::hash::BuildHasherDefault;

use crate::heap::Span;
use crate::model::finding::Block;
use crate::sys::stable_hash::StableMap;
use crate::sys::thread::ToolWork;

/// Freed mappings kept at a time, and the address space they may take.
const MOST_SEALED: usize = 64;
const MOST_SEALED_BYTES: usize = 256 << 20;

/// A block and its mapping.
#[derive(Clone, Copy, Debug)]
pub struct MappedBlock {
    /// The mapping.
    pub span: Span,
    /// The block; its `life` says whether it was freed and waits.
    pub block: Block,
    /// Was it emptied when it was freed, so that a touched page tells of a late write? Else every
    /// access to it faults.
    pub is_emptied: bool,
}

/// All mapped blocks, live and sealed.
pub struct MappedBlocks {
    by_user: StableMap<usize, MappedBlock>,
    sealed: [usize; MOST_SEALED],
    first_sealed: usize,
    sealed_count: usize,
    sealed_bytes: usize,
}

impl MappedBlocks {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            by_user: StableMap::with_hasher(BuildHasherDefault::new()),
            sealed: [0; MOST_SEALED],
            first_sealed: 0,
            sealed_count: 0,
            sealed_bytes: 0,
        }
    }

    /// Lists a block. `false`: no memory for that.
    pub fn insert(&mut self, mapped: MappedBlock) -> bool {
        // What the list itself needs is the tool's.
        let _work = ToolWork::begin();
        if self.by_user.try_reserve(1).is_err() {
            return false;
        }
        self.by_user.insert(mapped.block.user, mapped);
        true
    }

    /// The block that starts at `user`.
    pub fn get(&self, user: usize) -> Option<MappedBlock> {
        self.by_user.get(&user).copied()
    }

    /// Forgets the block that starts at `user`.
    pub fn remove(&mut self, user: usize) -> Option<MappedBlock> {
        self.by_user.remove(&user)
    }

    /// The block whose mapping `address` is in.
    pub fn containing(&self, address: usize) -> Option<MappedBlock> {
        let inside =
            |mapped: &&MappedBlock| address >= mapped.span.start && address < mapped.span.end();
        self.by_user.values().find(inside).copied()
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &MappedBlock> {
        self.by_user.values()
    }

    /// Counts a listed block as freed and waiting. Then call [`MappedBlocks::over_budget`] until it
    /// is empty.
    pub fn seal(&mut self, block: Block, is_emptied: bool) {
        let Some(mapped) = self.by_user.get_mut(&block.user) else { return };
        mapped.block = block;
        mapped.is_emptied = is_emptied;
        self.sealed_bytes += mapped.span.len;
        let at = (self.first_sealed + self.sealed_count) % MOST_SEALED;
        if let Some(slot) = self.sealed.get_mut(at) {
            *slot = block.user;
        }
        self.sealed_count += 1;
    }

    /// Lists a block again that [`MappedBlocks::over_budget`] has given out.
    pub fn put_back(&mut self, mapped: MappedBlock) {
        if !self.is_full() && self.insert(mapped) {
            self.seal(mapped.block, mapped.is_emptied);
        }
    }

    /// Must a block go before another can be sealed?
    pub const fn is_full(&self) -> bool {
        self.sealed_count == MOST_SEALED
    }

    /// The oldest sealed block, forgotten, if there are more than the budget allows or `all` are
    /// to go.
    pub fn over_budget(&mut self, all: bool) -> Option<MappedBlock> {
        let over = self.sealed_bytes > MOST_SEALED_BYTES || self.sealed_count == MOST_SEALED;
        if self.sealed_count == 0 || !(all || over) {
            return None;
        }
        while self.sealed_count > 0 {
            let user = self.sealed.get(self.first_sealed).copied().unwrap_or(0);
            self.first_sealed = (self.first_sealed + 1) % MOST_SEALED;
            self.sealed_count -= 1;
            if let Some(mapped) = self.by_user.remove(&user) {
                self.sealed_bytes -= mapped.span.len;
                return Some(mapped);
            }
        }
        None
    }
}

impl Default for MappedBlocks {
    fn default() -> Self {
        Self::new()
    }
}
