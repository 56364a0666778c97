//! The crate's public paths, and the earlier names of its modules, each used once.

use mallocop::debug::CheckedHeap;
use mallocop::finding::{Finding, Operation};
use mallocop::record::LogEntry;
use mallocop::report::escape::escape;

#[global_allocator]
static ALLOCATOR: mallocop::Mallocop = mallocop::Mallocop::new();

#[mallocop::test]
fn a_test_that_leaks_nothing_passes() {
    assert_eq!(String::from("one").len(), 3);
}

#[test]
fn what_tests_ask() {
    let scope: mallocop::LeakScope = mallocop::leak_scope();
    let before = mallocop::stats();
    drop(vec![1u8; 100]);
    assert!(mallocop::stats().allocations > before.allocations);
    scope.check().expect("nothing is lost");
    mallocop::assert_no_allocations!({
        std::hint::black_box(1);
    });
    mallocop::assert_max_allocations!(1, {
        drop(std::hint::black_box(Box::new(1)));
    });
}

#[test]
fn what_a_program_tells_its_watcher() {
    let kept = Box::new(5);
    mallocop::program::ignore_leak(&*kept);
    let _quiet = mallocop::program::ignore_leaks();
    let _root = mallocop::program::root(&[1, 2]);
    assert_eq!(mallocop::program::verify(), 0);
}

#[test]
fn earlier_names_stay_for_a_release() {
    static HEAP: CheckedHeap = CheckedHeap::new(|_: &Finding| {});
    assert_eq!(HEAP.totals().0.allocations, 0);
    assert!(Operation::Realloc.is_resize());
    assert_eq!(escape("a\x1b"), "a\\x1b");
    assert_ne!(LogEntry::Text as u16, LogEntry::Finding as u16);
}
