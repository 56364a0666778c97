//! A page source over a caller's buffer, for tests and fuzzing: refuses the n-th request on
//! demand, leaves holes where another user of brk would, and checks what is given back.

use super::pages::{PageSource, Pages};
use super::size::{PAGE, round_up};

/// Most mappings alive at a time.
const MAX_MAPS: usize = 64;

/// Serves `grow` from the front of a buffer and `map` from its back.
pub struct TestPages {
    start: usize,
    brk: usize,
    map_floor: usize,
    end: usize,
    maps: [Pages; MAX_MAPS],
    /// Requests so far (`grow`, `map` and `remap`).
    pub requests: usize,
    /// Number (from 0) of the one request to refuse.
    pub refuse: Option<usize>,
    /// Bytes somebody else takes at the break before the next `grow`.
    pub foreign: usize,
    /// Something was given back that was never handed out.
    pub misused: bool,
}

impl TestPages {
    /// Over `[start, start + len)`.
    ///
    /// # Safety
    /// The memory is zero, writable and used by nobody else while the source or its heap lives.
    pub unsafe fn new(start: *mut u8, len: usize) -> Self {
        let low = round_up(start as usize, PAGE);
        let end = (start as usize + len) & !(PAGE - 1);
        Self {
            start: low,
            brk: low,
            map_floor: end,
            end,
            maps: [Pages { start: 0, len: 0 }; MAX_MAPS],
            requests: 0,
            refuse: None,
            foreign: 0,
            misused: false,
        }
    }

    /// The whole buffer, in whole pages.
    pub const fn range(&self) -> (usize, usize) {
        (self.start, self.end)
    }

    fn refused(&mut self) -> bool {
        let this = self.requests;
        self.requests += 1;
        self.refuse == Some(this)
    }

    fn slot_of(&mut self, start: usize, len: usize) -> Option<&mut Pages> {
        self.maps.iter_mut().find(|map| map.start == start && map.len == len)
    }

    /// A gap of `bytes` above the break, from the top down.
    fn find_gap(&self, bytes: usize) -> Option<usize> {
        let mut top = self.end;
        loop {
            let start = top.checked_sub(bytes).filter(|&start| start >= self.brk)?;
            let clash = self
                .maps
                .iter()
                .find(|map| map.len != 0 && map.start < top && start < map.start + map.len);
            match clash {
                Some(map) => top = map.start,
                None => return Some(start),
            }
        }
    }
}

fn zero(start: usize, len: usize) {
    // SAFETY: only called on parts of the buffer that are handed out now.
    unsafe { (start as *mut u8).write_bytes(0, len) };
}

// SAFETY: the buffer is zeroed as it is handed out, and each part is handed out once at a time.
unsafe impl PageSource for TestPages {
    fn grow(&mut self, _end: usize, bytes: usize) -> Option<Pages> {
        if self.refused() {
            return None;
        }
        self.brk += round_up(core::mem::take(&mut self.foreign), 16);
        let len = round_up(bytes, 16);
        let start = self.brk;
        if start.checked_add(len)? > self.map_floor {
            return None;
        }
        self.brk += len;
        zero(start, len);
        Some(Pages { start, len })
    }

    unsafe fn shrink(&mut self, end: usize, bytes: usize) -> bool {
        if end != self.brk {
            return false;
        }
        self.misused |= end - bytes < self.start;
        self.brk -= bytes;
        true
    }

    fn map(&mut self, bytes: usize) -> Option<usize> {
        if self.refused() || bytes > self.end - self.start {
            return None;
        }
        let start = self.find_gap(bytes)?;
        *self.slot_of(0, 0)? = Pages { start, len: bytes };
        self.map_floor = self.map_floor.min(start);
        zero(start, bytes);
        Some(start)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) {
        match self.slot_of(start, bytes) {
            Some(slot) => *slot = Pages { start: 0, len: 0 },
            None => self.misused = true,
        }
        let maps = self.maps.iter().filter(|map| map.len != 0);
        self.map_floor = maps.map(|map| map.start).min().unwrap_or(self.end);
    }

    unsafe fn remap(&mut self, start: usize, old: usize, new: usize) -> Option<usize> {
        if self.slot_of(start, old).is_none() {
            self.misused = true;
            return None;
        }
        if new <= old {
            *self.slot_of(start, old)? = Pages { start, len: new };
            return Some(start);
        }
        let to = self.map(new)?;
        // SAFETY: both mappings are in the buffer and apart.
        unsafe { core::ptr::copy_nonoverlapping(start as *const u8, to as *mut u8, old) };
        // SAFETY: the contents have moved; the caller drops the old addresses.
        unsafe { self.unmap(start, old) };
        Some(to)
    }
}
