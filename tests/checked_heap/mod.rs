//! The heap of the tests that mark its blocks, and blocks whose words point to each other.

use mallocop::checks::{CheckedHeap, Request};
use mallocop::model::finding::Finding;

fn no_finding(finding: &Finding) {
    eprintln!("{finding:?}");
    std::process::abort();
}

/// A finding ends the test.
pub(crate) static HEAP: CheckedHeap = CheckedHeap::new(no_finding);

/// A zeroed block whose first word is `first`.
pub(crate) fn block(size: usize, first: usize) -> usize {
    let request = Request { zeroed: true, ..Request::malloc(size) };
    let block = HEAP.allocate(request);
    assert!(!block.is_null());
    // SAFETY: the block has at least 8 bytes and is only used here.
    unsafe { block.cast::<usize>().write(first) };
    block as usize
}
