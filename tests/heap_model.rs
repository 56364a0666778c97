//! The heap core against a model: random scripts, every size class, large alignments, refusal of
//! each request for memory, random bytes over chunk words.

#[path = "heap_model/arena.rs"]
mod arena;

use std::ptr::NonNull;

use arena::{Random, SimHeap};
use mallocop::heap::size::{MAX_PAYLOAD, PAGE};
use mallocop::heap::{Heap, Layout, PageSource};

/// One live payload as the model knows it.
struct Live {
    payload: NonNull<u8>,
    layout: Layout,
    seed: u8,
}

struct Model {
    live: Vec<Live>,
}

impl Model {
    fn new() -> Self {
        Self { live: Vec::new() }
    }

    fn fill(payload: NonNull<u8>, size: usize, seed: u8) {
        for i in edges(size) {
            // SAFETY: the payload has `size` bytes.
            unsafe { payload.as_ptr().add(i).write(seed.wrapping_add(i as u8)) };
        }
    }

    fn verify(payload: NonNull<u8>, size: usize, seed: u8) {
        for i in edges(size) {
            // SAFETY: the payload has `size` bytes.
            let byte = unsafe { payload.as_ptr().add(i).read() };
            assert_eq!(byte, seed.wrapping_add(i as u8), "byte {i} of a {size}-byte payload");
        }
    }

    fn allocate<P: PageSource>(&mut self, heap: &mut Heap<P>, layout: Layout, seed: u8) -> bool {
        let Some(payload) = heap.allocate(layout).expect("the heap is sound") else {
            return false;
        };
        let at = payload.as_ptr() as usize;
        assert_eq!(at % 16, 0);
        assert_eq!((at + layout.lead) % layout.align, 0, "{layout:?}");
        // SAFETY: the payload is live.
        let capacity = unsafe { heap.capacity(payload) }.expect("the heap is sound");
        assert!(capacity >= layout.size);
        for other in &self.live {
            let start = other.payload.as_ptr() as usize;
            assert!(
                at + layout.size <= start || start + other.layout.size <= at,
                "payloads overlap"
            );
        }
        Self::fill(payload, layout.size, seed);
        self.live.push(Live { payload, layout, seed });
        true
    }

    fn release<P: PageSource>(&mut self, heap: &mut Heap<P>, index: usize) {
        let live = self.live.swap_remove(index);
        Self::verify(live.payload, live.layout.size, live.seed);
        // SAFETY: the payload is live and forgotten from here on.
        unsafe { heap.release(live.payload) }.expect("the heap is sound");
    }

    fn resize<P: PageSource>(&mut self, heap: &mut Heap<P>, index: usize, size: usize) -> bool {
        let live = &mut self.live[index];
        let old = live.layout.size;
        // SAFETY: the payload is live, and forgotten where it moves.
        unsafe {
            match heap.span_of(live.payload).expect("the heap is sound") {
                Some(_) if live.layout.align > PAGE => return false,
                Some(span) => match heap.remap(live.payload, span, size) {
                    Some(moved) => live.payload = moved,
                    None => return false,
                },
                None => {
                    if !heap.resize(live.payload, size).expect("the heap is sound") {
                        return false;
                    }
                }
            }
        }
        // Only the front was written whatever the old size was.
        Self::verify(live.payload, old.min(size).min(256), live.seed);
        live.layout.size = size;
        Self::fill(live.payload, size, live.seed);
        true
    }

    fn release_all<P: PageSource>(&mut self, heap: &mut Heap<P>) {
        while !self.live.is_empty() {
            self.release(heap, self.live.len() - 1);
        }
    }
}

/// The bytes of a payload that the model writes and verifies: all of a small one, both ends of a
/// large one.
fn edges(size: usize) -> impl Iterator<Item = usize> {
    let head = size.min(256);
    (0..head).chain(size.saturating_sub(64).max(head)..size)
}

fn random_layout(random: &mut Random) -> Layout {
    let size = match random.below(10) {
        0..=5 => random.below(200),
        6 | 7 => random.below(4096),
        8 => random.below(100_000),
        _ => random.below(600_000),
    };
    let align = if random.below(5) == 0 { 16 << random.below(10) } else { 16 };
    let lead = 16 * random.below(3);
    Layout { size: size + lead, align, lead }
}

#[test]
fn random_scripts_keep_contents_and_invariants() {
    let mut accepted = 0;
    for seed in 0..60 {
        let mut random = Random(0x5eed_0000 + seed);
        let mut sim = SimHeap::new(24 << 20);
        let heap = &mut sim.heap;
        let mut model = Model::new();
        for step in 0..2500 {
            let index = random.below(model.live.len().max(1));
            match random.below(10) {
                0..=4 => {
                    let layout = random_layout(&mut random);
                    accepted += usize::from(model.allocate(heap, layout, step as u8));
                }
                5..=7 if !model.live.is_empty() => model.release(heap, index),
                8 if !model.live.is_empty() => {
                    let size = random_layout(&mut random).size;
                    model.resize(heap, index, size);
                }
                9 if random.below(20) == 0 => heap.pages().foreign = 16 * random.below(1000),
                _ => {}
            }
            if step % 50 == 0 {
                heap.check().expect("the invariants hold");
            }
        }
        model.release_all(heap);
        heap.check().expect("the invariants hold");
        assert_eq!(heap.usage().chunks, 0);
        assert_eq!(heap.usage().mapped, 0);
        assert!(!heap.pages().misused, "memory was given back that was never handed out");
    }
    assert!(accepted > 50_000, "only {accepted} allocations went through");
}

#[test]
fn every_size_class_is_served_and_reused() {
    let mut sim = SimHeap::new(64 << 20);
    let heap = &mut sim.heap;
    heap.tuning.dynamic = false;
    let mut model = Model::new();
    let mut sizes: Vec<usize> = (0..=1100).collect();
    sizes.extend((10..21).flat_map(|e| (0..8).map(move |k| (1usize << e) + (k << (e - 3)))));
    for &size in &sizes {
        assert!(model.allocate(heap, Layout::plain(size), 3), "size {size}");
        assert!(model.allocate(heap, Layout::plain(size), 5), "size {size}");
        model.release(heap, 0);
        model.release(heap, 0);
    }
    heap.check().expect("the invariants hold");
    let held = heap.usage().held;
    for &size in &sizes {
        assert!(model.allocate(heap, Layout::plain(size), 3), "size {size}");
        model.release(heap, 0);
    }
    assert!(heap.usage().held <= held, "freed memory was not reused");
}

#[test]
fn alignments_up_to_2_mib_are_kept() {
    let mut sim = SimHeap::new(64 << 20);
    let heap = &mut sim.heap;
    let mut model = Model::new();
    for exponent in 4..=21 {
        for lead in [0, 16, 32] {
            for size in [0, 1, 40, 1000, 5000, 200_000] {
                let layout = Layout { size: size + lead, align: 1 << exponent, lead };
                assert!(model.allocate(heap, layout, exponent as u8), "{layout:?}");
            }
            model.release(heap, 0);
            model.release(heap, 1);
            heap.check().expect("the invariants hold");
            if exponent > 14 {
                model.release_all(heap);
            }
        }
    }
    model.release_all(heap);
    heap.check().expect("the invariants hold");
}

#[test]
fn absurd_requests_are_refused() {
    let mut sim = SimHeap::new(4 << 20);
    let heap = &mut sim.heap;
    let before = heap.usage();
    for size in [MAX_PAYLOAD, MAX_PAYLOAD + 1, isize::MAX as usize, usize::MAX - 64, usize::MAX] {
        for align in [16, 4096, 2 << 20, 1 << 62] {
            let layout = Layout { size, align, lead: 16 };
            assert_eq!(heap.allocate(layout), Ok(None), "{layout:?}");
        }
    }
    assert_eq!(heap.allocate(Layout { size: 64, align: 1 << 63, lead: 0 }), Ok(None));
    assert_eq!(heap.usage(), before);
    heap.check().expect("the invariants hold");
}

/// The script of the refusal test: returns how many requests for memory it made.
fn run_with_refusal(refuse: Option<usize>) -> usize {
    let mut random = Random(77);
    let mut sim = SimHeap::new(24 << 20);
    let heap = &mut sim.heap;
    heap.pages().refuse = refuse;
    heap.tuning.dynamic = false;
    let mut model = Model::new();
    for step in 0..1500 {
        let layout = random_layout(&mut random);
        let index = random.below(model.live.len().max(1));
        match random.below(4) {
            0 if !model.live.is_empty() => model.release(heap, index),
            1 if !model.live.is_empty() => {
                model.resize(heap, index, layout.size);
            }
            _ => {
                model.allocate(heap, layout, step as u8);
            }
        }
        heap.check().expect("the invariants hold after a refusal");
    }
    model.release_all(heap);
    heap.check().expect("the invariants hold");
    assert!(!heap.pages().misused);
    heap.pages().requests
}

#[test]
fn each_request_for_memory_can_be_refused() {
    let requests = run_with_refusal(None);
    assert!(requests > 30, "the script asks for memory only {requests} times");
    for refused in 0..requests {
        run_with_refusal(Some(refused));
    }
}

#[test]
fn thresholds_follow_freed_mappings_and_the_top_goes_back() {
    let mut sim = SimHeap::new(64 << 20);
    let heap = &mut sim.heap;
    let mut model = Model::new();
    assert!(model.allocate(heap, Layout::plain(256 << 10), 1));
    assert_eq!(heap.usage().mapped, 266_240);
    model.release(heap, 0);
    assert!(model.allocate(heap, Layout::plain(256 << 10), 1));
    assert_eq!(heap.usage().mapped, 0, "the threshold rises with the freed block");
    for _ in 0..20 {
        assert!(model.allocate(heap, Layout::plain(100 << 10), 1));
    }
    let held = heap.usage().held;
    model.release_all(heap);
    assert!(heap.usage().held < held / 2, "the top did not go back");
    assert!(heap.trim(0));
    assert!(heap.usage().held <= 2 * PAGE);
    heap.check().expect("the invariants hold");
}

#[test]
fn smashed_words_end_in_corrupt_never_in_a_wrong_block() {
    let mut corrupt = 0;
    for seed in 0..300 {
        let mut random = Random(0xbad_0000 + seed);
        let mut sim = SimHeap::new(8 << 20);
        let heap = &mut sim.heap;
        let mut live: Vec<NonNull<u8>> = Vec::new();
        let (low, high) = heap.pages().range();
        for step in 0..600 {
            if step > 100 && random.below(30) == 0 && !live.is_empty() {
                // An overrun, an underrun or a stray write near some block.
                let at = live[random.below(live.len())].as_ptr() as usize;
                let at = (at + random.below(160)).wrapping_sub(64) & !(random.below(8));
                let bytes = 1 + random.below(120);
                for byte in at.max(low)..(at + bytes).min(high) {
                    // SAFETY: inside the simulated memory, which nothing else refers to.
                    unsafe { (byte as *mut u8).write(random.below(256) as u8) };
                }
            }
            if random.below(2) == 0 || live.is_empty() {
                let size = random.below(400);
                match heap.allocate(Layout::plain(size)) {
                    Ok(Some(payload)) => {
                        let at = payload.as_ptr() as usize;
                        assert!(at >= low && at + size <= high, "a block outside of the heap");
                        live.push(payload);
                    }
                    Ok(None) => {}
                    Err(_) => corrupt += 1,
                }
            } else {
                let payload = live.swap_remove(random.below(live.len()));
                // SAFETY: the payload is live; that its words may be smashed is the test.
                corrupt += usize::from(unsafe { heap.release(payload) }.is_err());
            }
        }
        // The walker ends, whatever it finds.
        let _ = heap.check();
    }
    assert!(corrupt > 1000, "only {corrupt} smashed words were met");
}
