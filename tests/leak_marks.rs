//! Marking on the real heap: what the words in some memory lead to, at any depth, and nothing else.

mod checked_heap;

use checked_heap::{HEAP, block};
use mallocop::checks::Release;
use mallocop::leak::classify::{find_lost, for_each_lost, unmark_lost};
use mallocop::leak::graph::{Graph, Interior, Marking, Reach};
use mallocop::leak::mark_bitmap::{BlockSet, MarkBitmap};
use mallocop::leak::reader::Memory;
use mallocop::model::finding::Operation;
use mallocop::model::leak_report::Loss;
use mallocop::sys::pagemap::Presence;

/// Asked for one by one, or for all that a thread allocates for a while; the blocks stay sound.
fn blocks_can_be_exempt() {
    let (one, plain) = (block(100, 0), block(100, 0));
    assert_eq!((HEAP.exempt(one), HEAP.exempt(one)), (Some(true), Some(false)));
    HEAP.exempt_allocations(true);
    HEAP.exempt_allocations(true);
    let small = block(100, 0);
    HEAP.exempt_allocations(false);
    let large = block(1 << 20, 0);
    HEAP.exempt_allocations(false);
    let after = block(100, 0);
    for (block, size, is_exempt) in [
        (one, 100, true),
        (plain, 100, false),
        (small, 100, true),
        (large, 1 << 20, true),
        (after, 100, false),
    ] {
        let facts = HEAP.facts(block);
        assert_eq!((facts.size, facts.is_exempt), (size, is_exempt));
        HEAP.free(block, &Release::by(Operation::Free));
    }
}

/// Blocks that nothing leads to: a cycle of two, a cycle that leads to another one, and a chain.
struct Unreachable {
    one: usize,
    two: usize,
    first: usize,
    second: usize,
    chain: usize,
}

fn make_unreachable() -> Unreachable {
    // Its cycle leads nowhere else.
    let (one, two) = (block(200_000, 0), block(32, 0));
    // SAFETY: both are ours.
    unsafe {
        (one as *mut usize).write(two);
        (two as *mut usize).write(one);
    }

    // A cycle that leads to another one, and a chain from nowhere.
    let (first, second, third, fourth) = (block(48, 0), block(48, 0), block(48, 0), block(48, 0));
    // SAFETY: all are ours, and have six words.
    unsafe {
        (first as *mut usize).write(second);
        (second as *mut [usize; 2]).write([first, fourth]);
        (third as *mut usize).write(fourth);
        (fourth as *mut [usize; 2]).write([third, fourth]);
    }
    let mut chain = 0;
    for _ in 0..100_000 {
        chain = block(24, chain);
    }
    Unreachable { one, two, first, second, chain }
}

/// The direct leaks.
fn sorted(graph: Graph<'_>) -> Vec<usize> {
    let mut direct = Vec::new();
    let mut indirect = 0;
    find_lost(graph.marks);
    for_each_lost(graph, |block, loss| match loss {
        Loss::Direct => direct.push(block),
        Loss::Indirect => indirect += 1,
        Loss::Possible => unreachable!(),
    });
    assert_eq!(indirect, 1 + 3 + 99_999);
    assert_eq!(direct.len(), 4, "{direct:x?}");
    direct
}

#[test]
fn marks_follow_words_through_blocks_of_every_size() {
    HEAP.prepare();
    blocks_can_be_exempt();
    let lost = block(40, 0);
    let freed = block(72, lost);
    HEAP.free(freed, &Release::by(Operation::Free));
    let mut list = block(24, freed);
    let mut kept = vec![list];
    for _ in 0..100_000 {
        list = block(24, list);
        kept.push(list);
    }
    let tagged = block(64, list | 0xbeef << 48);
    let large = block(3 << 20, tagged);
    let inside = block(100_000, large + (2 << 20));
    let behind = block(16, inside + 90_001);
    let end = block(80, behind + 16);
    kept.extend([tagged, large, inside, behind, end]);
    let Unreachable { one, two, first, second, chain } = make_unreachable();
    let marks = MarkBitmap::draw(&HEAP).expect("memory");
    let memory = Memory::new(Vec::new());
    let reader = memory.reader();
    let graph = Graph { marks: &marks, reader: &reader };
    let marking = Marking { marks: &marks, set: BlockSet::Reached };
    let mut marker = Reach::new(graph, Interior::Lenient, marking);
    let words = [0, 1, end, usize::MAX, large - 64];
    let start = words.as_ptr() as usize;
    marker.range(start, start + size_of_val(&words), Presence::InMemory);
    marker.finish();
    assert!(kept.iter().all(|&block| marks.contains(BlockSet::Reached, block)));
    for unreachable in [lost, freed, one, two] {
        assert!(!marks.contains(BlockSet::Reached, unreachable));
    }
    let mut live = 0;
    marks.for_each_block(|_| live += 1);
    assert_eq!(live, kept.len() + 3 + 4 + 100_000);
    let direct = sorted(graph);
    assert!(direct.contains(&lost) && direct.contains(&chain));
    let is_one_of =
        |two: [usize; 2]| direct.iter().filter(|block| two.contains(block)).count() == 1;
    assert!(is_one_of([one, two]) && is_one_of([first, second]));
    assert_eq!((marks.find(large - 17), marks.find(behind + 17)), (None, None));
    // What a block leads to goes with it, and the rest is sorted as before.
    let mut gone = 0;
    unmark_lost(graph, &[chain, one], |_| gone += 1);
    assert_eq!(gone, 100_000 + 2);
    let mut left = 0;
    for_each_lost(graph, |_, _| left += 1);
    assert_eq!(left, 1 + 4);
    marker.word(two, 0);
    marker.finish();
    assert!(marks.contains(BlockSet::Reached, one) && !marks.contains(BlockSet::Reached, lost));
}
