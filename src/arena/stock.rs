//! Small chunks that the cache put back, by class, not coalesced yet: what is freed in one phase is asked
//! for in the next, and to split and join chunks in between costs ten times as much.
//!
//! Lists go through the chunks' own memory, so links are not trusted: each is sealed with the heap's key
//! and its own address, and followed only if the seal holds. To the heap these chunks are in use.

use core::ptr::NonNull;

use super::class::{CLASSES, Class};
use crate::heap::size::WORD;
use crate::heap::{Corrupt, Corruption};

/// Largest chunk that is stocked; larger ones coalesce at once.
const LARGEST: usize = 512;

/// Lists by class.
pub(super) struct Stock {
    heads: [usize; CLASSES],
    bytes: usize,
    key: u64,
}

/// In the payload of a stocked chunk, which has 24 bytes at least.
#[repr(C)]
struct Link {
    next: usize,
    seal: u64,
}

impl Stock {
    pub(super) const fn new() -> Self {
        Self { heads: [0; CLASSES], bytes: 0, key: 0 }
    }

    pub(super) fn set_key(&mut self, key: u64) {
        self.key = key;
    }

    /// Bytes of all chunks in stock.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn takes(class: Class) -> bool {
        class.chunk_size() <= LARGEST
    }

    const fn seal(&self, at: usize, next: usize) -> u64 {
        let mixed = (next as u64 ^ self.key)
            .wrapping_add((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }

    /// Puts a chunk in.
    ///
    /// # Safety
    /// The payload is of a chunk in use of the heap beside, has that class, and is the caller's to give.
    pub(super) unsafe fn put(&mut self, class: Class, payload: NonNull<u8>) {
        let Some(head) = self.heads.get_mut(class.index()) else { return };
        let at = payload.as_ptr() as usize;
        let next = core::mem::replace(head, at);
        let link = Link { next, seal: self.seal(at, next) };
        // SAFETY: a payload is 16-aligned and has 24 bytes, by the caller's word the heap's.
        unsafe { payload.cast::<Link>().write(link) };
        self.bytes += class.chunk_size();
    }

    /// Takes up to `most` chunks of a class out, one at a time, as long as `each` says so. `Err`: a link
    /// was overwritten; the rest of the list stays in use for good.
    pub(super) fn take(
        &mut self,
        class: Class,
        most: usize,
        mut each: impl FnMut(NonNull<u8>) -> bool,
    ) -> Result<usize, Corrupt> {
        for taken in 0..most {
            let at = self.heads.get(class.index()).copied().unwrap_or(0);
            let Some(payload) = NonNull::new(at as *mut u8) else { return Ok(taken) };
            // SAFETY: an address that `put` was given, or one from a link whose seal held: a chunk in
            // stock, which stays mapped.
            let Link { next, seal } = unsafe { payload.cast::<Link>().read() };
            let holds = seal == self.seal(at, next);
            if let Some(head) = self.heads.get_mut(class.index()) {
                *head = if holds { next } else { 0 };
            }
            if !holds {
                return Err(Corrupt { chunk: at - WORD, what: Corruption::Link });
            }
            self.bytes = self.bytes.saturating_sub(class.chunk_size());
            if !each(payload) {
                return Ok(taken + 1);
            }
        }
        Ok(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class() -> Class {
        Class::from_index(2).expect("a class")
    }

    #[test]
    fn what_is_put_in_comes_out_once() {
        let mut memory = [[0u64; 8]; 5];
        let mut stock = Stock::new();
        stock.set_key(77);
        let payloads: Vec<_> =
            memory.iter_mut().map(|chunk| NonNull::from(chunk).cast::<u8>()).collect();
        for &payload in &payloads {
            // SAFETY: the test's own memory, 64 bytes each.
            unsafe { stock.put(class(), payload) };
        }
        assert_eq!(stock.bytes(), 5 * class().chunk_size());
        let mut seen = Vec::new();
        let mut take = |most| {
            stock.take(class(), most, |payload| {
                seen.push(payload);
                true
            })
        };
        assert_eq!((take(2), take(9), take(1)), (Ok(2), Ok(3), Ok(0)));
        assert!(seen.iter().rev().eq(payloads.iter()));
        assert_eq!(stock.bytes(), 0);
    }

    #[test]
    fn an_overwritten_link_is_not_followed() {
        let mut memory = [[0u64; 8]; 2];
        let mut stock = Stock::new();
        stock.set_key(77);
        for chunk in &mut memory {
            // SAFETY: the test's own memory, 64 bytes each.
            unsafe { stock.put(class(), NonNull::from(chunk).cast()) };
        }
        memory[1][0] = 0x4141_4141_4141_4141;
        let taken = stock.take(class(), 2, |_| true);
        assert!(matches!(taken, Err(Corrupt { what: Corruption::Link, .. })));
        assert_eq!(stock.take(class(), 2, |_| true), Ok(0));
    }
}
