//! Roots: where the program keeps what it can still use. Words there that lead to blocks are marked.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::chart::Chart;
use super::hidden::Hidden;
use super::mark::Marker;
use super::space::{Backing, Mapping, Space};
use super::stop::Stopped;
use super::threads::Threads;
use super::{kernel_words, regions};
use crate::heap::size::{PAGE, WORD};
use crate::options::{self, Name};
use crate::own::{early, emergency};
use crate::stack::caller::Point;
use crate::sys::memory;

/// Bytes read at a time where memory is not looked at in its place.
const PIECE: usize = 64 << 10;

/// Marks from all roots.
pub struct Roots<'a> {
    space: &'a Space,
    hidden: &'a Hidden,
    chart: &'a Chart<'a>,
    stopped: &'a Stopped,
    caller: &'a Point,
    /// /proc/self/mem, by which a look at what is not there fails instead of ending the program.
    memory: Option<File>,
}

impl<'a> Roots<'a> {
    /// Of this process; `caller` is where the calling thread's stack begins to be the program's.
    pub fn new(
        space: &'a Space,
        hidden: &'a Hidden,
        chart: &'a Chart<'a>,
        stopped: &'a Stopped,
        caller: &'a Point,
    ) -> Self {
        let memory = File::open("/proc/self/mem").ok();
        Self { space, hidden, chart, stopped, caller, memory }
    }

    /// Marks what is reachable from all of them.
    pub fn mark(&self, marker: &mut Marker<'_>) {
        self.mark_exempt(marker);
        self.mark_registers(marker);
        for mapping in &self.space.mappings {
            self.mark_mapping(marker, *mapping);
            // What was found is looked through at once: the list of what waits stays short.
            marker.finish();
        }
        let mut mark_all = |start, end| {
            self.space.for_each_mapped(start, end, |mapping| self.mark_part(marker, mapping));
        };
        // Our own memory, but the program's handlers and libc have blocks in it.
        let (emergency, early) = (emergency::used(), early::used());
        mark_all(emergency.0, emergency.1);
        mark_all(early.0, early.1);
        regions::for_each(mark_all);
        kernel_words::for_each(|word| marker.word(word));
        marker.finish();
    }

    /// Blocks that nobody wants to hear of, and what they lead to.
    fn mark_exempt(&self, marker: &mut Marker<'_>) {
        self.chart.for_each_block(|block| {
            if self.chart.heap().facts(block).is_exempt {
                marker.block(block);
            }
        });
        marker.finish();
    }

    fn mark_registers(&self, marker: &mut Marker<'_>) {
        if options::flag(Name::UseRegisters) {
            self.caller.registers.iter().for_each(|&word| marker.word(word));
            for place in self.stopped.parked() {
                place.registers().for_each(|word| marker.word(word));
            }
        }
        if options::flag(Name::UseStacks) {
            // Stacks that are blocks of the heap.
            marker.word(self.caller.sp);
            for place in self.stopped.parked() {
                marker.word(place.sp());
                marker.word(place.alternate().0);
            }
        }
    }

    fn mark_mapping(&self, marker: &mut Marker<'_>, mapping: Mapping) {
        let threads = Threads { stopped: self.stopped, caller: self.caller };
        let kind = match mapping.backing {
            Backing::File | Backing::Bss => Name::UseGlobals,
            Backing::Anonymous if threads.has_any_in(mapping) => Name::UseStacks,
            Backing::Anonymous => Name::UseMappings,
        };
        if options::flag(kind) {
            self.mark_span(marker, threads.part_in_use(mapping));
        }
    }

    fn mark_span(&self, marker: &mut Marker<'_>, span: Mapping) {
        self.space.for_each_own(span.start, span.end, |start, end| {
            self.mark_part(marker, Mapping { start, end, ..span });
        });
    }

    fn mark_part(&self, marker: &mut Marker<'_>, part: Mapping) {
        // While threads go on a mapping may go away.
        let in_place = part.backing != Backing::File && self.stopped.is_complete();
        self.hidden.for_each_touched(part.start, part.end, |start, end| {
            if in_place {
                // SAFETY: anonymous memory that can be read, while all other threads stand still.
                unsafe { marker.range(start, end) };
            } else {
                self.mark_copied(marker, start, end);
            }
        });
    }

    /// A process that must not be dumped cannot read its memory as a file: what is there is asked for page by page.
    fn mark_asked_for(&self, marker: &mut Marker<'_>, start: usize, end: usize) {
        let mut at = start;
        while at < end && self.stopped.is_complete() {
            let next = end.min((at / PAGE + 1) * PAGE);
            if memory::is_readable(at, next) {
                // SAFETY: just found to be readable, while all other threads stand still.
                unsafe { marker.range(at, next) };
            }
            at = next;
        }
    }

    fn mark_copied(&self, marker: &mut Marker<'_>, start: usize, end: usize) {
        let Some(memory) = &self.memory else { return self.mark_asked_for(marker, start, end) };
        let mut piece = vec![0usize; PIECE.min(end - start).div_ceil(WORD)];
        let mut at = start;
        while at < end {
            let wanted = (end - at).min(PIECE);
            let address = piece.as_mut_ptr();
            // SAFETY: the vector has that many bytes, and any bytes are words.
            let bytes = unsafe { core::slice::from_raw_parts_mut(address.cast::<u8>(), wanted) };
            match memory.read_at(bytes, at as u64) {
                Ok(got @ 1..) => {
                    let from = address as usize;
                    // SAFETY: what was read, in the vector.
                    unsafe { marker.range(from, from + got) };
                    at += if got == wanted { got } else { got / WORD * WORD }.max(WORD);
                }
                // Nothing is there.
                _ => at = (at / PAGE + 1) * PAGE,
            }
        }
    }
}
