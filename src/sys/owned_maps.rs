//! Mappings that are the tool's: which part of the address space is not the program's own. The
//! kernel may show one of them as one with a neighbour, so that a name or a look at /proc does not
//! tell.

use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Entries of a table: the first is static, further ones have a few pages.
const ROOM: usize = 1023;

struct OwnedMap {
    /// 0: nothing is held here.
    start: AtomicUsize,
    /// Not 0: taken.
    bytes: AtomicUsize,
}

struct OwnedMapTable {
    entries: [OwnedMap; ROOM],
    next: AtomicPtr<OwnedMapTable>,
}

static FIRST: OwnedMapTable = OwnedMapTable {
    entries: [const { OwnedMap { start: AtomicUsize::new(0), bytes: AtomicUsize::new(0) } }; ROOM],
    next: AtomicPtr::new(core::ptr::null_mut()),
};
/// Entry from which a free one is looked for, counted over all tables.
static HINT: AtomicUsize = AtomicUsize::new(0);

/// Bytes that a further table has to be mapped with.
pub(super) const TABLE_BYTES: usize = size_of::<OwnedMapTable>();

fn tables() -> impl Iterator<Item = &'static OwnedMapTable> {
    let mut next = Some(&FIRST);
    core::iter::from_fn(move || {
        let table = next?;
        // SAFETY: null or a table that stays for ever.
        next = unsafe { table.next.load(Ordering::Acquire).as_ref() };
        Some(table)
    })
}

fn entries() -> impl Iterator<Item = &'static OwnedMap> {
    tables().flat_map(|table| &table.entries)
}

/// Notes a mapping. `false`: all tables are full; [`extend`] them.
pub(super) fn note(start: usize, bytes: usize) -> bool {
    let from = HINT.load(Ordering::Relaxed);
    let free = |(_, entry): &(usize, &OwnedMap)| {
        entry.bytes.compare_exchange(0, bytes, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    };
    let mut numbered = entries().enumerate().skip(from).chain(entries().enumerate().take(from));
    let Some((at, entry)) = numbered.find(free) else { return false };
    entry.start.store(start, Ordering::Release);
    HINT.store(at, Ordering::Relaxed);
    true
}

/// Adds a table of [`TABLE_BYTES`] zeroed bytes.
///
/// # Safety
/// They are nobody else's and stay for ever.
pub(super) unsafe fn extend(table: usize) {
    let last = tables().find(|table| table.next.load(Ordering::Relaxed).is_null());
    let mut link = last.map(|table| &table.next);
    while let Some(next) = link {
        let (new, null) = (table as *mut OwnedMapTable, core::ptr::null_mut());
        match next.compare_exchange(null, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            // SAFETY: a table that stays for ever.
            Err(other) => link = unsafe { other.as_ref() }.map(|table| &table.next),
        }
    }
}

/// Forgets `[start, start + bytes)`: a whole mapping, or one end of it.
pub(super) fn forget(start: usize, bytes: usize) {
    let end = start + bytes;
    for (at, entry) in entries().enumerate() {
        let from = entry.start.load(Ordering::Acquire);
        let to = from + entry.bytes.load(Ordering::Acquire);
        if from == 0 || start < from || end > to {
            continue;
        }
        if start > from {
            entry.bytes.store(start - from, Ordering::Release);
        } else if end < to {
            entry.start.store(end, Ordering::Release);
            entry.bytes.store(to - end, Ordering::Release);
        } else {
            entry.start.store(0, Ordering::Release);
            entry.bytes.store(0, Ordering::Release);
            HINT.store(at, Ordering::Relaxed);
        }
        return;
    }
}

/// Calls `each` with every mapping that is the tool's or one of its heaps': first byte and first
/// byte behind.
pub fn for_each(mut each: impl FnMut(usize, usize)) {
    for entry in entries() {
        let start = entry.start.load(Ordering::Acquire);
        if start != 0 {
            each(start, start + entry.bytes.load(Ordering::Acquire));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory;
    use super::*;

    fn holder(address: usize) -> Option<(usize, usize)> {
        let mut found = None;
        for_each(|start, end| {
            if (start..end).contains(&address) {
                found = Some((start, end));
            }
        });
        found
    }

    /// Where nothing is ever mapped: other tests map and unmap at the same time.
    const NOWHERE: usize = 0x10_0000;

    fn hold(start: usize, bytes: usize) {
        while !note(start, bytes) {
            let table = memory::map(TABLE_BYTES).expect("memory");
            // SAFETY: fresh memory, left to the list.
            unsafe { extend(table) };
        }
    }

    #[test]
    fn what_is_noted_is_held_until_it_is_forgotten() {
        let start = memory::map(0x5000).expect("memory");
        assert_eq!(holder(start + 0x4fff), Some((start, start + 0x5000)));
        hold(NOWHERE, 0x5000);
        forget(NOWHERE + 0x4000, 0x1000);
        assert_eq!(holder(NOWHERE + 0x4000), None);
        forget(NOWHERE, 0x1000);
        let rest = (NOWHERE + 0x1000, NOWHERE + 0x4000);
        assert_eq!((holder(NOWHERE), holder(NOWHERE + 0x1000)), (None, Some(rest)));
        forget(rest.0, rest.1 - rest.0);
        assert_eq!(holder(NOWHERE + 0x2000), None);
        let many: Vec<usize> = (1..3 * ROOM).map(|n| NOWHERE + n * 0x2000).collect();
        for &page in &many {
            hold(page, 0x1000);
        }
        assert!(many.iter().all(|&page| holder(page + 0xfff) == Some((page, page + 0x1000))));
        for &page in &many {
            forget(page, 0x1000);
        }
        assert!(many.iter().all(|&page| holder(page).is_none()));
    }
}
