//! The arena's remote-free queue: what is sent comes out once, in order, and is seen whole.

#[path = "../../src/arena/remote_free_queue.rs"]
mod remote_free_queue;

use std::array;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::sys::atomic::{AtomicUsize, Ordering};
use remote_free_queue::RemoteFreeQueue;

/// Chunks of a model; entry `n` stands for the `n`-th.
const CHUNKS: usize = 8;

/// An remote-free queue and the chunks that go through it: written by the sender before, read by
/// the receiver after. Loom finds it if the one does not happen before the other.
struct Mail<const PLACES: usize> {
    inbox: RemoteFreeQueue<PLACES>,
    chunks: [UnsafeCell<usize>; CHUNKS + 1],
}

// SAFETY: a chunk is its sender's until it is sent and its receiver's after; loom tells if not.
unsafe impl<const PLACES: usize> Sync for Mail<PLACES> {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl<const PLACES: usize> Send for Mail<PLACES> {}

impl<const PLACES: usize> Mail<PLACES> {
    /// Empty, after `passed` entries have gone through.
    fn new(passed: usize) -> Arc<Self> {
        let inbox = RemoteFreeQueue {
            tail: AtomicUsize::new(passed),
            head: AtomicUsize::new(passed),
            places: array::from_fn(|_| AtomicUsize::new(0)),
        };
        Arc::new(Self { inbox, chunks: array::from_fn(|_| UnsafeCell::new(0)) })
    }

    /// Writes into the chunks and sends them, all or none.
    fn send(&self, entries: &[usize]) -> bool {
        for &entry in entries {
            // SAFETY: nobody else knows of the chunk yet.
            self.chunks[entry].with_mut(|chunk| unsafe { *chunk = entry * 100 });
        }
        self.inbox.send(entries)
    }

    /// Takes up to `most` out; each holds what its sender wrote.
    fn receive(&self, most: usize, into: &mut Vec<usize>) {
        let end = into.len() + most;
        if most == 0 {
            return;
        }
        self.inbox.receive(|entry| {
            // SAFETY: whoever sent the chunk does not touch it any more.
            self.chunks[entry].with(|chunk| assert_eq!(unsafe { *chunk }, entry * 100));
            into.push(entry);
            into.len() < end
        });
    }
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    crate::explore(3, model);
}

/// Of each sender what was taken comes out once, in order, and nothing else does.
fn demand_all(received: &[usize], sent: [&[usize]; 2], taken: [bool; 2]) {
    let mut count = 0;
    for (entries, taken) in sent.into_iter().zip(taken) {
        let from: Vec<usize> =
            received.iter().copied().filter(|entry| entries.contains(entry)).collect();
        assert_eq!(from, if taken { entries } else { &[] }, "of {received:?}");
        count += from.len();
    }
    assert_eq!(received.len(), count, "{received:?}");
}

/// Two senders and a receiver, each in a thread of its own.
fn exchange<const PLACES: usize>(passed: usize, sent: [&'static [usize]; 2]) {
    let mail = Mail::<PLACES>::new(passed);
    let senders = sent.map(|entries| {
        let mail = mail.clone();
        thread::spawn(move || mail.send(entries))
    });
    let mut received = Vec::new();
    mail.receive(1, &mut received);
    mail.receive(CHUNKS, &mut received);
    let taken = senders.map(|sender| sender.join().expect("no panic"));
    mail.receive(CHUNKS, &mut received);
    demand_all(&received, sent, taken);
    let room = sent.iter().map(|entries| entries.len()).sum::<usize>() <= PLACES;
    assert!(!room || taken == [true; 2], "there is room for all");
    assert!(taken.contains(&true), "an empty ring takes one of them");
    // Whatever was refused has left no trace: the ring takes as much as ever.
    let all: Vec<usize> = (1..=PLACES).collect();
    assert!(mail.send(&all));
    assert!(!mail.send(&[CHUNKS]));
    received.clear();
    mail.receive(CHUNKS, &mut received);
    assert_eq!(received, all);
}

#[test]
fn two_senders_and_a_receiver_with_room_for_all() {
    explore(|| exchange::<4>(0, [&[1, 2], &[3, 4]]));
}

/// The places are used again at the end of the numbers, too.
#[test]
fn the_ring_wraps_and_so_do_its_counts() {
    explore(|| exchange::<4>(usize::MAX - 1, [&[1, 2], &[3, 4]]));
}

#[test]
fn a_full_ring_refuses_without_a_trace() {
    explore(|| exchange::<2>(1, [&[1, 2], &[3]]));
}

/// A sender that finds the ring full may come again as soon as the receiver has made room.
#[test]
fn places_are_used_again_while_the_receiver_is_at_work() {
    explore(|| {
        let mail = Mail::<2>::new(0);
        assert!(mail.send(&[1, 2]));
        let sender = {
            let mail = mail.clone();
            thread::spawn(move || [mail.send(&[3]), mail.send(&[4])])
        };
        let mut received = Vec::new();
        mail.receive(CHUNKS, &mut received);
        let taken = sender.join().expect("no panic");
        mail.receive(CHUNKS, &mut received);
        let mut expected = vec![1, 2];
        expected
            .extend([3, 4].iter().zip(taken).filter(|(_, taken)| *taken).map(|(entry, _)| entry));
        assert_eq!(received, expected);
    });
}

/// A child has no senders: what they had reserved is given up, what they had written stays.
#[test]
fn what_was_reserved_and_never_written_is_given_up() {
    explore(|| {
        let mail = Mail::<4>::new(3);
        assert!(mail.send(&[1, 2]));
        // A sender that is gone had reserved a place in front of the third.
        mail.inbox.tail.store(6, Ordering::Relaxed);
        assert!(mail.send(&[3]));
        mail.inbox.repair();
        let mut received = Vec::new();
        mail.receive(CHUNKS, &mut received);
        assert_eq!(received, [1, 2, 3]);
        assert!(mail.send(&[4, 5, 6, 7]));
        mail.receive(CHUNKS, &mut received);
        assert_eq!(received, [1, 2, 3, 4, 5, 6, 7]);
    });
}
