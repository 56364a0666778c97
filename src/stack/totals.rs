//! What each site has allocated: blocks, bytes, and the most bytes that were live at once.
//!
//! Every thread counts for itself, in records that no other thread writes: the sum over all threads is what
//! is reported. A block that another thread frees is counted there, which would make the allocating thread's
//! live bytes too many: what a thread has freed of others' goes back in portions of 16 KiB, taken
//! up before a new peak is believed. With one thread peaks are exact; with more they are the sum of the
//! threads' own, which were not all at the same time.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::depot::SiteId;
use crate::sys::memory;

/// Sites in a segment: 64 KiB of records.
const SEGMENT: usize = 1 << 11;
/// Segments of a table; sites beyond them are not counted.
const SEGMENTS: usize = 1 << 9;
/// Bytes of others' blocks that a thread has freed and keeps to itself.
const PORTION: u64 = 16 << 10;

/// One thread's counts of one site. All zero at first.
#[derive(Default)]
struct Record {
    blocks: AtomicU64,
    bytes: AtomicU64,
    freed: AtomicU64,
    peak: AtomicU64,
}

/// The counts of one thread, or shared ones: a table of segments that are mapped as they are used.
pub(super) struct Table<T>([AtomicPtr<T>; SEGMENTS]);

/// A thread's counts. In zeroed memory, none.
pub(super) struct Counts(Table<Record>);

/// What threads have freed of others' blocks, by site, until an allocating one takes it up.
static PORTIONS: Table<AtomicU64> = Table::new();

/// The counts of one site over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteCounts {
    /// Blocks allocated in all.
    pub blocks: u64,
    /// Bytes allocated in all.
    pub bytes: u64,
    /// Bytes freed in all.
    pub freed: u64,
    /// Most bytes live at once.
    pub peak: u64,
}

impl<T> Table<T> {
    const fn new() -> Self {
        Self([const { AtomicPtr::new(core::ptr::null_mut()) }; SEGMENTS])
    }

    #[inline(always)]
    fn get(&self, site: SiteId) -> Option<&T> {
        let at = site.0 as usize;
        let segment = self.0.get(at / SEGMENT)?.load(Ordering::Acquire);
        if segment.is_null() {
            return None;
        }
        // SAFETY: a segment has that many entries, which are valid when zero, and stays.
        Some(unsafe { &*segment.add(at % SEGMENT) })
    }

    #[cold]
    #[inline(never)]
    fn make(&self, site: SiteId) -> Option<&T> {
        let segment = self.0.get(site.0 as usize / SEGMENT)?;
        memory::load_or_map(segment, SEGMENT * size_of::<T>(), |_| {})?;
        self.get(site)
    }
}

/// Adds to a counter that only the calling thread writes; returns the sum.
#[inline(always)]
fn add(counter: &AtomicU64, more: u64) -> u64 {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(more);
    counter.store(sum, Ordering::Relaxed);
    sum
}

impl Counts {
    #[inline(always)]
    fn record(&self, site: SiteId) -> Option<&Record> {
        self.0.get(site).or_else(|| self.0.make(site))
    }

    /// The thread has allocated a block.
    #[inline(always)]
    pub(super) fn add_block(&self, site: SiteId, bytes: usize) {
        let Some(record) = self.record(site) else { return };
        add(&record.blocks, 1);
        let allocated = add(&record.bytes, bytes as u64);
        let live = allocated.wrapping_sub(record.freed.load(Ordering::Relaxed)) as i64;
        if live > record.peak.load(Ordering::Relaxed) as i64 {
            record.raise_peak(site, allocated);
        }
    }

    /// The thread has freed a block that it or another one had allocated.
    #[inline(always)]
    pub(super) fn remove_block(&self, site: SiteId, bytes: usize) {
        let Some(record) = self.record(site) else { return };
        let freed = add(&record.freed, bytes as u64);
        let over = freed.wrapping_sub(record.bytes.load(Ordering::Relaxed)) as i64;
        if over > PORTION as i64 {
            record.hand_over(site, freed, over as u64);
        }
    }
}

impl Record {
    #[inline(always)]
    fn raise_peak(&self, site: SiteId, allocated: u64) {
        let mut freed = self.freed.load(Ordering::Relaxed);
        if let Some(portions) = PORTIONS.get(site)
            && portions.load(Ordering::Relaxed) != 0
        {
            freed = add(&self.freed, portions.swap(0, Ordering::Relaxed));
        }
        let live = allocated.wrapping_sub(freed) as i64;
        if live > self.peak.load(Ordering::Relaxed) as i64 {
            self.peak.store(live as u64, Ordering::Relaxed);
        }
    }

    /// What was freed of other threads' blocks is theirs to subtract.
    #[cold]
    #[inline(never)]
    fn hand_over(&self, site: SiteId, freed: u64, over: u64) {
        if let Some(portions) = PORTIONS.get(site).or_else(|| PORTIONS.make(site)) {
            self.freed.store(freed.wrapping_sub(over), Ordering::Relaxed);
            portions.fetch_add(over, Ordering::Relaxed);
        }
    }
}

/// A thread without counts of its own has freed a block: it is past its end.
#[cold]
pub(super) fn remove_block_of_ended(site: SiteId, bytes: usize) {
    if let Some(portions) = PORTIONS.get(site).or_else(|| PORTIONS.make(site)) {
        portions.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The sum of a site's counts over those of all threads.
pub(super) fn sum<'a>(site: SiteId, all: impl Iterator<Item = &'a Counts>) -> SiteCounts {
    let mut sum = SiteCounts::default();
    for record in all.filter_map(|counts| counts.0.get(site)) {
        sum.blocks += record.blocks.load(Ordering::Relaxed);
        sum.bytes += record.bytes.load(Ordering::Relaxed);
        sum.freed += record.freed.load(Ordering::Relaxed);
        sum.peak += record.peak.load(Ordering::Relaxed);
    }
    sum.freed += PORTIONS.get(site).map_or(0, |portions| portions.load(Ordering::Relaxed));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sites of these tests alone.
    const FIRST: u32 = 900_000;

    fn counts() -> Counts {
        Counts(Table::new())
    }

    #[test]
    fn one_thread_is_counted_exactly() {
        let (mine, site) = (counts(), SiteId(FIRST));
        for round in 0..10 {
            (0..=round).for_each(|_| mine.add_block(site, 100));
            (0..=round).for_each(|_| mine.remove_block(site, 100));
        }
        mine.add_block(site, 7);
        let expected = SiteCounts { blocks: 56, bytes: 5507, freed: 5500, peak: 1000 };
        assert_eq!(sum(site, [&mine].into_iter()), expected);
        assert_eq!(sum(SiteId(FIRST + 1), [&mine].into_iter()), SiteCounts::default());
    }

    #[test]
    fn blocks_freed_by_another_thread_make_no_peak() {
        let (one, other, site) = (counts(), counts(), SiteId(FIRST + 2));
        for _ in 0..100_000 {
            one.add_block(site, 64);
            other.remove_block(site, 64);
        }
        let sum = sum(site, [&one, &other].into_iter());
        assert_eq!((sum.blocks, sum.bytes, sum.freed), (100_000, 6_400_000, 6_400_000));
        assert!((64..=2 * PORTION).contains(&sum.peak), "{}", sum.peak);
    }

    #[test]
    fn a_site_beyond_the_table_is_not_counted() {
        let (mine, site) = (counts(), SiteId((SEGMENT * SEGMENTS) as u32));
        mine.add_block(site, 1);
        mine.remove_block(site, 1);
        assert_eq!(sum(site, [&mine].into_iter()), SiteCounts::default());
    }
}
