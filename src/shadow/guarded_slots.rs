//! Guarded slots: where blocks lie alone, between pages that fault. What is known of a block there
//! lies apart from it, in a record for each slot: in front of it there may be no room.
//!
//! ```text
//! reservation: spans of 2 MiB, each cut into slots of one class
//! span: | guard | 1 to 511 data pages | guard | data pages | guard ...
//! ```
//!
//! Neighbours share a guard. The reservation is made once and stays; its records do, too.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};

use crate::heap::size::{PAGE, round_up};
use crate::model::site::ProcessSite;
use crate::shadow::table;
use crate::sys::memory;

/// Bytes of a span.
pub const SPAN: usize = 2 << 20;
const SPAN_PAGES: usize = SPAN / PAGE;
/// Data pages of a slot, by its class.
pub const CLASSES: [usize; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 255, 511];

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotState {
    /// Never used.
    Fresh = 0,
    /// A block is in it.
    Live = 1,
    /// Its block was freed; it can be used.
    Waiting = 2,
    /// Its block was freed; it faults.
    Closed = 3,
    /// It was closed and a fault has opened it again, or a part of it.
    Opened = 4,
}

/// What is known of a slot and its block. In zeroed memory, nothing.
#[repr(C)]
pub struct SlotRecord {
    /// The block's head, as in front of other blocks.
    pub head: AtomicU64,
    /// The block's first byte.
    pub user: AtomicUsize,
    /// Where it was allocated.
    pub site: AtomicU32,
    /// Where it was freed from.
    pub free_site: AtomicU32,
    /// Which of its site's blocks it is, from 1.
    pub ordinal: AtomicU32,
    /// The next slot of the list that it is in, by number plus one.
    pub next: AtomicU32,
    /// Number of the thread that has freed the block.
    pub free_thread: AtomicU16,
    state: AtomicU8,
    /// Not 0: the guard in front of it, or behind it, was opened.
    opened: [AtomicU8; 2],
}

impl SlotRecord {
    /// Where the slot stands.
    pub fn state(&self) -> SlotState {
        match self.state.load(Acquire) {
            1 => SlotState::Live,
            2 => SlotState::Waiting,
            3 => SlotState::Closed,
            4 => SlotState::Opened,
            _ => SlotState::Fresh,
        }
    }

    /// Plain store of it: for who has the slot.
    pub fn set_state(&self, state: SlotState) {
        self.state.store(state as u8, Release);
    }

    /// Was the guard in front of the slot opened, or the one behind it?
    pub fn is_opened(&self, behind: bool) -> bool {
        self.opened.get(usize::from(behind)).is_some_and(|opened| opened.load(Acquire) != 0)
    }

    /// Notes that it was, or is a guard again.
    pub fn set_opened(&self, behind: bool, is_opened: bool) {
        if let Some(opened) = self.opened.get(usize::from(behind)) {
            opened.store(u8::from(is_opened), Release);
        }
    }
}

/// The reservation: first byte, bytes, and the records, one for each page.
static START: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static RECORDS: AtomicPtr<SlotRecord> = AtomicPtr::new(core::ptr::null_mut());
/// Class of each span plus one; 0: it is in no use. Behind the records.
static SPANS: AtomicPtr<AtomicU8> = AtomicPtr::new(core::ptr::null_mut());

/// Is an address in the reservation?
#[inline(always)]
pub fn contains(address: usize) -> bool {
    address.wrapping_sub(START.load(Relaxed)) < BYTES.load(Relaxed)
}

/// Reserves `spans` spans and what is known of them. Once. `None`: there is no room.
pub fn reserve(spans: usize) -> Option<usize> {
    // What lies behind the last one's last slot is in the reservation, too.
    let bytes = (spans + 1) * SPAN;
    let records = round_up(bytes / PAGE * size_of::<SlotRecord>() + bytes / SPAN, PAGE);
    let known = memory::map(records)?;
    let Some(start) = memory::reserve(bytes + SPAN) else {
        // SAFETY: fresh pages that nobody has seen.
        unsafe { memory::unmap(known, records) };
        return None;
    };
    RECORDS.store(known as *mut SlotRecord, Relaxed);
    SPANS.store((known + bytes / PAGE * size_of::<SlotRecord>()) as *mut AtomicU8, Relaxed);
    let start = round_up(start, SPAN);
    START.store(start, Relaxed);
    BYTES.store(bytes, Release);
    Some(start)
}

/// First byte of the reservation.
pub fn start() -> usize {
    START.load(Relaxed)
}

/// Spans of the reservation that can be cut.
pub fn spans() -> usize {
    (BYTES.load(Acquire) / SPAN).saturating_sub(1)
}

fn span_class(span: usize) -> Option<&'static AtomicU8> {
    // SAFETY: the array has a byte for each span, zeroed at first, and stays.
    (span < spans()).then(|| unsafe { &*SPANS.load(Relaxed).add(span) })
}

/// The class of a span's slots; `None`: it is in no use.
pub fn class_of(span: usize) -> Option<usize> {
    usize::from(span_class(span)?.load(Acquire)).checked_sub(1)
}

/// Spans that are cut: these come first.
pub fn used_spans() -> usize {
    (0..spans()).take_while(|&span| class_of(span).is_some()).count()
}

/// No slot is used, now or later.
pub fn abandon() {
    BYTES.store(0, Release);
}

/// Cuts a span into slots of a class; its memory has leaves from then on. `false`: no memory.
pub fn cut(span: usize, class: usize) -> bool {
    let Some(place) = span_class(span) else { return false };
    if !table::cover_guarded(start() + span * SPAN, SPAN) {
        return false;
    }
    place.store(class as u8 + 1, Release);
    true
}

/// A slot: its first data page, by number, and its data pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    page: u32,
    /// Data pages.
    pub pages: usize,
}

impl Slot {
    /// Slots of a span of the class.
    pub const fn of_span(class: usize) -> usize {
        SPAN_PAGES / (CLASSES[class] + 1)
    }

    /// Slot `index` of a span that is cut into slots of the class.
    pub const fn new(span: usize, class: usize, index: usize) -> Self {
        let pages = CLASSES[class];
        Self { page: (span * SPAN_PAGES + index * (pages + 1) + 1) as u32, pages }
    }

    /// The slot whose block an address is in, or could be.
    pub fn of(address: usize) -> Option<Self> {
        match Place::of(address)? {
            Place::Data(slot) => Some(slot),
            Place::Guard(_) => None,
        }
    }

    /// The slot with that number, which one has.
    pub fn numbered(number: u32) -> Option<Self> {
        Self::of(start() + number as usize * PAGE)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.page
    }

    /// Its class.
    pub fn class(self) -> usize {
        CLASSES.iter().position(|&pages| pages == self.pages).unwrap_or(0)
    }

    /// First data byte.
    pub fn start(self) -> usize {
        start() + self.page as usize * PAGE
    }

    /// First byte of the guard behind it.
    pub fn end(self) -> usize {
        self.start() + self.pages * PAGE
    }

    /// What is known of it.
    pub fn record(self) -> &'static SlotRecord {
        // SAFETY: the reservation has a record for each of its pages, valid when zero, which
        // stays; a slot's page is one of these.
        unsafe { &*RECORDS.load(Relaxed).add(self.page as usize) }
    }

    /// Is a live block in it?
    pub fn is_live(self) -> bool {
        self.record().state() == SlotState::Live
    }

    /// Its block, if it has or had one: first byte and bytes.
    pub fn block(self) -> Option<(usize, usize)> {
        let record = self.record();
        let user = record.user.load(Acquire);
        (user != 0).then(|| (user, record.head.load(Relaxed) as usize & ((1 << 40) - 1)))
    }
}

/// What is at an address of the reservation.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A slot's data page.
    Data(Slot),
    /// A guard: the slots in front of it and behind it.
    Guard([Option<Slot>; 2]),
}

impl Place {
    /// At an address; `None`: outside of all that is in use.
    pub fn of(address: usize) -> Option<Self> {
        let offset = address.wrapping_sub(start());
        if offset >= BYTES.load(Acquire) {
            return None;
        }
        let (span, page) = (offset / SPAN, offset % SPAN / PAGE);
        let Some(class) = class_of(span) else {
            // The guard behind the span in front.
            let in_front = if page == 0 { last_of(span.checked_sub(1)) } else { None };
            return in_front.map(|slot| Self::Guard([Some(slot), None]));
        };
        let stride = CLASSES.get(class)? + 1;
        let (index, within) = (page / stride, page % stride);
        let count = Slot::of_span(class);
        if within != 0 {
            return (index < count).then(|| Self::Data(Slot::new(span, class, index)));
        }
        let in_front = match index.checked_sub(1) {
            Some(index) => Some(Slot::new(span, class, index)),
            None => last_of(span.checked_sub(1)),
        };
        let behind = (index < count).then(|| Slot::new(span, class, index));
        Some(Self::Guard([in_front, behind]))
    }
}

/// All slots of the spans that are cut.
pub fn used_slots() -> impl Iterator<Item = Slot> {
    (0..used_spans()).flat_map(|span| {
        let class = class_of(span).unwrap_or(0);
        (0..Slot::of_span(class)).map(move |index| Slot::new(span, class, index))
    })
}

/// The slots in front of an address of the reservation, the nearest first, in its span and the one
/// in front of that.
pub fn in_front_of(address: usize) -> impl Iterator<Item = Slot> {
    let offset = address.wrapping_sub(start()).min(BYTES.load(Acquire));
    let span = offset / SPAN;
    let slots = [Some(span), span.checked_sub(1)].into_iter().flatten().filter_map(|span| {
        let class = class_of(span)?;
        Some((0..Slot::of_span(class)).rev().map(move |index| Slot::new(span, class, index)))
    });
    slots.flatten().filter(move |slot| slot.start() <= address)
}

/// The last slot of a span, if it ends where the span does.
fn last_of(span: Option<usize>) -> Option<Slot> {
    let span = span?;
    let class = class_of(span)?;
    let count = Slot::of_span(class);
    (count * (CLASSES.get(class)? + 1) == SPAN_PAGES).then(|| Slot::new(span, class, count - 1))
}

/// Is, or was, there a block in a slot that starts at that very address?
pub(super) fn starts_at(address: usize) -> bool {
    let user = Slot::of(address).map_or(0, |slot| slot.record().user.load(Acquire));
    user == address && address != 0
}

/// Where the block that starts at `user` was allocated.
pub(super) fn site_at(address: usize) -> ProcessSite {
    let site = |slot: Slot| ProcessSite(slot.record().site.load(Relaxed));
    Slot::of(address).map_or(ProcessSite::NONE, site)
}

/// Where it was freed from.
pub(super) fn free_site_at(address: usize) -> ProcessSite {
    let site = |slot: Slot| ProcessSite(slot.record().free_site.load(Relaxed));
    Slot::of(address).map_or(ProcessSite::NONE, site)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: the process has one reservation.
    #[test]
    fn every_page_is_a_slots_or_a_guard() {
        let start = reserve(CLASSES.len()).expect("address space");
        let end = start + (spans() + 1) * SPAN;
        assert!(!contains(start - 1) && contains(start) && !contains(end));
        for class in 0..CLASSES.len() {
            assert!(Place::of(start + class * SPAN + PAGE).is_none(), "not cut yet");
            assert!(cut(class, class));
        }
        for (class, &pages) in CLASSES.iter().enumerate() {
            let mut expected = start + class * SPAN;
            for index in 0..Slot::of_span(class) {
                let slot = Slot::new(class, class, index);
                assert_eq!(
                    (slot.start(), slot.end()),
                    (expected + PAGE, expected + (pages + 1) * PAGE)
                );
                assert_eq!(
                    (Slot::of(slot.start()), Slot::of(slot.end() - 1)),
                    (Some(slot), Some(slot))
                );
                assert_eq!(Slot::numbered(slot.number()), Some(slot));
                assert_eq!(slot.class(), class);
                let Some(Place::Guard([_, behind])) = Place::of(expected) else {
                    panic!("{expected:#x}")
                };
                assert_eq!(behind, Some(slot));
                expected = slot.end();
                if let Some(Place::Guard([in_front, _])) = Place::of(expected) {
                    assert_eq!(in_front, Some(slot));
                }
            }
        }
    }
}
