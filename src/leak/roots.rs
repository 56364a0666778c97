//! Roots: where the program keeps what it can still use. Words there that lead to blocks are
//! marked.

use super::kernel_words;
use super::mark::Marker;
use super::reader::MemoryReader;
use super::stop::Stopped;
use crate::leak::live_stacks::LiveStacks;
use crate::leak::mappings::{AddressSpace, Backing, WritableMapping};
use crate::leak::mark_bitmap::MarkBitmap;
use crate::leak::root_regions;
use crate::options::{self, Name};
use crate::own::{early, emergency};
use crate::stack::unwind::entry_point::Point;
use crate::sys::glibc::thread_descriptor;
use crate::sys::pagemap::Presence;

/// Start of the calling thread's alternate signal stack, which the kernel alone may know; 0: it has
/// none.
fn alt_stack() -> usize {
    thread_descriptor::alternate_stack().map_or(0, |(start, _)| start)
}

/// Marks from all roots.
pub struct Roots<'a> {
    space: &'a AddressSpace,
    reader: &'a MemoryReader<'a>,
    marks: &'a MarkBitmap<'a>,
    stopped: &'a Stopped,
    caller: &'a Point,
}

impl<'a> Roots<'a> {
    /// Of this process; `caller` is where the calling thread's stack begins to be the program's.
    pub const fn new(
        space: &'a AddressSpace,
        reader: &'a MemoryReader<'a>,
        marks: &'a MarkBitmap<'a>,
        stopped: &'a Stopped,
        caller: &'a Point,
    ) -> Self {
        Self { space, reader, marks, stopped, caller }
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
        root_regions::for_each(mark_all);
        for (start, end) in self.threads().joined_heads() {
            marker.range(start, end, Presence::InMemory);
        }
        kernel_words::for_each(|word| marker.word(word));
        marker.finish();
    }

    /// Blocks that nobody wants to hear of, and what they lead to.
    fn mark_exempt(&self, marker: &mut Marker<'_>) {
        self.marks.for_each_block(|block| {
            if self.marks.heap().facts(block).is_exempt {
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
                for (start, end) in place.vectors() {
                    marker.range(start, end, Presence::InMemory);
                }
            }
        }
        if options::flag(Name::UseStacks) {
            // Stacks that are blocks of the heap.
            marker.word(self.caller.sp);
            marker.word(alt_stack());
            for place in self.stopped.parked() {
                marker.word(place.sp());
                marker.word(place.alternate().0);
            }
        }
    }

    const fn threads(&self) -> LiveStacks<'_> {
        LiveStacks { stopped: self.stopped, caller: self.caller, reader: self.reader }
    }

    fn mark_mapping(&self, marker: &mut Marker<'_>, mapping: WritableMapping) {
        let threads = self.threads();
        let kind = match mapping.backing {
            Backing::File | Backing::Bss => Name::UseGlobals,
            Backing::Anonymous if threads.has_any_in(mapping) => Name::UseStacks,
            Backing::Anonymous => Name::UseMappings,
        };
        if options::flag(kind) {
            self.mark_span(marker, threads.part_in_use(mapping));
        }
    }

    fn mark_span(&self, marker: &mut Marker<'_>, span: WritableMapping) {
        self.space.for_each_own(span.start, span.end, |start, end| {
            self.mark_part(marker, WritableMapping { start, end, ..span });
        });
    }

    fn mark_part(&self, marker: &mut Marker<'_>, part: WritableMapping) {
        // While threads go on a mapping may go away. What has a file behind it may become shorter
        // at any time.
        let in_place = part.backing != Backing::File && self.stopped.is_complete();
        self.reader.memory().for_each_touched(part.start, part.end, |start, end, presence| {
            let presence = if in_place { presence } else { Presence::Elsewhere };
            marker.range(start, end, presence);
        });
    }
}
