//! Roots: where the program keeps what it can still use. This is the one list of them.

use core::ops::ControlFlow;

use super::graph::{Enter, Reach};
use super::kernel_words;
use super::live_stacks::LiveStacks;
use super::mappings::{AddressSpace, Backing, WritableMapping};
use super::reader::MemoryReader;
use super::root_regions;
use super::stop::Stopped;
use crate::options::{self, Name};
use crate::own::{early, emergency};
use crate::stack::unwind::entry_point::Point;
use crate::sys::glibc::thread_descriptor;
use crate::sys::pagemap::Presence;
use crate::sys::thread_start;

/// Start of the calling thread's alternate signal stack, which the kernel alone may know; 0: it has
/// none.
fn alt_stack() -> usize {
    thread_descriptor::alternate_stack().map_or(0, |(start, _)| start)
}

/// The receiver of the roots.
pub trait RootVisitor {
    /// A word of no place in memory: a register, a stack's address, a word that the kernel holds.
    fn word(&mut self, word: usize);

    /// The words of `[start, end)`, which are so present.
    fn range(&mut self, start: usize, end: usize, presence: Presence);

    /// What came so far may be looked through. `Break`: no more roots are wanted.
    fn pause(&mut self) -> ControlFlow<()>;
}

impl<E: Enter> RootVisitor for Reach<'_, E> {
    fn word(&mut self, word: usize) {
        Self::word(self, word, 0);
    }

    fn range(&mut self, start: usize, end: usize, presence: Presence) {
        Self::range(self, start, end, presence);
    }

    /// At once: the list of what waits stays short.
    fn pause(&mut self) -> ControlFlow<()> {
        self.finish();
        ControlFlow::Continue(())
    }
}

/// All roots of this process.
pub struct Roots<'a> {
    space: &'a AddressSpace,
    reader: &'a MemoryReader<'a>,
    stopped: &'a Stopped,
    caller: &'a Point,
}

impl<'a> Roots<'a> {
    /// Of this process; `caller` is where the calling thread's stack begins to be the program's.
    pub const fn new(
        space: &'a AddressSpace,
        reader: &'a MemoryReader<'a>,
        stopped: &'a Stopped,
        caller: &'a Point,
    ) -> Self {
        Self { space, reader, stopped, caller }
    }

    /// Gives all of them to `visitor`, until it breaks.
    pub fn visit(&self, visitor: &mut impl RootVisitor) -> ControlFlow<()> {
        self.visit_registers(visitor);
        for mapping in &self.space.mappings {
            self.visit_mapping(visitor, *mapping);
            visitor.pause()?;
        }
        let mut visit_all = |start, end| {
            self.space.for_each_mapped(start, end, |mapping| self.visit_part(visitor, mapping));
        };
        // Our own memory, but the program's handlers and libc have blocks in it.
        let (emergency, early) = (emergency::used(), early::used());
        visit_all(emergency.0, emergency.1);
        visit_all(early.0, early.1);
        root_regions::for_each(visit_all);
        for (start, end) in self.threads().joined_heads() {
            visitor.range(start, end, Presence::InMemory);
        }
        visitor.pause()?;
        kernel_words::for_each(|word| visitor.word(word));
        thread_start::for_each_argument(|word| visitor.word(word));
        visitor.pause()
    }

    fn visit_registers(&self, visitor: &mut impl RootVisitor) {
        if options::flag(Name::UseRegisters) {
            self.caller.registers.iter().for_each(|&word| visitor.word(word));
            for place in self.stopped.parked() {
                place.registers().for_each(|word| visitor.word(word));
                for (start, end) in place.vectors() {
                    visitor.range(start, end, Presence::InMemory);
                }
            }
        }
        if options::flag(Name::UseStacks) {
            // Stacks that are blocks of the heap.
            visitor.word(self.caller.sp);
            visitor.word(alt_stack());
            for place in self.stopped.parked() {
                visitor.word(place.sp());
                visitor.word(place.alternate().0);
            }
        }
    }

    /// The threads.
    pub(super) const fn threads(&self) -> LiveStacks<'_> {
        LiveStacks { stopped: self.stopped, caller: self.caller, reader: self.reader }
    }

    fn visit_mapping(&self, visitor: &mut impl RootVisitor, mapping: WritableMapping) {
        let threads = self.threads();
        let kind = match mapping.backing {
            Backing::File | Backing::Bss => Name::UseGlobals,
            Backing::Anonymous if threads.has_any_in(mapping) => Name::UseStacks,
            Backing::Anonymous => Name::UseMappings,
        };
        if options::flag(kind) {
            let span = threads.part_in_use(mapping);
            self.space.for_each_own(span.start, span.end, |start, end| {
                self.visit_part(visitor, WritableMapping { start, end, ..span });
            });
        }
    }

    fn visit_part(&self, visitor: &mut impl RootVisitor, part: WritableMapping) {
        // While threads go on a mapping may go away. What has a file behind it may become shorter
        // at any time.
        let in_place = part.backing != Backing::File && self.stopped.is_complete();
        self.reader.memory().for_each_touched(part.start, part.end, |start, end, presence| {
            let presence = if in_place { presence } else { Presence::Elsewhere };
            visitor.range(start, end, presence);
        });
    }
}
