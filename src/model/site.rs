//! Sites: numbers of stacks, and what is counted by them.

use serde::{Deserialize, Serialize};

/// The number of a stack within one process.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[repr(transparent)]
pub struct ProcessSite(pub u32);

impl ProcessSite {
    /// No stack: not captured, or not stored.
    pub const NONE: Self = Self(0);
}

/// The number of a stack within a recording, from 1.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[repr(transparent)]
pub struct RecordingSite(pub u32);

impl RecordingSite {
    /// No stack.
    pub const NONE: Self = Self(0);

    /// The place of the stack in the recording's list, from 0.
    pub const fn index(self) -> Option<u32> {
        self.0.checked_sub(1)
    }
}

/// How a stored stack ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StackEnd {
    /// At the frame that nothing called.
    Whole,
    /// There is no way to tell who called its outermost frame.
    Lost,
    /// It goes on, but that is not stored.
    Cut,
}

/// Unfreed blocks of one allocation site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteTotals {
    /// Number of blocks.
    pub blocks: u64,
    /// Their bytes as requested.
    pub bytes: u64,
}

impl SiteTotals {
    /// Adds other blocks. The sum saturates: what a recording says may be out of all bounds.
    pub fn add(&mut self, more: Self) {
        self.blocks = self.blocks.saturating_add(more.blocks);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// Allocations of one site, summed over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteCounts {
    /// Blocks allocated in all, by each thread modulo 2^32.
    pub blocks: u64,
    /// Bytes allocated in all.
    pub bytes: u64,
    /// Bytes freed in all.
    pub freed: u64,
    /// Most bytes live at once.
    pub peak: u64,
}

/// Allocations and frees of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapStats {
    /// Blocks handed out so far.
    pub allocations: u64,
    /// Blocks given back so far.
    pub frees: u64,
    /// Bytes handed out so far.
    pub allocated: u64,
    /// Bytes handed out and not given back.
    pub live: u64,
    /// Largest value of `live` so far; exact with one thread, within 16 KiB for each with more.
    pub peak: u64,
}
