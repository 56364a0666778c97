//! Freed blocks wait here, poisoned, so that a write through a stale pointer is seen when they
//! leave: a ring of addresses and sizes, out of reach of overruns. What a block in it holds is
//! described, never followed.

use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use crate::sys::memory;

/// Most blocks that wait at a time.
const CAPACITY: usize = 1 << 16;
/// How far ahead of an eviction a block's memory is fetched.
const AHEAD: usize = 12;
/// What a block costs beyond its size.
const OVERHEAD: usize = 40;

/// A block that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The user's first byte.
    pub user: usize,
    /// Bytes asked for.
    pub size: usize,
    /// Bytes of poison at both ends.
    pub poison: usize,
    /// Number of the thread that freed it.
    pub thread: u16,
}

/// First in, first out.
pub struct Quarantine {
    ring: Option<&'static mut [Waiting]>,
    first: usize,
    count: usize,
    bytes: usize,
}

impl Quarantine {
    /// Empty.
    pub const fn new() -> Self {
        Self { ring: None, first: 0, count: 0, bytes: 0 }
    }

    /// Adds a block. `false`: no room or no memory for the ring; the block cannot wait.
    pub fn push(&mut self, waiting: Waiting) -> bool {
        if self.ring.is_none() {
            self.ring = map_ring();
        }
        let at = (self.first + self.count) % CAPACITY;
        let count = self.count;
        match self.ring.as_mut().and_then(|ring| ring.get_mut(at)) {
            Some(slot) if count < CAPACITY => {
                *slot = waiting;
                self.count += 1;
                self.bytes += waiting.size + OVERHEAD;
                true
            }
            _ => false,
        }
    }

    /// Takes the oldest block out while more than `most` bytes wait, or none is free in the ring.
    pub fn pop_over(&mut self, most: usize) -> Option<Waiting> {
        if self.count == 0 || (self.bytes <= most && self.count < CAPACITY) {
            return None;
        }
        let ring = self.ring.as_ref()?;
        if let Some(soon) = ring.get((self.first + AHEAD) % CAPACITY) {
            // SAFETY: a prefetch of any address has no effect but on caches.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(soon.user as *const i8) };
        }
        let oldest = *ring.get(self.first)?;
        self.first = (self.first + 1) % CAPACITY;
        self.count -= 1;
        self.bytes -= oldest.size + OVERHEAD;
        Some(oldest)
    }

    /// The blocks that wait, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Waiting> + '_ {
        let ring = self.ring.as_deref().unwrap_or(&[]);
        (0..self.count).filter_map(move |i| ring.get((self.first + i) % CAPACITY).copied())
    }
}

impl Default for Quarantine {
    fn default() -> Self {
        Self::new()
    }
}

fn map_ring() -> Option<&'static mut [Waiting]> {
    let start = memory::map(CAPACITY * size_of::<Waiting>())? as *mut Waiting;
    // SAFETY: fresh zeroed memory of that size, ours for ever; all zero is a valid `Waiting`.
    Some(unsafe { core::slice::from_raw_parts_mut(start, CAPACITY) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_leave_in_order_when_the_limit_is_passed() {
        let mut quarantine = Quarantine::new();
        let waiting = |i: usize| Waiting { user: i * 64, size: 60, poison: 16, thread: 1 };
        for i in 0..10 {
            assert!(quarantine.push(waiting(i)));
        }
        assert_eq!(quarantine.pop_over(1000), None);
        assert_eq!(quarantine.pop_over(950), Some(waiting(0)));
        assert_eq!(quarantine.pop_over(950), None);
        assert!(quarantine.iter().map(|w| w.user / 64).eq(1..10));
        assert!((1..10).all(|i| quarantine.pop_over(0) == Some(waiting(i))));
        assert_eq!(quarantine.pop_over(0), None);
    }

    #[test]
    fn a_full_ring_makes_room_before_it_refuses() {
        let mut quarantine = Quarantine::new();
        let waiting = Waiting { user: 64, size: 0, poison: 0, thread: 0 };
        for _ in 0..CAPACITY {
            assert!(quarantine.push(waiting));
        }
        assert!(!quarantine.push(waiting));
        assert!(quarantine.pop_over(usize::MAX).is_some());
        assert!(quarantine.push(waiting));
    }
}
