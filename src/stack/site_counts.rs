//! Allocations of each site: blocks, bytes, and the peak of live bytes.
//!
//! Every thread counts for itself, in records that no other thread writes: the sum over all threads
//! is what is reported. A block that another thread frees is counted there, which would make the
//! allocating thread's live bytes too many: what a thread has freed of others' goes back in
//! portions of 16 KiB, taken up before a new peak is believed. With one thread peaks are exact;
//! with more they are the sum of the threads' own, which were not all at the same time.

use crate::model::site::SiteCounts;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::heap::size::{PAGE, round_up};
use crate::model::site::ProcessSite;
use crate::sys::{memory, shared_map};
use crate::trace;
use crate::trace::{CountRecord as Record, ExtentKind, Portion};

/// Segments of a table; sites beyond them are not counted.
const SEGMENTS: usize = 1 << 11;
/// Bytes of others' blocks that a thread has freed and keeps to itself.
const PORTION: u64 = 16 << 10;

/// What has an entry for each site, in segments that are extents of the record.
pub(super) trait CountEntry: Sized {
    /// What the extents are.
    const KIND: ExtentKind;
    /// Entries of a segment.
    const SEGMENT: usize = trace::EXTENT / size_of::<Self>();
}

impl CountEntry for Record {
    const KIND: ExtentKind = ExtentKind::Counts;
}

impl CountEntry for Portion {
    const KIND: ExtentKind = ExtentKind::Portions;
}

/// Something by site: a table of segments that are claimed as they are used. In zeroed memory,
/// none.
pub(super) struct CountTable<T>([AtomicPtr<T>; SEGMENTS]);

/// A thread's counts. In zeroed memory, none.
pub(super) struct SiteCounters(CountTable<Record>);

/// What threads have freed of others' blocks, until an allocating one takes it up. In memory that
/// no child inherits: its parent's are not its own.
static PORTIONS: AtomicPtr<CountTable<Portion>> = AtomicPtr::new(core::ptr::null_mut());

/// The table of portions, if there is one.
fn portions() -> Option<&'static CountTable<Portion>> {
    // SAFETY: null, or a table that stays.
    unsafe { PORTIONS.load(Ordering::Acquire).as_ref() }
}

/// A site's portion, made at first use.
#[cold]
fn make_portion(site: ProcessSite) -> Option<&'static Portion> {
    let bytes = round_up(size_of::<CountTable<Portion>>(), PAGE);
    memory::load_or_map(&PORTIONS, bytes, |table| {
        // SAFETY: fresh pages; an empty table is as good as one that was inherited.
        unsafe { shared_map::wipe_on_fork(table as usize, bytes) };
    })?;
    let table = portions()?;
    table.get(site).or_else(|| table.make(site))
}

/// Forgets what this process has inherited, where the kernel has not done so.
pub(super) fn renew_after_fork() {
    if let Some(portions) = portions() {
        portions.forget();
    }
}

impl<T: CountEntry> CountTable<T> {
    #[cfg(test)]
    const fn new() -> Self {
        Self([const { AtomicPtr::new(core::ptr::null_mut()) }; SEGMENTS])
    }

    #[inline(always)]
    fn get(&self, site: ProcessSite) -> Option<&T> {
        let at = site.0 as usize;
        let segment = self.0.get(at / T::SEGMENT)?.load(Ordering::Acquire);
        if segment.is_null() {
            return None;
        }
        // SAFETY: a segment has that many entries, which are valid when zero, and stays.
        Some(unsafe { &*segment.add(at % T::SEGMENT) })
    }

    #[cold]
    #[inline(never)]
    fn make(&self, site: ProcessSite) -> Option<&T> {
        let index = site.0 as usize / T::SEGMENT;
        let segment = self.0.get(index)?;
        let fresh = trace::claim(T::KIND, index as u32)?.address as *mut T;
        // If another thread was first, the extent goes unused.
        let (done, failed) = (Ordering::AcqRel, Ordering::Relaxed);
        let _ = segment.compare_exchange(core::ptr::null_mut(), fresh, done, failed);
        self.get(site)
    }

    fn forget(&self) {
        self.0.iter().for_each(|segment| segment.store(core::ptr::null_mut(), Ordering::Relaxed));
    }
}

/// Adds to a counter that only the calling thread writes; returns the sum.
#[inline(always)]
fn add(counter: &AtomicU64, more: u64) -> u64 {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(more);
    counter.store(sum, Ordering::Relaxed);
    sum
}

/// Counts one more, modulo 2^32; returns the count.
#[inline(always)]
fn count(counter: &AtomicU32) -> u32 {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(1);
    counter.store(sum, Ordering::Relaxed);
    sum
}

impl SiteCounters {
    /// Forgets all of it: what this process has inherited.
    pub(super) fn forget(&self) {
        self.0.forget();
    }

    #[inline(always)]
    fn record(&self, site: ProcessSite) -> Option<&Record> {
        self.0.get(site).or_else(|| self.0.make(site))
    }

    /// The number that the site's next block would have.
    pub(super) fn next_number(&self, site: ProcessSite) -> u32 {
        self.0.get(site).map_or(0, |record| record.blocks.load(Ordering::Relaxed)).wrapping_add(1)
    }

    /// The thread has allocated a block; returns which of the site's it is, from 1. 0: not known.
    #[inline(always)]
    pub(super) fn add_block(&self, site: ProcessSite, bytes: usize) -> u32 {
        let Some(record) = self.record(site) else { return 0 };
        let number = count(&record.blocks);
        let allocated = add(&record.bytes, bytes as u64);
        let live = allocated.wrapping_sub(record.freed.load(Ordering::Relaxed)) as i64;
        if live > record.peak.load(Ordering::Relaxed) as i64 {
            raise_peak(record, site, allocated);
        }
        number
    }

    /// The thread has freed a block that it or another one had allocated.
    #[inline(always)]
    pub(super) fn remove_block(&self, site: ProcessSite, bytes: usize) {
        let Some(record) = self.record(site) else { return };
        count(&record.frees);
        let freed = add(&record.freed, bytes as u64);
        let over = freed.wrapping_sub(record.bytes.load(Ordering::Relaxed)) as i64;
        if over > PORTION as i64 {
            hand_over(record, site, freed, over as u64);
        }
    }
}

#[inline(always)]
fn raise_peak(record: &Record, site: ProcessSite, allocated: u64) {
    let mut freed = record.freed.load(Ordering::Relaxed);
    if let Some(portion) = portions().and_then(|portions| portions.get(site))
        && portion.bytes.load(Ordering::Relaxed) != 0
    {
        freed = add(&record.freed, portion.bytes.swap(0, Ordering::Relaxed));
    }
    let live = allocated.wrapping_sub(freed) as i64;
    if live > record.peak.load(Ordering::Relaxed) as i64 {
        record.peak.store(live as u64, Ordering::Relaxed);
    }
}

/// What was freed of other threads' blocks is theirs to subtract.
#[cold]
#[inline(never)]
fn hand_over(record: &Record, site: ProcessSite, freed: u64, over: u64) {
    if let Some(portion) = make_portion(site) {
        record.freed.store(freed.wrapping_sub(over), Ordering::Relaxed);
        portion.bytes.fetch_add(over, Ordering::Relaxed);
    }
}

/// A thread without counts of its own has freed a block: it is past its end.
#[cold]
pub(super) fn remove_block_of_ended(site: ProcessSite, bytes: usize) {
    if let Some(portion) = make_portion(site) {
        portion.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        portion.frees.fetch_add(1, Ordering::Relaxed);
    }
}

/// The sum of a site's counts over those of all threads.
pub(super) fn sum<'a>(
    site: ProcessSite,
    all: impl Iterator<Item = &'a SiteCounters>,
) -> SiteCounts {
    let mut sum = SiteCounts::default();
    for record in all.filter_map(|counts| counts.0.get(site)) {
        sum.blocks += u64::from(record.blocks.load(Ordering::Relaxed));
        sum.bytes += record.bytes.load(Ordering::Relaxed);
        sum.freed += record.freed.load(Ordering::Relaxed);
        sum.peak += record.peak.load(Ordering::Relaxed);
    }
    let portion = portions().and_then(|portions| portions.get(site));
    sum.freed += portion.map_or(0, |portion| portion.bytes.load(Ordering::Relaxed));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sites of these tests alone.
    const FIRST: u32 = 900_000;

    fn counts() -> SiteCounters {
        SiteCounters(CountTable::new())
    }

    #[test]
    fn one_thread_is_counted_exactly() {
        let (mine, site) = (counts(), ProcessSite(FIRST));
        for round in 0..10 {
            (0..=round).for_each(|_| _ = mine.add_block(site, 100));
            (0..=round).for_each(|_| mine.remove_block(site, 100));
        }
        mine.add_block(site, 7);
        let expected = SiteCounts { blocks: 56, bytes: 5507, freed: 5500, peak: 1000 };
        assert_eq!(sum(site, [&mine].into_iter()), expected);
        assert_eq!(sum(ProcessSite(FIRST + 1), [&mine].into_iter()), SiteCounts::default());
    }

    #[test]
    fn blocks_freed_by_another_thread_make_no_peak() {
        let (one, other, site) = (counts(), counts(), ProcessSite(FIRST + 2));
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
        let (mine, site) = (counts(), ProcessSite((Record::SEGMENT * SEGMENTS) as u32));
        mine.add_block(site, 1);
        mine.remove_block(site, 1);
        assert_eq!(sum(site, [&mine].into_iter()), SiteCounts::default());
    }
}
