//! Who holds a block: the path from a root to it.

mod checked_heap;

use checked_heap::{HEAP, block};
use mallocop::leak::graph::{Graph, Interior, Parents, Reach};
use mallocop::leak::mark_bitmap::{BlockSet, MarkBitmap};
use mallocop::leak::reader::Memory;
use mallocop::sys::pagemap::Presence;

/// A path is the words by which a block was come to, a root's first.
#[test]
fn paths_lead_from_a_root_to_a_block() {
    HEAP.prepare();
    let (end, middle) = (block(32, 0), block(64, 0));
    let start = block(48, middle + 8);
    // SAFETY: both are ours, and that long.
    unsafe { ((middle + 40) as *mut usize).write(end) };
    let roots = [0, start];
    let marks = MarkBitmap::draw(&HEAP).expect("memory");
    let memory = Memory::new(Vec::new());
    let reader = memory.reader();
    let graph = Graph { marks: &marks, reader: &reader };
    let parents = Parents::new(&marks, BlockSet::Certain);
    let mut reach = Reach::new(graph, Interior::Lenient, parents);
    let root = roots.as_ptr() as usize;
    reach.range(root, root + size_of_val(&roots), Presence::InMemory);
    reach.finish();
    let parents = reach.into_enter();
    assert_eq!(parents.path_to(end), [root + 8, start, middle + 40]);
    assert_eq!(parents.path_to(start), [root + 8]);
    assert!(parents.path_to(root).is_empty());
}
