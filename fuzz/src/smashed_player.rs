//! Operations on a heap whose words are written over; what is demanded is told in
//! [`heap_smashed`](crate::heap_smashed).

use std::collections::VecDeque;
use std::ptr::NonNull;

use mallocop::heap::size::{GRANULE, PAGE, WORD};
use mallocop::heap::{Corrupt, Corruption, Layout};

use crate::model::Model;
use crate::script::Op;
use crate::simulated::Simulated;
use crate::smash::{Place, Slot, Smash};
use crate::tally::Tally;

/// More than there are lists in a heap, each of which an `Err` may drop.
const MOST_ERRORS: usize = 400;
/// More requests than one call ever has a reason for.
const MOST_REQUESTS: usize = 16;
/// Words and payloads that are remembered.
const MEMORY_OF: usize = 256;

/// A heap under attack, its model, and what was done so far.
pub struct SmashedPlayer {
    memory: Simulated,
    /// What should live in the heap.
    pub model: Model,
    /// What was done.
    pub tally: Tally,
    /// Address and size asked for of payloads released lately.
    released: VecDeque<(usize, usize)>,
    /// Words that were seen: where, and what.
    seen: VecDeque<(usize, u64)>,
    /// An old word was put back: the strong demands hold no more.
    forged: bool,
    smashed: bool,
}

impl SmashedPlayer {
    /// Over `bytes` of simulated memory.
    pub fn new(bytes: usize, key: u64) -> Self {
        Self {
            memory: Simulated::new(bytes, key),
            model: Model::default(),
            tally: Tally::default(),
            released: VecDeque::new(),
            seen: VecDeque::new(),
            forged: false,
            smashed: false,
        }
    }

    /// Does one operation; none if it needs a payload and there is none.
    ///
    /// # Panics
    /// If a demand is broken, as all methods here.
    pub fn play(&mut self, op: Op) {
        let requests = self.memory.heap.pages().requests;
        match op {
            Op::Allocate(request) => {
                self.allocate(request.0);
            }
            Op::Release(pick) => {
                if let Some(index) = self.model.index(pick) {
                    self.release(index);
                }
            }
            Op::Retire(pick) => {
                if let Some(index) = self.model.index(pick) {
                    self.retire(index);
                }
            }
            Op::Resize(pick, size) => {
                if let Some(index) = self.model.index(pick) {
                    self.resize(index, size.0);
                }
            }
            Op::Capacity(pick) => {
                if let Some(index) = self.model.index(pick) {
                    self.fill_capacity(index);
                }
            }
            Op::Trim(keep) => {
                self.memory.heap.trim(keep);
            }
            Op::Foreign(bytes) => self.memory.heap.pages().move_break(bytes),
            Op::Tune(tune) => tune.apply(&mut self.memory.heap.tuning),
        }
        let pages = self.memory.heap.pages();
        assert!(pages.requests - requests <= MOST_REQUESTS, "{op:?}: work without bound");
        assert!(self.forged || !pages.is_misused(), "{op:?}: gave back what it was not given");
    }

    /// Counts an error; there is none before the first write.
    fn note<T>(&mut self, result: Result<T, Corrupt>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(corrupt) => {
                assert!(self.smashed, "{corrupt:?} in a heap that nobody wrote over");
                self.tally.count("corrupt");
                None
            }
        }
    }

    /// Allocates, again after each error; says whether there was memory.
    fn allocate(&mut self, layout: Layout) -> bool {
        for _ in 0..MOST_ERRORS {
            let result = self.memory.heap.allocate(layout);
            let Some(found) = self.note(result) else { continue };
            let Some(payload) = found else { return false };
            let at = payload.as_ptr() as usize;
            assert_eq!(at % GRANULE, 0);
            assert_eq!((at + layout.lead) % layout.align, 0, "{layout:?}");
            self.demand_inside(payload, layout.size);
            // SAFETY: the bytes are the source's, so the simulation's; if the heap gave them to
            // two payloads `insert` panics, or, after a forgery, writes nothing.
            unsafe { self.model.insert(payload, layout.size, layout.align) };
            self.see_chunk(at);
            self.tally.count("allocated");
            return true;
        }
        assert!(self.forged, "no progress after {MOST_ERRORS} errors");
        false
    }

    fn release(&mut self, index: usize) {
        let payload = self.model.remove(index);
        let at = payload.address();
        self.see_chunk(at);
        let usage = self.memory.heap.usage();
        // SAFETY: the payload is live and forgotten if the heap takes it; that its words may be
        // smashed is the test.
        let result = unsafe { self.memory.heap.release(payload.at) };
        if self.note(result).is_none() {
            let now = self.memory.heap.usage();
            assert!(self.forged || now == usage, "an error changed {usage:?} to {now:?}");
            self.model.keep(payload);
            return;
        }
        self.gone(at, payload.size);
    }

    fn retire(&mut self, index: usize) {
        let payload = self.model.live()[index];
        // SAFETY: the payload is live; that its words may be smashed is the test.
        let result = unsafe { self.memory.heap.span_of(payload.at) };
        match self.note(result) {
            None => {}
            Some(None) => self.release(index),
            Some(Some(span)) => {
                self.model.remove(index);
                self.memory.heap.retire(span);
                // SAFETY: just retired, and forgotten from here on. After a forgery the span may
                // be none: the ledger of the source turns that down.
                unsafe { self.memory.heap.unmap(span) };
                self.gone(payload.address(), payload.size);
            }
        }
    }

    fn resize(&mut self, index: usize, size: usize) {
        let old = self.model.live()[index];
        // SAFETY: the payload is live; that its words may be smashed is the test.
        let result = unsafe { self.memory.heap.span_of(old.at) };
        let usage = self.memory.heap.usage();
        let moved = match self.note(result) {
            None => return,
            Some(Some(_)) if old.align > PAGE => return,
            // SAFETY: the payload is live and its old address forgotten where it moves. After a
            // forgery the span may be none: the ledger of the source turns that down.
            Some(Some(span)) => unsafe { self.memory.heap.remap(old.at, span, size) },
            Some(None) => {
                // SAFETY: the payload is live.
                let result = unsafe { self.memory.heap.resize(old.at, size) };
                let Some(resized) = self.note(result) else {
                    let now = self.memory.heap.usage();
                    let same = (now.in_use, now.chunks) == (usage.in_use, usage.chunks);
                    assert!(self.forged || same, "an error changed {usage:?} to {now:?}");
                    return;
                };
                resized.then_some(old.at)
            }
        };
        let Some(at) = moved else { return };
        self.demand_inside(at, size);
        // SAFETY: as in `allocate`.
        unsafe { self.model.moved(index, at, size) };
        self.tally.count("resized");
    }

    /// Uses all bytes that a payload has.
    fn fill_capacity(&mut self, index: usize) {
        let payload = self.model.live()[index];
        // SAFETY: the payload is live; that its words may be smashed is the test.
        let result = unsafe { self.memory.heap.capacity(payload.at) };
        let Some(capacity) = self.note(result) else { return };
        assert!(self.forged || capacity >= payload.size, "{capacity} for {payload:?}");
        if !self.forged {
            self.demand_inside(payload.at, capacity);
        }
        // SAFETY: as in `allocate`.
        unsafe { self.model.moved(index, payload.at, capacity) };
        self.tally.count("capacity");
    }

    /// Takes `pieces` small pieces of what the heap has left: stray free chunks come out.
    pub fn fill_up(&mut self, pieces: usize) {
        self.memory.heap.tuning.mmap_threshold = usize::MAX;
        for size in [24, 40, 100, 500, 3000].into_iter().cycle().take(pieces) {
            if !self.allocate(Layout::plain(size)) {
                break;
            }
        }
    }

    /// The walker must end, whatever it finds, and find nothing before the first write.
    pub fn check(&mut self) {
        let result = self.memory.heap.check();
        assert!(self.smashed || result.is_ok(), "{result:?} in a heap that nobody wrote over");
        self.tally.count(if result.is_ok() { "found sound" } else { "found broken" });
        self.memory.demand_borders();
    }

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
                self.write(a, at_b);
                self.write(b, at_a);
            }
            Smash::Copy(from, to) => {
                let Some(value) = self.address(from).and_then(|at| self.read(at)) else { return };
                self.change(to, |_| value);
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
            return self.released.get(pick).copied();
        }
        let payload = self.model.live()[self.model.index(place.pick)?];
        Some((payload.address(), payload.size))
    }

    fn gone(&mut self, at: usize, size: usize) {
        self.see_chunk(at);
        if self.released.len() == MEMORY_OF {
            self.released.pop_front();
        }
        self.released.push_back((at, size));
        self.tally.count("released");
    }

    /// Remembers the words round a payload's start: for a replay.
    fn see_chunk(&mut self, payload: usize) {
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

    /// The word at `at` if that is in the simulated memory.
    fn read(&mut self, at: usize) -> Option<u64> {
        let (low, high) = self.memory.heap.pages().range();
        // SAFETY: 8-aligned inside the simulated memory, which nobody holds a reference into.
        (at > low && at + WORD < high).then(|| unsafe { (at as *const u64).read() })
    }

    /// Writes a word, but no new one that verifies (see the target's second case).
    fn write(&mut self, at: usize, value: u64) {
        let Some(old) = self.put(at, value) else { return };
        if !self.forged && self.verifies(at) {
            self.put(at, old);
            self.tally.count("undone");
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

    /// `size` bytes at `payload` must be memory that the source handed out.
    fn demand_inside(&mut self, payload: NonNull<u8>, size: usize) {
        let at = payload.as_ptr() as usize;
        let inside =
            at.checked_add(size).is_some_and(|end| self.memory.heap.pages().holds(at, end));
        assert!(inside, "{at:#x} with {size} bytes is no memory of the heap's");
    }
}
