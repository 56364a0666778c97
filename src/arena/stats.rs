//! Counts of what the program asked for; sizes in bytes as requested. Each thread keeps its own;
//! who wants the sums reads them all.

use crate::model::site::HeapStats;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Net bytes of one thread that the process's sum may lag behind.
const LAG: i64 = 16 << 10;

/// The process's sums, in a pair of cache lines of their own: who tells does not take others' lines
/// away.
#[repr(align(128))]
struct ProcessSums {
    /// Bytes live in the whole process, as far as threads have told.
    live: AtomicI64,
    /// Largest value of that so far.
    peak: AtomicI64,
}

static SUMS: ProcessSums = ProcessSums { live: AtomicI64::new(0), peak: AtomicI64::new(0) };

/// One thread's counts: written by that thread alone, read by any.
#[derive(Default)]
pub struct ThreadStats {
    allocations: AtomicU64,
    frees: AtomicU64,
    /// Bytes handed out and taken back. The difference is below zero where others' blocks are
    /// freed.
    allocated: AtomicU64,
    freed: AtomicU64,
    /// `freed` and the largest difference since the process's sum was last told: where `allocated`
    /// is larger, the difference is at a new height.
    mark: AtomicU64,
    /// The difference that the process's sum knows of.
    report: AtomicI64,
}

impl ThreadStats {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            allocations: AtomicU64::new(0),
            frees: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            report: AtomicI64::new(0),
        }
    }

    /// A block of `size` bytes goes out. The thread's own counts only.
    #[inline(always)]
    pub fn count_allocation(&self, size: usize) {
        if self.note_allocation(size) {
            self.tell();
        }
    }

    /// Counts an allocation; `true`: [`ThreadStats::tell`] is due.
    #[inline(always)]
    #[must_use]
    pub fn note_allocation(&self, size: usize) -> bool {
        add(&self.allocations, 1);
        let allocated = self.allocated.load(Ordering::Relaxed).wrapping_add(size as u64);
        self.allocated.store(allocated, Ordering::Relaxed);
        allocated > self.mark.load(Ordering::Relaxed) && self.rise(allocated)
    }

    /// A block of `size` bytes came back. The thread's own counts only.
    #[inline(always)]
    pub fn count_free(&self, size: usize) {
        add(&self.frees, 1);
        add(&self.freed, size);
        add(&self.mark, size);
    }

    /// Blocks freed so far.
    pub fn frees(&self) -> u64 {
        self.frees.load(Ordering::Relaxed)
    }

    /// A block of `old` bytes has `new` bytes now, in its place.
    pub fn count_resize(&self, old: usize, new: usize) {
        self.count_free(old);
        self.count_allocation(new);
    }

    /// The difference is at a new height. Is that far above what the process's sum knows of?
    #[inline]
    fn rise(&self, allocated: u64) -> bool {
        self.mark.store(allocated, Ordering::Relaxed);
        let net = allocated.wrapping_sub(self.freed.load(Ordering::Relaxed)) as i64;
        net - self.report.load(Ordering::Relaxed) > LAG
    }

    /// Bytes handed out less bytes taken back, now.
    fn net(&self) -> i64 {
        let freed = self.freed.load(Ordering::Relaxed);
        self.allocated.load(Ordering::Relaxed).wrapping_sub(freed) as i64
    }

    /// Largest value of that since the process's sum was told.
    fn high(&self) -> i64 {
        let freed = self.freed.load(Ordering::Relaxed);
        self.mark.load(Ordering::Relaxed).wrapping_sub(freed) as i64
    }

    /// Brings the process's sum up to date. To be called now and then by who frees.
    #[cold]
    #[inline(never)]
    pub fn tell(&self) {
        let (report, net) = (self.report.load(Ordering::Relaxed), self.net());
        let before = SUMS.live.fetch_add(net - report, Ordering::Relaxed);
        SUMS.peak.fetch_max(before + self.high().max(net) - report, Ordering::Relaxed);
        self.report.store(net, Ordering::Relaxed);
        self.mark.store(self.allocated.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Adds these counts to `totals`.
    pub fn add_to(&self, totals: &mut HeapStats) {
        totals.allocations += self.allocations.load(Ordering::Relaxed);
        totals.frees += self.frees.load(Ordering::Relaxed);
        totals.allocated += self.allocated.load(Ordering::Relaxed);
        totals.live = totals.live.wrapping_add_signed(self.net());
        let high = self.high() - self.report.load(Ordering::Relaxed);
        let peak =
            (SUMS.live.load(Ordering::Relaxed) + high).max(SUMS.peak.load(Ordering::Relaxed));
        totals.peak = totals.peak.max(u64::try_from(peak).unwrap_or(0));
    }
}

/// Most bytes that were live in the whole process, as far as threads have told.
pub fn peak_bytes() -> usize {
    usize::try_from(SUMS.peak.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Adds to a count that this thread alone writes.
#[inline(always)]
fn add(count: &AtomicU64, more: usize) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more as u64), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because the process's sums are shared.
    #[test]
    fn totals_and_the_peak_are_exact_on_one_thread() {
        let stats = ThreadStats::new();
        for size in [100, 40_000, 7] {
            stats.count_allocation(size);
        }
        stats.count_free(40_000);
        stats.count_resize(100, 20);
        let mut totals = HeapStats::default();
        stats.add_to(&mut totals);
        let expected =
            HeapStats { allocations: 4, frees: 2, allocated: 40_127, live: 27, peak: 40_107 };
        assert_eq!(totals, expected);
        stats.tell();
        assert_eq!(SUMS.live.load(Ordering::Relaxed), 27);
    }
}
