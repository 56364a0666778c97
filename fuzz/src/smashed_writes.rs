//! The writes over a heap's words; the demands are told in [`heap_smashed`](crate::heap_smashed).

use std::ptr::NonNull;

use mallocop::heap::size::{GRANULE, WORD};
use mallocop::heap::{Corruption, Layout};

use crate::smash::{Place, Slot, Smash};
use crate::smashed_player::{MEMORY_OF, SmashedPlayer};

/// More words that verify where they were copied to than chance brings in one script: once in 2^24
/// times for each.
const MOST_CHANCES: usize = 1;

impl SmashedPlayer {
    /// Does one write.
    pub fn smash(&mut self, smash: Smash) {
        self.tally.count("smashes");
        match smash {
            Smash::Flip(at, bit) => self.change(at, |word| word ^ (1 << (bit % 64))),
            Smash::Write(at, value) => self.change(at, |_| value),
            Smash::Overrun(at, skip, len, byte) => {
                let Some(at) = self.address(at) else { return };
                self.overrun(at + usize::from(skip), usize::from(len), byte);
            }
            Smash::Swap(a, b) => {
                let (Some(a), Some(b)) = (self.address(a), self.address(b)) else { return };
                let (Some(at_a), Some(at_b)) = (self.read(a), self.read(b)) else { return };
                self.write_copy(a, at_b);
                self.write_copy(b, at_a);
            }
            Smash::Copy(from, to) => {
                let Some(value) = self.address(from).and_then(|at| self.read(at)) else { return };
                let Some(to) = self.address(to) else { return };
                self.write_copy(to, value);
            }
            Smash::Link(at, to) => {
                let Some(to) = self.chunk(to) else { return };
                self.change(at, |_| to as u64);
            }
            Smash::Pair(a, b) => {
                let (Some(a), Some(b)) = (self.chunk(a), self.chunk(b)) else { return };
                self.write(a + WORD, b as u64);
                self.write(b + 2 * WORD, a as u64);
            }
            Smash::Restore(pick) => {
                let pick = usize::from(pick).checked_rem(self.released.len());
                let Some(&old) = pick.and_then(|pick| self.released.get(pick)) else { return };
                for (at, word) in old.left {
                    self.write(at, word);
                }
            }
            Smash::Replay(pick) => {
                let pick = usize::from(pick).checked_rem(self.seen.len());
                let Some(&(at, value)) = pick.and_then(|pick| self.seen.get(pick)) else { return };
                self.replay(at, value);
            }
        }
    }

    fn change(&mut self, at: Place, to: impl FnOnce(u64) -> u64) {
        let Some(at) = self.address(at) else { return };
        if let Some(word) = self.read(at) {
            self.write(at, to(word));
        }
    }

    fn overrun(&mut self, start: usize, len: usize, byte: u8) {
        let mut at = start & !(WORD - 1);
        while at < start + len {
            if let Some(word) = self.read(at) {
                let mut bytes = word.to_ne_bytes();
                for (i, slot) in bytes.iter_mut().enumerate() {
                    if (start..start + len).contains(&(at + i)) {
                        *slot = byte;
                    }
                }
                self.write(at, u64::from_ne_bytes(bytes));
            }
            at += WORD;
        }
    }

    /// The word's address that a place means.
    fn address(&self, place: Place) -> Option<usize> {
        let (payload, size) = self.payload(place)?;
        let end = payload - WORD + Layout::plain(size).chunk_size()?;
        Some(match place.slot {
            Slot::Word => payload - WORD,
            Slot::Front => payload - 2 * WORD,
            Slot::Next => payload,
            Slot::Prev => payload + WORD,
            Slot::Footer => end - WORD,
            Slot::Behind => end,
            Slot::Words(n) => payload.wrapping_add_signed(8 * isize::from(n)),
        })
    }

    /// The chunk of the payload that a place means.
    fn chunk(&self, place: Place) -> Option<usize> {
        self.payload(place).map(|(payload, _)| payload - WORD)
    }

    fn payload(&self, place: Place) -> Option<(usize, usize)> {
        if place.released {
            let pick = usize::from(place.pick).checked_rem(self.released.len())?;
            return self.released.get(pick).map(|old| (old.at, old.size));
        }
        let payload = self.model.live()[self.model.index(place.pick)?];
        Some((payload.address(), payload.size))
    }

    /// Remembers the words round a payload's start: for a replay.
    pub(crate) fn see_chunk(&mut self, payload: usize) {
        for at in [payload - 2 * WORD, payload - WORD, payload, payload + WORD] {
            self.see(at);
        }
    }

    fn see(&mut self, at: usize) {
        if let Some(word) = self.read(at) {
            if self.seen.len() == MEMORY_OF {
                self.seen.pop_front();
            }
            self.seen.push_back((at, word));
        }
    }

    /// The word at `at` if that is the heap's.
    pub(crate) fn read(&mut self, at: usize) -> Option<u64> {
        let pages = self.memory.heap.pages();
        let (low, high) = pages.range();
        if !pages.holds(at, at + WORD) || at == low || at + WORD == high {
            return None;
        }
        // SAFETY: 8-aligned inside the simulated memory, which nobody holds a reference into.
        let word = unsafe { (at as *const u64).read() };
        if self.verifies(at) {
            self.valid.insert((at, word));
        }
        Some(word)
    }

    /// Writes a word, but no new one that verifies (see the target's second case).
    fn write(&mut self, at: usize, value: u64) {
        let Some(old) = self.put(at, value) else { return };
        if !self.forged && self.verifies(at) {
            self.put(at, old);
            self.tally.count("undone");
        }
    }

    /// Writes a word that was read elsewhere: it must not verify here, unless it once did.
    fn write_copy(&mut self, at: usize, value: u64) {
        let known = self.valid.contains(&(at, value));
        let undone = self.tally.of("undone");
        self.write(at, value);
        if self.tally.of("undone") > undone && !known {
            self.chances.insert((at, value));
            assert!(self.chances.len() <= MOST_CHANCES, "words verify wherever they are copied to");
        }
    }

    /// Writes a word that was there once. If it verifies the strong demands end here.
    fn replay(&mut self, at: usize, value: u64) {
        if self.put(at, value).is_none() {
            return;
        }
        self.tally.count("replayed");
        if !self.forged && self.verifies(at) {
            self.forged = true;
            self.model.distrust();
            self.tally.count("forged");
        }
    }

    /// Returns what was there before; `None` if nothing was changed.
    fn put(&mut self, at: usize, value: u64) -> Option<u64> {
        let old = self.read(at).filter(|&old| old != value)?;
        self.smashed = true;
        self.model.spoil(at, at + WORD);
        self.see(at);
        // SAFETY: `read` has found the word in the simulated memory.
        unsafe { (at as *mut u64).write(value) };
        Some(old)
    }

    /// Would the heap take what is at `at` for a chunk's word, or a mapping's offset? Footers are
    /// left out: they are believed only where a chunk's word agrees.
    fn verifies(&self, at: usize) -> bool {
        let is_word = at % GRANULE == WORD;
        let payload = at + if is_word { WORD } else { 2 * WORD };
        let Some(payload) = NonNull::new(payload as *mut u8) else { return false };
        // SAFETY: `span_of` reads the two words in front of the payload, both in the simulated
        // memory: `read` never goes to its first word.
        match unsafe { self.memory.heap.span_of(payload) } {
            Ok(span) => is_word || span.is_some(),
            Err(corrupt) => is_word && (corrupt.chunk != at || corrupt.what != Corruption::Word),
        }
    }
}
