//! The thresholds by which blocks are mapped and the top goes back.

/// Payloads from this size on are mapped at first.
const FIRST_THRESHOLD: usize = 128 << 10;
/// The threshold follows freed blocks up to this size.
const MAX_THRESHOLD: usize = 32 << 20;
/// Free bytes asked for beyond what is needed when the heap grows, and left when it is trimmed.
pub(super) const TOP_PAD: usize = 128 << 10;
/// Large heaps grow by more at a time, up to this.
pub(super) const MOST_PAD: usize = 2 << 20;

/// Thresholds in bytes; they follow the program as glibc's do.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Chunks from this size on get a mapping of their own.
    pub mmap_threshold: usize,
    /// More free memory than this at the top goes back.
    pub trim_threshold: usize,
    /// Do the thresholds rise as mapped blocks are freed?
    pub dynamic: bool,
    /// May memory go back at all?
    pub may_trim: bool,
}

impl Tuning {
    /// 128 KiB for both, rising.
    pub const DEFAULT: Self = Self {
        mmap_threshold: FIRST_THRESHOLD,
        trim_threshold: TOP_PAD,
        dynamic: true,
        may_trim: true,
    };

    /// A mapped block of `len` bytes was freed: the next one of its size comes from the heap.
    pub(super) fn follow(&mut self, len: usize) {
        if self.dynamic && len > self.mmap_threshold && len <= MAX_THRESHOLD {
            self.mmap_threshold = len;
            self.trim_threshold = 2 * len;
        }
    }
}
