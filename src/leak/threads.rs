//! Which part of a stack is in use, by the threads that stand still and by the calling one.

use super::space::Mapping;
use super::stop::Stopped;
use crate::heap::size::WORD;
use crate::stack::caller::Point;
use crate::sys::{ended, thread};

/// Below its stack pointer a function may use so many bytes (System V ABI, AMD64 supplement, 3.2.2).
const RED_ZONE: usize = 128;

/// The threads.
pub(super) struct Threads<'a> {
    /// The others.
    pub(super) stopped: &'a Stopped,
    /// Where the calling thread's stack begins to be the program's.
    pub(super) caller: &'a Point,
}

impl Threads<'_> {
    /// Stack pointer and descriptor of each.
    fn all(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let parked = self.stopped.parked().map(|place| (place.sp(), place.descriptor()));
        parked.chain([(self.caller.sp, thread::pointer())])
    }

    /// Does one run on a stack in the mapping?
    pub(super) fn has_any_in(&self, mapping: Mapping) -> bool {
        self.all().any(|(sp, _)| mapping.contains(sp))
    }

    /// The part of a mapping in which pointers count: of a stack what is in use, else all of it.
    pub(super) fn part_in_use(&self, mapping: Mapping) -> Mapping {
        let users = || self.all().filter(|&(sp, _)| mapping.contains(sp));
        // A thread's descriptor lies in its stack's mapping. One that is elsewhere runs on a stack of the program's
        // making, below which others may lie.
        let is_own =
            mapping.is_first || users().all(|(_, descriptor)| mapping.contains(descriptor));
        let start = match users().map(|(sp, _)| sp).min() {
            Some(sp) if mapping.is_stack && is_own => {
                sp.saturating_sub(RED_ZONE).max(mapping.start)
            }
            None if mapping.is_stack => self.end_of_dead_stack(mapping),
            _ => mapping.start,
        };
        Mapping { start, ..mapping }
    }

    /// What of a stack mapping without a thread is a thread's that has ended: libc keeps it for the next.
    fn end_of_dead_stack(&self, mapping: Mapping) -> usize {
        if !self.stopped.is_complete() {
            return mapping.start;
        }
        let is_descriptor = |address: &usize| {
            let inside = (mapping.start..mapping.end - 3 * WORD).contains(address);
            // SAFETY: inside of a mapping that can be read. Its own address stands in a descriptor twice
            // (x86-64 TLS ABI; glibc's tcbhead_t).
            inside
                && unsafe {
                    let words = *address as *const usize;
                    words.read() == *address && words.add(2).read() == *address
                }
        };
        ended::descriptors().filter(is_descriptor).max().unwrap_or(mapping.start)
    }
}
