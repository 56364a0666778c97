//! Which part of a stack is in use, by the threads that stand still and by the calling one.

use super::reader::MemoryReader;
use super::stop::Stopped;
use crate::heap::size::{PAGE, WORD, round_down, round_up};
use crate::leak::mappings::WritableMapping;
use crate::stack::unwind::entry_point::Point;
use crate::sys::glibc::thread_descriptor;
use crate::sys::{process, thread, thread_exit};

/// Below its stack pointer a function may use so many bytes (System V ABI, AMD64 supplement,
/// 3.2.2).
const RED_ZONE: usize = 128;

/// The threads.
pub(super) struct LiveStacks<'a> {
    /// The others.
    pub(super) stopped: &'a Stopped,
    /// Where the calling thread's stack begins to be the program's.
    pub(super) caller: &'a Point,
    /// Looks at what threads that have ended left behind.
    pub(super) reader: &'a MemoryReader<'a>,
}

impl LiveStacks<'_> {
    /// Stack pointer of each, and its descriptor where that lies above its stack: not the first
    /// thread's (glibc's nptl).
    fn all(&self) -> impl Iterator<Item = (usize, Option<usize>)> + '_ {
        // Asked for each mapping: without a call to the kernel.
        let first = process::noted_id();
        let me = thread_descriptor::noted_tid(thread::pointer());
        let me = me.unwrap_or_else(thread_descriptor::current_tid);
        let above = move |tid, descriptor| (tid != first).then_some(descriptor);
        let parked = self.stopped.parked();
        let parked = parked.map(move |place| (place.sp(), above(place.tid(), place.descriptor())));
        parked.chain([(self.caller.sp, above(me, thread::pointer()))])
    }

    /// Does one run on a stack in the mapping?
    pub(super) fn has_any_in(&self, mapping: WritableMapping) -> bool {
        self.all().any(|(sp, _)| mapping.contains(sp))
    }

    /// The part of a mapping in which pointers count: of a stack what is in use, else all of it.
    pub(super) fn part_in_use(&self, mapping: WritableMapping) -> WritableMapping {
        let users = || self.all().filter(|&(sp, _)| mapping.contains(sp));
        let is_own =
            mapping.is_first || users().all(|(sp, above)| is_of_libcs_making(mapping, sp, above));
        let start = match users().map(|(sp, _)| sp).min() {
            Some(sp) if mapping.is_stack && is_own => {
                sp.saturating_sub(RED_ZONE).max(mapping.start)
            }
            None if mapping.is_stack => self.end_of_dead_stack(mapping),
            _ => mapping.start,
        };
        WritableMapping { start, ..mapping }
    }

    /// What of a stack mapping without a thread is a thread's that has ended: libc keeps it for the
    /// next.
    fn end_of_dead_stack(&self, mapping: WritableMapping) -> usize {
        if !self.stopped.is_complete() {
            return mapping.start;
        }
        let inside = mapping.start..mapping.end - 3 * WORD;
        let here =
            thread_exit::descriptors().filter(|at| inside.contains(at) && self.is_descriptor(*at));
        let Some(descriptor) = here.max() else { return mapping.start };
        // A joined thread's descriptor leads to what it returned, which nobody can ask for any
        // more.
        match self.is_joined(descriptor) {
            true => round_up(descriptor + thread_descriptor::BYTES, PAGE).min(mapping.end),
            false => descriptor,
        }
    }

    /// Heads of the descriptors of threads that were joined: libc keeps them with their stacks for
    /// the next threads, and what they have in blocks, for thread-local variables.
    pub(super) fn joined_heads(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        /// glibc's `tcbhead_t`, as far as it has pointers.
        const HEAD: usize = 64;
        let joined = |at: &usize| self.is_descriptor(*at) && self.is_joined(*at);
        thread_exit::descriptors().filter(joined).map(|at| (at, at + HEAD))
    }

    /// Is there a thread's descriptor? Its own address stands in it twice (x86-64 TLS ABI; glibc's
    /// tcbhead_t).
    fn is_descriptor(&self, address: usize) -> bool {
        self.reader.word(address) == Some(address)
            && self.reader.word(address + 2 * WORD) == Some(address)
    }

    /// Was the ended thread with that descriptor joined? libc says so by a kernel id of -1.
    fn is_joined(&self, descriptor: usize) -> bool {
        let Some(place) = thread_descriptor::tid_place(descriptor) else { return false };
        // Its word of 8 bytes: where the id is the second half, or the first.
        let word = self.reader.word(round_down(place, WORD)).unwrap_or(0);
        let tid = if place.is_multiple_of(WORD) { word as u32 } else { (word >> 32) as u32 };
        tid == u32::MAX
    }
}

/// Does a thread that is at `sp` in the mapping run on the stack that libc made for it? Then its
/// descriptor lies `above`, in the same mapping. Else it is one of the program's making, below
/// which others may lie: also where the kernel has made one mapping of that and of what a
/// descriptor lies in.
fn is_of_libcs_making(mapping: WritableMapping, sp: usize, above: Option<usize>) -> bool {
    above.is_some_and(|above| sp < above && mapping.contains(above))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leak::mappings::Backing;

    #[test]
    fn a_stack_is_libcs_where_the_threads_descriptor_lies_above_it() {
        let backing = Backing::Anonymous;
        let mapping = WritableMapping {
            start: 0x10000,
            end: 0x90000,
            backing,
            is_stack: true,
            is_first: false,
        };
        assert!(is_of_libcs_making(mapping, 0x20000, Some(0x8f700)));
        assert!(!is_of_libcs_making(mapping, 0x20000, Some(0x9f700)));
        // A coroutine's stack behind the thread's own, as one mapping.
        assert!(!is_of_libcs_making(mapping, 0x70000, Some(0x3f700)));
        // The first thread, on a coroutine's stack that is one mapping with what its descriptor
        // lies in.
        assert!(!is_of_libcs_making(mapping, 0x20000, None));
    }
}
