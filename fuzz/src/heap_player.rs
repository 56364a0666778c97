//! Operations on a sound heap and on the model beside it: whatever comes back must be right.

use std::ptr::NonNull;

use mallocop::heap::Layout;
use mallocop::heap::Usage;
use mallocop::heap::size::{GRANULE, MIN_CHUNK, PAGE};

use crate::model::Model;
use crate::script::Op;
use crate::simulated::Simulated;
use crate::tally::Tally;

/// A heap that nobody writes over, its model, and what was done so far.
pub struct HeapPlayer {
    /// The heap and its memory.
    pub memory: Simulated,
    /// What should live in it.
    pub model: Model,
    /// What was done.
    pub tally: Tally,
}

impl HeapPlayer {
    /// Over `bytes` of simulated memory.
    pub fn new(bytes: usize, key: u64) -> Self {
        Self {
            memory: Simulated::new(bytes, key),
            model: Model::default(),
            tally: Tally::default(),
        }
    }

    /// Does one operation; none if it needs a payload and there is none.
    ///
    /// # Panics
    /// If a demand is broken, as all methods here.
    pub fn play(&mut self, op: Op) {
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
            Op::Trim(keep) => self.trim(keep),
            Op::Foreign(bytes) => {
                self.memory.heap.pages().move_break(bytes);
                self.tally.count("foreign");
            }
            Op::Tune(tune) => {
                tune.apply(&mut self.memory.heap.tuning);
                self.tally.count("tuned");
            }
            Op::Batch(size, most, grow) => self.allocate_batch(size.0, most.into(), grow),
            Op::PutBack(pick, count) => self.put_back(pick, count),
            Op::Discard(least) => self.discard(least),
        }
    }

    /// Allocates; says whether there was memory.
    pub fn allocate(&mut self, layout: Layout) -> bool {
        let mapped = self.memory.heap.usage().mapped_chunks;
        let payload = self.memory.heap.allocate(layout).expect("the heap is sound");
        let Some(payload) = payload else {
            self.tally.count("no memory");
            return false;
        };
        let at = payload.as_ptr() as usize;
        assert_eq!(at % GRANULE, 0);
        assert_eq!((at + layout.lead) % layout.align, 0, "{layout:?}");
        self.demand_room(payload, layout.size);
        if self.memory.heap.last_is_zero() {
            // SAFETY: the heap has just handed out these bytes.
            let bytes = unsafe { std::slice::from_raw_parts(payload.as_ptr(), layout.size) };
            assert!(is_zero(bytes), "{layout:?} at {at:#x} is said to be zero");
            self.tally.count("zero");
        }
        // SAFETY: the heap has just handed out these bytes.
        unsafe { self.model.insert(payload, layout.size, layout.align) };
        self.tally.count("allocated");
        if self.memory.heap.usage().mapped_chunks > mapped {
            self.tally.count("mapped");
        }
        if layout.is_aligned() {
            self.tally.count("aligned");
        }
        true
    }

    /// Allocates many of a size; with `grow` some, if there is memory for one.
    fn allocate_batch(&mut self, size: usize, most: usize, grow: bool) {
        let mut payloads = Vec::new();
        let heap = &mut self.memory.heap;
        let count = heap.allocate_batch(size, most, grow, |payload| payloads.push(payload));
        assert_eq!(count, Ok(payloads.len()), "all are counted and the heap is sound");
        assert!(payloads.len() <= most);
        for payload in payloads {
            assert_eq!(payload.as_ptr() as usize % GRANULE, 0);
            self.demand_room(payload, size);
            // SAFETY: the heap has just handed out these bytes.
            unsafe { self.model.insert(payload, size, GRANULE) };
            self.tally.count("in batches");
        }
    }

    /// Gives many payloads back and settles once: an odd number of them sorted.
    fn put_back(&mut self, pick: u16, count: u8) {
        if count % 2 == 1 {
            return self.put_back_sorted(pick, count);
        }
        for _ in 0..count {
            let Some(index) = self.model.index(pick) else { break };
            let payload = self.model.remove(index);
            // SAFETY: the payload is live and forgotten from here on.
            unsafe { self.memory.heap.put_back(payload.at) }.expect("the heap is sound");
            self.tally.count("put back");
        }
        self.memory.heap.settle();
    }

    /// Gives many payloads back that are not mapped, in the order of their addresses.
    fn put_back_sorted(&mut self, pick: u16, count: u8) {
        let mut payloads = Vec::new();
        for _ in 0..count {
            let Some(index) = self.model.index(pick) else { break };
            let payload = self.model.live()[index].at;
            // SAFETY: the payload is live.
            if unsafe { self.memory.heap.span_of(payload) } == Ok(None) {
                payloads.push(self.model.remove(index).address());
            }
        }
        payloads.sort_unstable();
        // SAFETY: the payloads are live, not mapped, and forgotten from here on.
        let done = unsafe { self.memory.heap.put_back_sorted(&payloads) };
        assert_eq!((done.chunks, done.result), (payloads.len(), Ok(())));
        self.tally.add("put back sorted", done.chunks);
        self.tally.add("joined before", done.chunks - done.runs);
        self.memory.heap.settle();
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

    /// Gives a payload back.
    pub fn release(&mut self, index: usize) {
        let payload = self.model.remove(index);
        // SAFETY: the payload is live and forgotten from here on.
        unsafe { self.memory.heap.release(payload.at) }.expect("the heap is sound");
        self.tally.count("released");
    }

    /// Gives a payload back; a mapped one in two steps.
    pub fn retire(&mut self, index: usize) {
        let payload = self.model.live()[index].at;
        // SAFETY: the payload is live.
        let span = unsafe { self.memory.heap.span_of(payload) }.expect("the heap is sound");
        let Some(span) = span else { return self.release(index) };
        self.model.remove(index);
        self.memory.heap.retire(span);
        // SAFETY: just retired, and forgotten from here on.
        unsafe { self.memory.heap.unmap(span) };
        self.tally.count("retired");
    }

    /// Resizes or remaps; says whether that went.
    pub fn resize(&mut self, index: usize, size: usize) -> bool {
        let old = self.model.live()[index];
        let heap = &mut self.memory.heap;
        // SAFETY: the payload is live, and its old address is forgotten where it moves.
        let moved = unsafe {
            match heap.span_of(old.at).expect("the heap is sound") {
                // A move of whole pages does not keep a larger alignment: not for remap.
                Some(_) if old.align > PAGE => None,
                Some(span) => heap.remap(old.at, span, size),
                None => heap.resize(old.at, size).expect("the heap is sound").then_some(old.at),
            }
        };
        let Some(at) = moved else {
            self.tally.count("not resized");
            return false;
        };
        self.demand_room(at, size);
        // SAFETY: the heap says that `size` bytes are at `at` now.
        unsafe { self.model.moved(index, at, size) };
        self.tally.count(if at == old.at { "resized" } else { "moved" });
        true
    }

    /// Uses all bytes that a payload has.
    fn fill_capacity(&mut self, index: usize) {
        let payload = self.model.live()[index];
        // SAFETY: the payload is live.
        let capacity = unsafe { self.memory.heap.capacity(payload.at) };
        let capacity = capacity.expect("the heap is sound");
        assert!(capacity >= payload.size, "{capacity} for {payload:?}");
        // SAFETY: the heap says that these bytes are the payload's.
        unsafe { self.model.moved(index, payload.at, capacity) };
        self.tally.count("capacity");
    }

    fn trim(&mut self, keep: usize) {
        let held = self.memory.heap.usage().held;
        if self.memory.heap.trim(keep) {
            assert!(self.memory.heap.usage().held < held);
            self.tally.count("trimmed");
        }
    }

    /// `size` bytes at `payload` must be the payload's, and the heap's to hand out.
    fn demand_room(&mut self, payload: NonNull<u8>, size: usize) {
        // SAFETY: the payload is live.
        let capacity = unsafe { self.memory.heap.capacity(payload) }.expect("the heap is sound");
        assert!(capacity >= size, "{capacity} bytes for {size}");
        let at = payload.as_ptr() as usize;
        assert!(self.memory.heap.pages().holds(at, at + size), "{at:#x}: not the heap's memory");
    }

    /// The invariants must hold.
    pub fn check(&mut self) {
        self.memory.heap.check().expect("the invariants hold");
        assert!(!self.memory.heap.pages().is_misused(), "gave back what it was not given");
        self.tally.count("checks");
    }

    /// Releases everything; nothing may be in use after.
    pub fn release_all(&mut self) {
        while let Some(last) = self.model.live().len().checked_sub(1) {
            self.release(last);
        }
        self.check();
        let usage = self.memory.heap.usage();
        assert_eq!(usage, Usage { held: usage.held, ..Usage::default() });
    }
}

/// Are all bytes zero? (By comparing them with themselves, one byte on.)
fn is_zero(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|&first| first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}
