//! How much memory a heap holds, and how much of it is in use.

/// Usage of the heap, in bytes unless the name says chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory from `grow`, words included.
    pub held: usize,
    /// Chunks in use (not the mapped ones), words included.
    pub in_use: usize,
    /// Number of those.
    pub chunks: usize,
    /// Memory from `map`.
    pub mapped: usize,
    /// Number of mapped chunks.
    pub mapped_chunks: usize,
}

impl core::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.held += other.held;
        self.in_use += other.in_use;
        self.chunks += other.chunks;
        self.mapped += other.mapped;
        self.mapped_chunks += other.mapped_chunks;
    }
}

// Words that were valid once and are put back can make chunks larger than they are: then the counts
// go wrong, but do not wrap.
impl Usage {
    pub(super) fn forget_used(&mut self, size: usize, chunks: usize) {
        self.in_use = self.in_use.saturating_sub(size);
        self.chunks = self.chunks.saturating_sub(chunks);
    }

    pub(super) fn forget_mapped(&mut self, len: usize) {
        self.mapped = self.mapped.saturating_sub(len);
        self.mapped_chunks = self.mapped_chunks.saturating_sub(1);
    }
}
