//! Freed chunks of other arenas, collected by arena, so that handing them over costs one atomic
//! step for many.

use core::ptr::NonNull;

use crate::arena::size_class::Class;

/// Chunks collected before they are sent.
pub(super) const BATCH: usize = 32;
/// Arenas that a thread collects for at a time.
const LANES: usize = 4;
const CLASS_BITS: u32 = 8;
const GRANULE_BITS: u32 = 4;

/// A chunk on its way: its payload's address, which has 47 bits, and its class. Never 0.
pub(super) fn entry(payload: NonNull<u8>, class: Class) -> usize {
    ((payload.as_ptr() as usize >> GRANULE_BITS) << CLASS_BITS) | class.index()
}

/// What [`entry`] was made from.
pub(super) fn chunk_of(entry: usize) -> Option<(NonNull<u8>, Class)> {
    let payload = NonNull::new(((entry >> CLASS_BITS) << GRANULE_BITS) as *mut u8)?;
    Some((payload, Class::from_index(entry & ((1 << CLASS_BITS) - 1))?))
}

/// Chunks for one arena.
#[derive(Clone, Copy)]
pub(super) struct RemoteFreeBatch {
    /// Number of the arena.
    pub(super) to: u32,
    count: u32,
    entries: [usize; BATCH],
}

impl RemoteFreeBatch {
    /// What is collected.
    pub(super) fn entries(&self) -> &[usize] {
        self.entries.get(..self.count as usize).unwrap_or(&[])
    }

    fn is_full(&self) -> bool {
        self.count as usize == BATCH
    }
}

/// The lanes of one thread. All zero is empty.
pub(super) struct RemoteFreeBatches {
    lanes: [RemoteFreeBatch; LANES],
}

impl RemoteFreeBatches {
    pub(super) const fn new() -> Self {
        Self { lanes: [RemoteFreeBatch { to: 0, count: 0, entries: [0; BATCH] }; LANES] }
    }

    /// Adds a chunk for arena `to`. Returns a lane that is to be sent now: full, or another arena's
    /// whose place was needed.
    pub(super) fn add(&mut self, to: u32, entry: usize) -> Option<RemoteFreeBatch> {
        let lane = self.lanes.get_mut(to as usize % LANES)?;
        let mut due = None;
        if lane.to != to {
            due = (lane.count != 0).then_some(*lane);
            lane.to = to;
            lane.count = 0;
        }
        if let Some(place) = lane.entries.get_mut(lane.count as usize) {
            *place = entry;
            lane.count += 1;
        }
        if lane.is_full() {
            // A lane of another arena had made room, so only one is ever due.
            due = Some(*lane);
            lane.count = 0;
        }
        due
    }

    /// Takes a lane that holds something out.
    pub(super) fn take(&mut self) -> Option<RemoteFreeBatch> {
        let lane = self.lanes.iter_mut().find(|lane| lane.count != 0)?;
        let taken = *lane;
        lane.count = 0;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip() {
        for address in [16usize, 0x5555_5555_4440, (1 << 47) - 16] {
            for class in Class::all() {
                let payload = NonNull::new(address as *mut u8).expect("not null");
                assert_eq!(chunk_of(entry(payload, class)), Some((payload, class)));
            }
        }
    }

    #[test]
    fn lanes_fill_and_make_room() {
        let mut remote_batches = RemoteFreeBatches::new();
        for i in 1..BATCH {
            assert!(remote_batches.add(1, i).is_none());
        }
        let full = remote_batches.add(1, BATCH).expect("a full lane");
        assert!(full.to == 1 && full.entries().iter().copied().eq(1..=BATCH));
        assert!(remote_batches.add(1, 7).is_none());
        let displaced = remote_batches.add(1 + LANES as u32, 8).expect("the lane in the way");
        assert_eq!((displaced.to, displaced.entries()), (1, &[7][..]));
        let rest = remote_batches.take().expect("the last one");
        assert_eq!((rest.to, rest.entries()), (5, &[8][..]));
        assert!(remote_batches.take().is_none());
    }
}
