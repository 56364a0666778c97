//! Operations on a heap whose words are written over; what is demanded is told in
//! [`heap_smashed`](crate::heap_smashed).

use std::collections::{BTreeSet, VecDeque};
use std::ptr::NonNull;

use mallocop::heap::size::{GRANULE, MIN_CHUNK, PAGE, WORD};
use mallocop::heap::{Corrupt, Heap, Layout};

use crate::model::Model;
use crate::script::Op;
use crate::simulated::Simulated;
use crate::source::LedgerPages;
use crate::tally::Tally;

/// More than there are lists in a heap, each of which an `Err` may drop.
const MOST_ERRORS: usize = 400;
/// More requests than one call ever has a reason for.
const MOST_REQUESTS: usize = 16;
/// Released by one operation, each of which may make a request.
const MOST_PUT_BACK: u8 = 8;
/// Words and payloads that are remembered.
pub(crate) const MEMORY_OF: usize = 256;

/// One of the heap's two ways to take a payload.
type GiveBack = unsafe fn(&mut Heap<LedgerPages>, NonNull<u8>) -> Result<(), Corrupt>;

/// A payload that was released lately.
#[derive(Clone, Copy)]
pub(crate) struct Released {
    pub(crate) at: usize,
    pub(crate) size: usize,
    /// Links and footer right after: where, and what.
    pub(crate) left: [(usize, u64); 3],
}

/// A heap under attack, its model, and what was done so far.
pub struct SmashedPlayer {
    pub(crate) memory: Simulated,
    /// What should live in the heap.
    pub model: Model,
    /// What was done.
    pub tally: Tally,
    pub(crate) released: VecDeque<Released>,
    /// Words that were seen: where, and what.
    pub(crate) seen: VecDeque<(usize, u64)>,
    /// An old word was put back: the strong demands hold no more.
    pub(crate) forged: bool,
    pub(crate) smashed: bool,
    /// Words that were seen to verify.
    pub(crate) valid: BTreeSet<(usize, u64)>,
    /// Words copied from elsewhere that verify where they never did before.
    pub(crate) chances: BTreeSet<(usize, u64)>,
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
            valid: BTreeSet::new(),
            chances: BTreeSet::new(),
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
            Op::Batch(size, most, grow) => self.allocate_batch(size.0, most.into(), grow),
            Op::PutBack(pick, count) if count % 2 == 1 => self.put_back_sorted(pick, count),
            Op::PutBack(pick, count) => {
                for _ in 0..count.min(MOST_PUT_BACK) {
                    if let Some(index) = self.model.index(pick) {
                        self.give_back(index, Heap::put_back);
                    }
                }
                self.memory.heap.settle();
            }
            Op::Discard(least) => self.discard(least),
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

    /// Allocates many of a size, again after each error.
    fn allocate_batch(&mut self, size: usize, most: usize, grow: bool) {
        for _ in 0..MOST_ERRORS {
            let mut payloads = Vec::new();
            let heap = &mut self.memory.heap;
            let result = heap.allocate_batch(size, most, grow, |payload| payloads.push(payload));
            assert!(result.is_err() || result == Ok(payloads.len()));
            assert!(payloads.len() <= most);
            for payload in payloads {
                self.demand_inside(payload, size);
                // SAFETY: the heap has just handed out these bytes.
                unsafe { self.model.insert(payload, size, GRANULE) };
                self.see_chunk(payload.as_ptr() as usize);
                self.tally.count("in batches");
            }
            if self.note(result).is_some() {
                return;
            }
        }
        assert!(self.forged, "no progress after {MOST_ERRORS} errors");
    }

    /// Gives pages inside free chunks back: none that a payload is in.
    fn discard(&mut self, least: usize) {
        self.memory.heap.discard_free(least.max(MIN_CHUNK));
        for pages in self.memory.heap.pages().take_discarded() {
            let start = NonNull::new(pages.start as *mut u8).expect("not null");
            self.model.demand_apart(start, pages.len());
            self.tally.count("discarded");
        }
    }

    /// Gives many payloads back in the order of their addresses, and after each error the rest.
    fn put_back_sorted(&mut self, pick: u16, count: u8) {
        let mut payloads = Vec::new();
        for _ in 0..count.min(MOST_PUT_BACK) {
            let Some(index) = self.model.index(pick) else { break };
            let payload = self.model.live()[index].at;
            // SAFETY: the payload is live.
            if unsafe { self.memory.heap.span_of(payload) } == Ok(None) {
                self.see_chunk(payload.as_ptr() as usize);
                payloads.push(self.model.remove(index).address());
            }
        }
        payloads.sort_unstable();
        let mut done = 0;
        while done < payloads.len() {
            // SAFETY: the payloads are live and forgotten from here on; that their words may be
            // smashed is the test.
            let these = unsafe { self.memory.heap.put_back_sorted(&payloads[done..]) };
            assert!(these.chunks != 0 && these.runs <= these.chunks);
            done += these.chunks;
            self.note(these.result);
        }
        self.tally.add("put back sorted", done);
        self.memory.heap.settle();
    }

    fn release(&mut self, index: usize) {
        self.give_back(index, Heap::release);
    }

    fn give_back(&mut self, index: usize, by: GiveBack) {
        let payload = self.model.remove(index);
        let at = payload.address();
        self.see_chunk(at);
        let usage = self.memory.heap.usage();
        // SAFETY: the payload is live and forgotten if the heap takes it; that its words may be
        // smashed is the test.
        let result = unsafe { by(&mut self.memory.heap, payload.at) };
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
        // SAFETY: the heap has just made the payload so large, at `at`.
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
        // SAFETY: the payload is live and has `capacity` bytes, by the heap's word for an unforged
        // chunk.
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
    }

    fn gone(&mut self, at: usize, size: usize) {
        self.see_chunk(at);
        if self.released.len() == MEMORY_OF {
            self.released.pop_front();
        }
        let chunk_size = Layout::plain(size).chunk_size().unwrap_or(MIN_CHUNK);
        let left = [at, at + WORD, at - WORD + chunk_size - WORD];
        let left = left.map(|at| (at, self.read(at).unwrap_or(0)));
        self.released.push_back(Released { at, size, left });
        self.tally.count("released");
    }

    /// `size` bytes at `payload` must be memory that the source handed out.
    fn demand_inside(&mut self, payload: NonNull<u8>, size: usize) {
        let at = payload.as_ptr() as usize;
        let inside =
            at.checked_add(size).is_some_and(|end| self.memory.heap.pages().holds(at, end));
        assert!(inside, "{at:#x} with {size} bytes is no memory of the heap's");
    }
}
