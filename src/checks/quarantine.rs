//! Freed blocks wait here, poisoned, so that a write through a stale pointer is seen when they
//! leave: a ring of addresses and sizes for each thread, out of reach of overruns. What a block in
//! it holds is described, never followed.
//!
//! Its owner alone puts in and takes out, without a lock. Others may look: what they see was in the
//! ring at some time, and a block's state in the shadow tells whether it still is.

use crate::arch;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use crate::arena::ZeroIsEmpty;
use crate::arena::size_class::Class;
use crate::sys::memory;

/// Blocks that the first ring has room for, and the largest.
const FIRST_PLACES: usize = 1 << 10;
const MOST_PLACES: usize = 1 << 16;
/// How far ahead of an eviction a block's memory is fetched.
const AHEAD: usize = 12;
/// Bytes of overhead of a block.
const OVERHEAD: usize = 40;

/// A block that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The user's first byte.
    pub user: usize,
    /// Bytes asked for.
    pub size: usize,
    /// Its class; `None` for one that is not cached.
    pub class: Option<Class>,
    /// Number of the thread that freed it.
    pub thread: u16,
}

/// Address and thread in one word, size and class in the other.
struct QuarantineSlot {
    whose: AtomicU64,
    what: AtomicU64,
}

const THREAD_SHIFT: u32 = 48;
const CLASS_SHIFT: u32 = 48;
const LOW: u64 = (1 << THREAD_SHIFT) - 1;

impl QuarantineSlot {
    #[inline]
    fn write(&self, waiting: Quarantined) {
        let class = waiting.class.map_or(0, |class| u64::from(class.byte()));
        let thread = u64::from(waiting.thread) << THREAD_SHIFT;
        self.whose.store(waiting.user as u64 | thread, Ordering::Relaxed);
        self.what.store(waiting.size as u64 | (class << CLASS_SHIFT), Ordering::Relaxed);
    }

    #[inline]
    fn read(&self) -> Quarantined {
        let (whose, what) = (self.whose.load(Ordering::Relaxed), self.what.load(Ordering::Relaxed));
        Quarantined {
            user: (whose & LOW) as usize,
            size: (what & LOW) as usize,
            class: Class::from_byte((what >> CLASS_SHIFT) as u8),
            thread: (whose >> THREAD_SHIFT) as u16,
        }
    }
}

/// Has a block's head and the end of its tail brought into the cache: what lies between follows by
/// itself.
#[inline(always)]
fn fetch(soon: Quarantined) {
    arch::prefetch(soon.user.wrapping_sub(16));
    arch::prefetch(soon.user.wrapping_add(soon.size + 7));
}

/// Bytes that may be summed at first, and for each free.
const SUMMED_AT_FIRST: u64 = 1 << 20;
const SUMMED_FOR_EACH: u64 = 16;
/// Larger blocks wait apart, a few of them: one of them would turn all small ones out.
const LARGE_PLACES: usize = 8;

/// First in, first out. All zero is empty.
pub struct Quarantine {
    ring: AtomicPtr<QuarantineSlot>,
    /// Places of the ring, a power of two.
    places: AtomicUsize,
    /// Blocks taken out and put in so far.
    first: AtomicUsize,
    next: AtomicUsize,
    bytes: AtomicUsize,
    /// The large ones, a ring too.
    large: [QuarantineSlot; LARGE_PLACES],
    large_first: AtomicUsize,
    large_next: AtomicUsize,
    large_bytes: AtomicUsize,
    /// Bytes of freed blocks that were summed.
    summed: AtomicUsize,
}

// SAFETY: an all-zero one has no ring and no blocks.
unsafe impl ZeroIsEmpty for Quarantine {}

impl Quarantine {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            ring: AtomicPtr::new(core::ptr::null_mut()),
            places: AtomicUsize::new(0),
            first: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            large: [const { QuarantineSlot { whose: AtomicU64::new(0), what: AtomicU64::new(0) } };
                LARGE_PLACES],
            large_first: AtomicUsize::new(0),
            large_next: AtomicUsize::new(0),
            large_bytes: AtomicUsize::new(0),
            summed: AtomicUsize::new(0),
        }
    }

    /// May so many bytes more be summed, after so many frees? So that large blocks cost no more
    /// than a share of all frees together. The owner only.
    pub(crate) fn may_sum(&self, bytes: usize, frees: u64) -> bool {
        let sum = self.summed.load(Ordering::Relaxed) + bytes;
        let is_within = sum as u64 <= SUMMED_AT_FIRST + SUMMED_FOR_EACH * frees;
        if is_within {
            self.summed.store(sum, Ordering::Relaxed);
        }
        is_within
    }

    /// Large blocks that wait.
    fn large_count(&self) -> usize {
        let next = self.large_next.load(Ordering::Acquire);
        next.wrapping_sub(self.large_first.load(Ordering::Acquire)).min(LARGE_PLACES)
    }

    fn large_place(&self, at: usize) -> &QuarantineSlot {
        let [first, ..] = &self.large;
        self.large.get(at % LARGE_PLACES).unwrap_or(first)
    }

    /// Adds a large block. `false`: there is no place. The owner only.
    pub(crate) fn push_large(&self, waiting: Quarantined) -> bool {
        if self.large_count() == LARGE_PLACES {
            return false;
        }
        let next = self.large_next.load(Ordering::Relaxed);
        self.large_place(next).write(waiting);
        self.large_bytes.fetch_add(waiting.size, Ordering::Relaxed);
        self.large_next.store(next.wrapping_add(1), Ordering::Release);
        true
    }

    /// Takes the oldest large block out while more than `most` bytes of them wait, or there is no
    /// place for another. The owner only.
    pub(crate) fn pop_large_over(&self, most: usize) -> Option<Quarantined> {
        let (first, count) = (self.large_first.load(Ordering::Relaxed), self.large_count());
        let is_over = self.large_bytes.load(Ordering::Relaxed) > most || count == LARGE_PLACES;
        if count == 0 || !is_over {
            return None;
        }
        let oldest = self.large_place(first).read();
        self.large_first.store(first.wrapping_add(1), Ordering::Release);
        self.large_bytes.fetch_sub(oldest.size, Ordering::Relaxed);
        Some(oldest)
    }

    #[inline]
    fn place(&self, at: usize) -> Option<&QuarantineSlot> {
        // The number first: it is stored after its ring, so that the ring has at least as many.
        let last = self.places.load(Ordering::Acquire).checked_sub(1)?;
        let ring = self.ring.load(Ordering::Acquire);
        // SAFETY: a ring lives for ever and has more than `last` places.
        Some(unsafe { &*ring.add(at & last) })
    }

    /// What they are counted with, in bytes.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Blocks that wait.
    pub fn count(&self) -> usize {
        self.next.load(Ordering::Acquire).wrapping_sub(self.first.load(Ordering::Acquire))
    }

    /// Adds a block and returns what all are counted with, in bytes. `None`: no room or no memory
    /// for the ring; the block cannot wait. The owner only.
    pub fn push(&self, waiting: Quarantined) -> Option<usize> {
        self.push_fast(waiting).or_else(|| {
            let has_room = self.grow();
            has_room.then(|| self.push_fast(waiting)).flatten()
        })
    }

    /// The same where the ring has room; `None` where it would have to grow.
    #[inline(always)]
    pub(crate) fn push_fast(&self, waiting: Quarantined) -> Option<usize> {
        let next = self.next.load(Ordering::Relaxed);
        let count = next.wrapping_sub(self.first.load(Ordering::Relaxed));
        if count == self.places.load(Ordering::Relaxed) {
            return None;
        }
        let bytes = self.bytes.load(Ordering::Relaxed) + waiting.size + OVERHEAD;
        self.bytes.store(bytes, Ordering::Relaxed);
        // SAFETY: there is a ring by now.
        unsafe { self.own_place(next) }.write(waiting);
        self.next.store(next.wrapping_add(1), Ordering::Release);
        Some(bytes)
    }

    /// Takes the oldest block out while more than `most` bytes wait, or none is free in the largest
    /// ring. The owner only.
    #[inline]
    pub fn pop_over(&self, most: usize) -> Option<Quarantined> {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let first = self.first.load(Ordering::Relaxed);
        let count = self.next.load(Ordering::Relaxed).wrapping_sub(first);
        if (bytes <= most && count < MOST_PLACES) || count == 0 {
            return None;
        }
        // SAFETY: what is not empty has a ring.
        let (soon, oldest) =
            unsafe { (self.own_place(first.wrapping_add(AHEAD)), self.own_place(first).read()) };
        fetch(soon.read());
        self.first.store(first.wrapping_add(1), Ordering::Release);
        self.bytes.store(bytes - (oldest.size + OVERHEAD), Ordering::Relaxed);
        Some(oldest)
    }

    /// Hands the oldest blocks to `each` while more than `most` bytes wait and it says to go on;
    /// they are out. Of the largest ring, full, a sixteenth in any case. Returns the one at which
    /// it stopped. The owner only.
    #[inline(always)]
    pub fn drain_over(
        &self,
        most: usize,
        mut each: impl FnMut(Quarantined) -> bool,
    ) -> Option<Quarantined> {
        let (mut bytes, mut first) =
            (self.bytes.load(Ordering::Relaxed), self.first.load(Ordering::Relaxed));
        let next = self.next.load(Ordering::Relaxed);
        let last = self.places.load(Ordering::Relaxed).wrapping_sub(1);
        let ring = self.ring.load(Ordering::Relaxed);
        let is_full = next.wrapping_sub(first) >= MOST_PLACES;
        let most = if is_full { most.min(bytes - bytes / 16) } else { most };
        let mut stopped = None;
        while stopped.is_none() && first != next && bytes > most {
            let place = |at: usize| {
                // SAFETY: what is not empty has a ring, of `last` + 1 places, which only the owner
                // changes.
                unsafe { (*ring.add(at & last)).read() }
            };
            fetch(place(first.wrapping_add(AHEAD)));
            let oldest = place(first);
            first = first.wrapping_add(1);
            bytes -= oldest.size + OVERHEAD;
            // Out before it is dealt with: what a fork of another thread copies in between lacks
            // the block, but never has it twice.
            self.first.store(first, Ordering::Release);
            self.bytes.store(bytes, Ordering::Relaxed);
            if !each(oldest) {
                stopped = Some(oldest);
            }
        }
        stopped
    }

    /// The owner's way to a place.
    ///
    /// # Safety
    /// The calling thread is the owner, and there is a ring.
    #[inline]
    unsafe fn own_place(&self, at: usize) -> &QuarantineSlot {
        let last = self.places.load(Ordering::Relaxed).wrapping_sub(1);
        // SAFETY: the ring has `last` + 1 places, and only the owner changes it.
        unsafe { &*self.ring.load(Ordering::Relaxed).add(at & last) }
    }

    /// A ring of twice the size. The old one stays mapped: somebody may be looking at it.
    #[cold]
    fn grow(&self) -> bool {
        let places = self.places.load(Ordering::Relaxed);
        let more = (places * 2).max(FIRST_PLACES);
        if more > MOST_PLACES {
            return false;
        }
        let Some(start) = memory::map(more * size_of::<QuarantineSlot>()) else { return false };
        let ring = start as *mut QuarantineSlot;
        let first = self.first.load(Ordering::Relaxed);
        for at in (0..self.count()).map(|i| first.wrapping_add(i)) {
            let Some(waiting) = self.place(at).map(QuarantineSlot::read) else { break };
            // SAFETY: inside the fresh ring, which is zeroed memory and has `more` places.
            unsafe { (*ring.add(at & (more - 1))).write(waiting) };
        }
        // The ring first: whoever sees it with the old number of places stays inside.
        self.ring.store(ring, Ordering::Release);
        self.places.store(more, Ordering::Release);
        true
    }

    /// The blocks that wait, oldest first. For others than the owner: those that were there.
    pub fn iter(&self) -> impl Iterator<Item = Quarantined> + '_ {
        let first = self.first.load(Ordering::Acquire);
        let count = self.count().min(MOST_PLACES);
        let small = (0..count).filter_map(move |i| self.place(first.wrapping_add(i)));
        let large_first = self.large_first.load(Ordering::Acquire);
        let large =
            (0..self.large_count()).map(move |i| self.large_place(large_first.wrapping_add(i)));
        small.chain(large).map(QuarantineSlot::read)
    }
}

impl Default for Quarantine {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(i: usize) -> Quarantined {
        Quarantined { user: i * 64, size: 60, class: Class::from_index(i % 100), thread: 0x7fff }
    }

    #[test]
    fn blocks_leave_in_order_when_the_limit_is_passed() {
        let quarantine = Quarantine::new();
        for i in 0..10 {
            assert!(quarantine.push(waiting(i)).is_some());
        }
        assert_eq!(quarantine.pop_over(1000), None);
        assert_eq!(quarantine.pop_over(950), Some(waiting(0)));
        assert_eq!(quarantine.pop_over(950), None);
        assert!(quarantine.iter().map(|w| w.user / 64).eq(1..10));
        assert!((1..5).all(|i| quarantine.pop_over(0) == Some(waiting(i))));
        let mut seen = 5;
        let stopped = quarantine.drain_over(200, |oldest| {
            assert_eq!(oldest, waiting(seen));
            assert!(quarantine.iter().all(|other| other != oldest), "it is out already");
            seen += 1;
            true
        });
        assert_eq!((stopped, seen, quarantine.bytes(), quarantine.count()), (None, 8, 200, 2));
        let stopped = quarantine.drain_over(0, |oldest| oldest != waiting(8));
        assert_eq!(stopped, Some(waiting(8)));
        assert_eq!(quarantine.pop_over(0), Some(waiting(9)));
        assert_eq!(quarantine.pop_over(0), None);
    }

    #[test]
    fn the_ring_grows_and_keeps_the_order_then_refuses() {
        let quarantine = Quarantine::new();
        // Started in the middle, so that growing moves what has wrapped.
        for i in 0..700 {
            assert!(quarantine.push(waiting(i)).is_some());
            assert_eq!(quarantine.pop_over(0), Some(waiting(i)));
        }
        for i in 0..MOST_PLACES {
            assert!(quarantine.push(waiting(i)).is_some(), "block {i}");
        }
        assert!(quarantine.push(waiting(1)).is_none());
        assert_eq!(quarantine.pop_over(usize::MAX), Some(waiting(0)));
        assert!(quarantine.push(waiting(2)).is_some());
        assert_eq!(quarantine.count(), MOST_PLACES);
        assert!((1..MOST_PLACES).all(|i| quarantine.pop_over(0) == Some(waiting(i))));
    }
}
