//! Places: the granules of all segments counted through, so that a set of chunks is a set of bits,
//! and its members come out in the order of their addresses.

use super::heap::Heap;
use super::pages::PageSource;
use super::segments::PLACES_APART;
use super::size::{GRANULE, WORD};

impl<P: PageSource> Heap<P> {
    /// Places there are, used or not: each is below.
    pub fn places(&self) -> usize {
        self.segments.last().map_or(0, |segment| segment.end_place())
    }

    /// The place of a payload; `None` for what is in no segment, or no payload's address.
    #[inline]
    pub fn place_of(&self, payload: usize) -> Option<usize> {
        let segment = self.segments.find(payload.checked_sub(WORD)?)?;
        let offset = payload - segment.start;
        offset.is_multiple_of(GRANULE).then_some(segment.first_place + offset / GRANULE)
    }

    /// The payload at a place. Those at the [`Heap::PLACES_TOGETHER`] places from a multiple of
    /// that on follow one another. `None`: there is no such place.
    #[inline]
    pub fn payload_at(&self, place: usize) -> Option<usize> {
        let all = self.segments.as_slice();
        let behind = all.partition_point(|segment| segment.first_place <= place);
        let segment = all.get(behind.checked_sub(1)?)?;
        let payload = segment.start + (place - segment.first_place) * GRANULE;
        (payload < segment.end).then_some(payload)
    }

    /// No two segments have places among as many, from a multiple of this on.
    pub const PLACES_TOGETHER: usize = PLACES_APART;
}
