//! The loader's records of the modules that rules were made for.
//!
//! The loader gives a module's record back to free when it has unmapped the module and before it
//! lets go of its lock, thus before another module can be where that was. Whoever sees that free
//! knows in time.

use core::sync::atomic::{AtomicUsize, Ordering};

/// What finds no room is not known of, and its unloading not seen: 4096 modules.
static KNOWN: [AtomicUsize; 1 << 12] = [const { AtomicUsize::new(0) }; 1 << 12];

fn places_of(link_map: usize) -> impl Iterator<Item = &'static AtomicUsize> {
    let first = link_map / 16;
    (first..first + KNOWN.len()).filter_map(|at| KNOWN.get(at % KNOWN.len()))
}

/// Notes that there are rules for the module with that record.
pub(crate) fn note(link_map: usize) {
    for place in places_of(link_map) {
        match place.compare_exchange(0, link_map, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(found) if found == link_map => return,
            Err(_) => {}
        }
    }
}

/// Forgets the record at that address. `false`: there was none.
#[cold]
pub(crate) fn forget(link_map: usize) -> bool {
    let mut any = false;
    for place in places_of(link_map) {
        any |= place.compare_exchange(link_map, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_forgotten_once() {
        // Addresses that lead to the same places.
        let records = [0x10_0000, 0x10_0000 + (KNOWN.len() << 4), 0x10_0000 + (KNOWN.len() << 5)];
        for record in records.into_iter().chain(records) {
            note(record);
        }
        assert!(!forget(0x10_0000 + (KNOWN.len() << 6)));
        for record in records {
            assert!(forget(record));
            assert!(!forget(record));
        }
    }
}
