//! Defects of the heap that fuzzing found, or thinking about what to demand of it: a test for each.

use std::ptr::NonNull;

use mallocop::heap::size::PAGE;
use mallocop::heap::{Heap, Layout, PageSource, Pages};
use mallocop_fuzz::simulated::Simulated;
use mallocop_fuzz::source::LedgerPages;

type Payload = NonNull<u8>;

fn allocate(heap: &mut Heap<LedgerPages>, size: usize) -> Payload {
    heap.allocate(Layout::plain(size)).expect("a sound heap").expect("memory")
}

fn release(heap: &mut Heap<LedgerPages>, payload: Payload) {
    // SAFETY: the tests release what they allocated, once.
    unsafe { heap.release(payload) }.expect("a sound chunk");
}

/// A heap with neighbouring payloads of these sizes.
fn neighbours<const N: usize>(sizes: [usize; N]) -> (Simulated, [Payload; N]) {
    let mut memory = Simulated::new(1 << 20, 0x1bad_b002_cafe_f00d);
    let payloads = sizes.map(|size| allocate(&mut memory.heap, size));
    (memory, payloads)
}

/// The link to the next chunk of a free one: the word where its payload was.
fn link(payload: Payload) -> *mut usize {
    payload.as_ptr().cast()
}

/// All bytes of a payload of 40.
fn bytes(payload: Payload) -> *mut [u8; 40] {
    payload.as_ptr().cast()
}

/// It said Err and had freed the chunk: the chunk behind was unlinked last.
#[test]
fn release_that_ends_in_an_error_changes_nothing() {
    let (mut memory, [front, middle, behind, _guard]) = neighbours([100, 40, 40, 40]);
    release(&mut memory.heap, front);
    release(&mut memory.heap, behind);
    // SAFETY: in the simulated memory.
    unsafe { link(behind).write(16) };
    let usage = memory.heap.usage();
    // SAFETY: live until the heap says Ok.
    unsafe {
        memory.heap.release(middle).expect_err("a smashed link behind");
        assert_eq!(memory.heap.usage(), usage);
        assert_eq!(memory.heap.capacity(middle), Ok(40));
    }
}

/// It cut the chunk and lost the rest, or freed it, and said Err.
#[test]
fn resize_that_ends_in_an_error_changes_nothing() {
    let (mut memory, [large, behind, _guard]) = neighbours([200, 40, 40]);
    release(&mut memory.heap, behind);
    // SAFETY: in the simulated memory.
    unsafe { link(behind).write(16) };
    let usage = memory.heap.usage();
    // SAFETY: `large` is live.
    unsafe {
        memory.heap.resize(large, 50).expect_err("a smashed link behind");
        assert_eq!(memory.heap.usage(), usage);
        assert_eq!(memory.heap.capacity(large), Ok(200));
    }
}

/// The words of free chunks that had become part of a larger one stayed and verified. Writes
/// through dangling pointers into two freed payloads (no chunk word among them) that put back what
/// was there before made memory that lived go out a second time.
#[test]
fn a_chunk_that_was_joined_is_never_taken_for_one_again() {
    let (mut memory, [front, middle, behind, _apart, other, _guard]) = neighbours([40; 6]);
    let heap = &mut memory.heap;
    // In one list: other, then middle.
    release(heap, middle);
    release(heap, other);
    // SAFETY: in the simulated memory.
    let old = unsafe { [bytes(middle).read(), bytes(other).read()] };
    // Middle becomes part of front to behind, which lives again as a whole.
    release(heap, front);
    release(heap, behind);
    let whole = allocate(heap, 3 * 48 - 8);
    assert_eq!(whole, front);
    // SAFETY: in the simulated memory.
    unsafe {
        bytes(middle).write(old[0]);
        bytes(other).write(old[1]);
    }
    for _ in 0..3 {
        if let Ok(Some(payload)) = heap.allocate(Layout::plain(40)) {
            let (at, start) = (payload.as_ptr() as usize, whole.as_ptr() as usize);
            assert!(at < start || at >= start + 3 * 48, "{payload:?} lies in the live {whole:?}");
        }
    }
}

/// The counts wrapped (a panic where overflow is checked).
#[test]
fn an_old_word_of_a_mapping_put_back_does_not_wrap_the_counts() {
    let mut memory = Simulated::new(4 << 20, 7);
    let heap = &mut memory.heap;
    heap.tuning.dynamic = false;
    let large = allocate(heap, 400_000);
    // SAFETY: a mapped payload's two words are in front of it.
    let words = |payload: Payload| unsafe { payload.as_ptr().sub(16).cast::<[u64; 2]>() };
    // SAFETY: in the simulated memory.
    let old = unsafe { words(large).read() };
    // SAFETY: live, and forgotten where it moves.
    let small = unsafe {
        let span = heap.span_of(large).expect("a sound chunk").expect("a mapped chunk");
        heap.remap(large, span, 200_000).expect("less of the same mapping")
    };
    assert_eq!(small, large);
    // SAFETY: in the simulated memory; the source turns down the mapping that is none.
    unsafe {
        words(small).write(old);
        heap.release(small).expect("the old word verifies");
    }
    assert_eq!(heap.usage().mapped, 0);
    assert!(heap.pages().is_misused());
}

/// Hands out one page of a buffer at a time: 256 that are apart, one more, then the one behind the
/// 256th.
struct Apart {
    buffer: Vec<[u64; PAGE / 8]>,
    grown: usize,
}

// SAFETY: each page of the zeroed buffer is handed out once; it lives as long as the heap.
unsafe impl PageSource for Apart {
    fn grow(&mut self, _end: usize, _bytes: usize) -> Option<Pages> {
        let page = if self.grown == 257 { 2 * 255 + 1 } else { 2 * self.grown };
        self.grown += 1;
        let start = self.buffer.get_mut(page)?.as_mut_ptr() as usize;
        Some(Pages { start, len: PAGE })
    }

    unsafe fn shrink(&mut self, _end: usize, _bytes: usize) -> bool {
        true
    }

    fn map(&mut self, _bytes: usize) -> Option<usize> {
        None
    }

    unsafe fn unmap(&mut self, _start: usize, _bytes: usize) {}

    unsafe fn remap(&mut self, _start: usize, _old: usize, _new: usize) -> Option<usize> {
        None
    }
}

/// The top went into a bin before it turned out that the table of segments was full; growth behind
/// it then made a new top that did not know of the free chunk in front.
#[test]
fn the_top_stays_when_the_table_of_segments_is_full() {
    let buffer = vec![[0; PAGE / 8]; 2 * 260];
    let mut heap = Heap::new(Apart { buffer, grown: 0 }, 7);
    // Each one needs a page of its own.
    for _ in 0..256 {
        heap.allocate(Layout::plain(2500)).expect("a sound heap").expect("memory");
    }
    assert_eq!(heap.allocate(Layout::plain(2500)), Ok(None), "no 257th segment");
    heap.check().expect("the invariants hold");
    heap.allocate(Layout::plain(2500)).expect("a sound heap").expect("memory behind the last");
    heap.check().expect("the invariants hold");
}

/// It followed a link that leads back to where it came from for ever.
#[test]
fn discard_ends_on_a_list_that_leads_in_a_circle() {
    let (mut memory, [first, _, second, _]) = neighbours([20_000, 40, 20_000, 40]);
    let heap = &mut memory.heap;
    release(heap, first);
    release(heap, second);
    for (from, to) in [(first, first), (second, first), (first, second)] {
        // SAFETY: the payload is free memory of the simulation; a write as a dangling pointer makes
        // it.
        unsafe { link(from).write(to.as_ptr() as usize - 8) };
        heap.discard_free(8 << 10);
    }
}

/// Each growth was trimmed at the next release: two system calls, and a segment where the break
/// cannot be had.
#[test]
fn what_the_heap_has_just_grown_by_stays() {
    let mut memory = Simulated::new(32 << 20, 7);
    let mut growths = 0;
    while memory.heap.usage().in_use < 20 << 20 {
        let before = memory.heap.usage().held;
        let payload = allocate(&mut memory.heap, 100_000);
        let grown = memory.heap.usage().held;
        growths += usize::from(grown != before);
        let small = allocate(&mut memory.heap, 40);
        release(&mut memory.heap, small);
        memory.heap.settle();
        assert_eq!(memory.heap.usage().held, grown);
        // SAFETY: live, and so long.
        unsafe { payload.write_bytes(1, 100_000) };
    }
    assert!(growths > 10, "{growths}");
}
