//! Memory that the program has named as holding pointers (`__lsan_register_root_region`).

use core::sync::atomic::{AtomicUsize, Ordering};

/// Regions named at a time.
const MOST: usize = 4096;

/// Its first byte and its size; without a size it is no region. No lock, so that a fork in the
/// middle of a call leaves nothing behind.
struct RootRegion {
    start: AtomicUsize,
    bytes: AtomicUsize,
}

static REGIONS: [RootRegion; MOST] =
    [const { RootRegion { start: AtomicUsize::new(0), bytes: AtomicUsize::new(0) } }; MOST];

/// Names `bytes`, not 0, at `start`. The same may be named several times. `false`: 4096 are named
/// already.
pub fn add(start: usize, bytes: usize) -> bool {
    let take = |region: &&RootRegion| {
        region.start.compare_exchange(0, start, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    };
    REGIONS.iter().find(take).map(|region| region.bytes.store(bytes, Ordering::Release)).is_some()
}

/// Takes that back once. `false`: it was not named.
pub fn remove(start: usize, bytes: usize) -> bool {
    let give = |region: &&RootRegion| {
        region.start.load(Ordering::Acquire) == start
            && region.bytes.compare_exchange(bytes, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    };
    REGIONS.iter().find(give).map(|region| region.start.store(0, Ordering::Release)).is_some()
}

/// Calls `each` with all of them, first byte and first byte behind.
pub(super) fn for_each(mut each: impl FnMut(usize, usize)) {
    for region in &REGIONS {
        let (start, bytes) =
            (region.start.load(Ordering::Acquire), region.bytes.load(Ordering::Acquire));
        if start != 0 && bytes != 0 {
            each(start, start.saturating_add(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_come_and_go_one_by_one() {
        assert!(add(0x1000, 16) && add(0x1000, 16));
        assert!(!remove(0x1000, 8));
        assert!(remove(0x1000, 16));
        let mut found = Vec::new();
        for_each(|start, end| found.push((start, end)));
        assert_eq!(found, [(0x1000, 0x1010)]);
        assert!(remove(0x1000, 16) && !remove(0x1000, 16));
    }
}
