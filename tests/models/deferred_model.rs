//! Frees that wait: each is handed out once, with what was pushed.

#[path = "../../src/checks/deferred_slots.rs"]
mod deferred_slots;

use std::array;

use loom::sync::Arc;
use loom::thread;

use crate::explore;
use crate::sys::atomic::{AtomicUsize, Ordering};
use deferred_slots::DeferredSlots;

const SLOTS: usize = 2;

fn slots() -> Arc<DeferredSlots<SLOTS>> {
    Arc::new(DeferredSlots {
        pointers: array::from_fn(|_| AtomicUsize::new(0)),
        states: array::from_fn(|_| AtomicUsize::new(0)),
        waiting: AtomicUsize::new(0),
        lost: AtomicUsize::new(0),
    })
}

/// What one thread has seen of a drain.
fn drained(slots: &DeferredSlots<SLOTS>) -> Vec<(usize, usize)> {
    let mut seen = Vec::new();
    slots.drain(|pointer, code| seen.push((pointer, code)));
    seen
}

/// Both frees were seen once, by whomever, and none waits.
fn demand_both(slots: &DeferredSlots<SLOTS>, mut seen: Vec<(usize, usize)>) {
    seen.sort_unstable();
    assert_eq!(seen, [(1, 10), (2, 20)]);
    assert!(!slots.is_waiting());
}

/// Two threads push one free each while a third drains; pointers stand for states of a slot, too.
#[test]
fn each_free_is_handed_out_once() {
    explore(3, || {
        let slots = slots();
        let pushers = [1, 2].map(|pointer| {
            let slots = slots.clone();
            thread::spawn(move || slots.push(pointer, pointer * 10))
        });
        let mut seen = drained(&slots);
        for pusher in pushers {
            assert!(pusher.join().expect("no panic"), "there is room for both");
        }
        seen.extend(drained(&slots));
        demand_both(&slots, seen);
    });
}

#[test]
fn two_that_drain_share_what_waits() {
    explore(3, || {
        let slots = slots();
        assert!(slots.push(1, 10) && slots.push(2, 20));
        let other = {
            let slots = slots.clone();
            thread::spawn(move || drained(&slots))
        };
        let mut seen = drained(&slots);
        seen.extend(other.join().expect("no panic"));
        demand_both(&slots, seen);
    });
}

/// What finds no place is counted, and what was drained makes room.
#[test]
fn a_place_is_used_again_and_what_has_none_is_counted() {
    explore(3, || {
        let slots = slots();
        assert!(slots.push(1, 0) && slots.push(2, 0));
        let pusher = {
            let slots = slots.clone();
            thread::spawn(move || slots.push(3, 0))
        };
        let mut seen = Vec::new();
        slots.drain(|pointer, _| seen.push(pointer));
        let had_room = pusher.join().expect("no panic");
        slots.drain(|pointer, _| seen.push(pointer));
        assert_eq!(slots.lost.load(Ordering::Relaxed), usize::from(!had_room));
        seen.sort_unstable();
        assert_eq!(seen, if had_room { vec![1, 2, 3] } else { vec![1, 2] });
        assert!(!slots.is_waiting());
        assert!(slots.push(4, 0) && slots.push(5, 0) && !slots.push(6, 0));
    });
}
