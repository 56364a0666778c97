//! What any correct allocator must do, whatever is underneath: payloads that live do not overlap,
//! and each holds what was written into it.

use std::collections::BTreeMap;
use std::ptr::NonNull;

/// One live payload as the model knows it.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    /// Its address.
    pub at: NonNull<u8>,
    /// Bytes asked for.
    pub size: usize,
    /// Alignment asked for.
    pub align: usize,
    /// Written over by somebody else: its contents are neither written nor verified any more.
    pub spoiled: bool,
    seed: u8,
}

impl Payload {
    /// Address as a number.
    pub fn address(&self) -> usize {
        self.at.as_ptr() as usize
    }

    /// Writes the pattern.
    fn fill(&self) {
        if self.spoiled {
            return;
        }
        for i in edges(self.size) {
            // SAFETY: `Model::insert`'s caller gave us these bytes until `remove`.
            unsafe { self.at.as_ptr().add(i).write(self.seed.wrapping_add(i as u8)) };
        }
    }

    /// The pattern of `self`, looked for at `at`, as far as it goes into the first `limit` bytes.
    fn verify(&self, at: NonNull<u8>, limit: usize) {
        if self.spoiled {
            return;
        }
        for i in edges(self.size).take_while(|&i| i < limit) {
            // SAFETY: the payload's own bytes, or the first `limit` at the place that it has moved
            // to, which are there by the caller's word.
            let byte = unsafe { at.as_ptr().add(i).read() };
            assert_eq!(byte, self.seed.wrapping_add(i as u8), "byte {i} of {self:?} at {at:?}");
        }
    }
}

/// The bytes of a payload that are written and verified: all of a small one, both ends of a large
/// one.
fn edges(size: usize) -> impl Iterator<Item = usize> {
    let head = size.min(256);
    (0..head).chain(size.saturating_sub(64).max(head)..size)
}

/// The live payloads.
#[derive(Default)]
pub struct Model {
    live: Vec<Payload>,
    /// End by start, as long as they do not overlap; one of no bytes takes up one.
    ends: BTreeMap<usize, usize>,
    seed: u8,
    distrusted: bool,
}

impl Model {
    /// The live payloads, in no order.
    pub fn live(&self) -> &[Payload] {
        &self.live
    }

    /// The index that `pick` means among the live payloads.
    pub fn index(&self, pick: u16) -> Option<usize> {
        usize::from(pick).checked_rem(self.live.len())
    }

    /// # Panics
    /// If `[at, at + size)` overlaps a live payload.
    pub fn demand_apart(&self, at: NonNull<u8>, size: usize) {
        let at = at.as_ptr() as usize;
        if self.distrusted {
            return;
        }
        let last = self.ends.range(..at + size.max(1)).next_back();
        if let Some((&start, &end)) = last {
            assert!(end <= at, "{at:#x} with {size} bytes overlaps {start:#x} to {end:#x}");
        }
    }

    /// A new payload: must be apart from all others, and is filled.
    ///
    /// # Safety
    /// The `size` bytes at `at` may be read and written until the payload leaves the model.
    ///
    /// # Panics
    /// If it overlaps another one.
    pub unsafe fn insert(&mut self, at: NonNull<u8>, size: usize, align: usize) {
        self.demand_apart(at, size);
        self.seed = self.seed.wrapping_add(37);
        let payload = Payload { at, size, align, spoiled: self.distrusted, seed: self.seed };
        payload.fill();
        self.list(payload);
    }

    fn list(&mut self, payload: Payload) {
        self.ends.insert(payload.address(), payload.address() + payload.size.max(1));
        self.live.push(payload);
    }

    fn unlist(&mut self, index: usize) -> Payload {
        let payload = self.live.swap_remove(index);
        self.ends.remove(&payload.address());
        payload
    }

    /// The payload leaves the model; it must hold what it should.
    ///
    /// # Panics
    /// If it does not.
    pub fn remove(&mut self, index: usize) -> Payload {
        let payload = self.unlist(index);
        payload.verify(payload.at, payload.size);
        payload
    }

    /// Puts back what [`Model::remove`] took: it could not be released.
    pub fn keep(&mut self, payload: Payload) {
        self.list(payload);
    }

    /// A payload has been resized, perhaps moved: its old contents must be there, as far as both
    /// sizes go, and it must be apart from the others. Then it is filled anew.
    ///
    /// # Safety
    /// As for [`Model::insert`], with the new address and size.
    ///
    /// # Panics
    /// If a demand is broken.
    pub unsafe fn moved(&mut self, index: usize, at: NonNull<u8>, size: usize) {
        let old = self.unlist(index);
        old.verify(at, old.size.min(size));
        self.demand_apart(at, size);
        let new = Payload { at, size, ..old };
        new.fill();
        self.list(new);
    }

    /// All contents must be what was written.
    ///
    /// # Panics
    /// If they are not.
    pub fn verify_all(&self) {
        self.live.iter().for_each(|payload| payload.verify(payload.at, payload.size));
    }

    /// From here on the model only keeps the list: contents and overlaps are left alone.
    pub fn distrust(&mut self) {
        self.distrusted = true;
        self.spoil(0, usize::MAX);
    }

    /// The contents of each payload that touches `[start, end)` prove nothing any more.
    pub fn spoil(&mut self, start: usize, end: usize) {
        for payload in &mut self.live {
            let at = payload.address();
            payload.spoiled |= start < at + payload.size && at < end;
        }
    }
}
