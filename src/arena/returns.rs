//! Addresses on their way from the stock back into the heap, sorted, so that neighbours are joined at
//! once: chunk by chunk they would be joined through the bins, a dozen cache misses for each.

use core::ptr::NonNull;

use crate::sys::memory;

/// Addresses that it holds: 128 KiB of them, mapped at the first use and kept.
const ROOM: usize = 16 << 10;

/// A list in pages of its own. All zero is empty.
pub(super) struct Returns {
    start: *mut usize,
    count: usize,
    done: usize,
}

// SAFETY: the pages are its own.
unsafe impl Send for Returns {}

impl Returns {
    pub(super) const fn new() -> Self {
        Self { start: core::ptr::null_mut(), count: 0, done: 0 }
    }

    /// Adds an address. `false`: there is no room, or no memory for it.
    pub(super) fn push(&mut self, payload: NonNull<u8>) -> bool {
        if self.start.is_null() {
            let pages = memory::map(ROOM * size_of::<usize>());
            self.start = pages.unwrap_or(0) as *mut usize;
        }
        if self.start.is_null() || self.count == ROOM {
            return false;
        }
        // SAFETY: the pages have that many places.
        unsafe { self.start.add(self.count).write(payload.as_ptr() as usize) };
        self.count += 1;
        true
    }

    /// To be called once, when all are in.
    pub(super) fn sort(&mut self) {
        if !self.start.is_null() {
            // SAFETY: so many were written, and nobody else has the pages.
            unsafe { core::slice::from_raw_parts_mut(self.start, self.count) }.sort_unstable();
        }
    }

    /// Those that are not done yet.
    pub(super) fn rest(&self) -> &[usize] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: so many were written.
        let all = unsafe { core::slice::from_raw_parts(self.start, self.count) };
        all.get(self.done..).unwrap_or(&[])
    }

    /// Another `count` of them are done.
    pub(super) fn done(&mut self, count: usize) {
        self.done += count;
        if self.done >= self.count {
            (self.count, self.done) = (0, 0);
        }
    }
}

impl Drop for Returns {
    fn drop(&mut self) {
        if !self.start.is_null() {
            // SAFETY: mapped by `push`, and no slice of it lives.
            unsafe { memory::unmap(self.start as usize, ROOM * size_of::<usize>()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_order_and_once() {
        let mut returns = Returns::new();
        assert!(returns.rest().is_empty());
        for address in [48, 16, 32] {
            assert!(returns.push(NonNull::new(address as *mut u8).expect("not null")));
        }
        returns.sort();
        assert_eq!(returns.rest(), [16, 32, 48]);
        returns.done(2);
        assert_eq!(returns.rest(), [48]);
        returns.done(1);
        assert!(returns.rest().is_empty());
        let fits = (0..).take_while(|_| returns.push(NonNull::dangling())).count();
        assert_eq!(fits, ROOM);
    }
}
