//! Who called into the library that a frame is in, and what was in the registers there: below that
//! the stack is the library's own business.

use crate::arch::CallFrame;
use crate::arch::PRESERVED;
use crate::arch::Registers;
use crate::stack::unwind::rule::{Saved, UnwindRule};
use crate::stack::unwind::rule_table;
use crate::stack::unwind::rule_table::Epoch;
use crate::stack::unwind::stack_limits;
use crate::stack::unwind::step::{Source, Step, limit_of, register_in, step};
use crate::sys::glibc::find_object;
use crate::sys::memory;

/// Frames that are looked at.
const DEEPEST: usize = 64;

/// A point on the program's stack: what is above is in use, and so are the registers.
#[derive(Clone, Debug)]
pub struct Point {
    /// Lowest address in use.
    pub sp: usize,
    /// What may be in registers there.
    pub registers: Vec<usize>,
}

/// Rules without a thread's memory of them.
struct Cold(Epoch);

impl Source for Cold {
    fn rule(&self, pc: usize) -> UnwindRule {
        rule_table::rule_for(pc, self.0).unwrap_or(UnwindRule::UNKNOWN)
    }

    fn saved(&self, pc: usize, register: u16) -> Option<Saved> {
        rule_table::saved_at(pc, register)
    }

    unsafe fn read(&self, address: usize) -> usize {
        // SAFETY: as the caller says; aligned.
        unsafe { (address as *const usize).read() }
    }

    fn nowhere(&self) -> usize {
        0
    }

    fn is_readable(&self, from: usize, to: usize) -> bool {
        memory::is_readable(from, to)
    }

    fn is_stack(&self, _from: usize, _to: usize) -> bool {
        false
    }

    fn limit(&self, sp: usize) -> usize {
        stack_limits::limit_of_page(sp)
    }

    fn goes_on(&self, limit: usize, to: usize) -> bool {
        stack_limits::goes_on(limit, to)
    }
}

impl Registers {
    fn all(&self) -> impl Iterator<Item = usize> {
        self.others.into_iter().chain([self.fp])
    }

    /// The point itself: what is below its caller's frame is not in use.
    pub fn point(&self) -> Point {
        Point { sp: self.sp, registers: self.all().collect() }
    }

    /// The point at which the library that has called was called: from its first frame outwards
    /// that is another module's, or from where its thread begins. Where that cannot be told,
    /// [`Registers::point`].
    pub fn point_of_module_call(&self) -> Point {
        let Some(module) = find_object::find_object(self.pc) else { return self.point() };
        let source = Cold(Epoch::now());
        let mut frames = vec![CallFrame { pc: self.pc, sp: self.sp, fp: self.fp }];
        while let Some(&frame) = frames.last()
            && frames.len() < DEEPEST
        {
            if !(module.start..module.end).contains(&(frame.pc - 1)) {
                return self.point_at(&source, &frames);
            }
            match step(&source, source.rule(frame.pc), frame, None, limit_of(&source, frame)) {
                Step::Caller(next, _) => frames.push(next),
                Step::End => return self.point_at(&source, &frames),
                Step::Lost => break,
            }
        }
        self.point()
    }

    fn point_at(&self, source: &Cold, frames: &[CallFrame]) -> Point {
        let outermost = frames.len() - 1;
        let frame =
            |index: usize| frames.get(index).copied().unwrap_or(CallFrame { pc: 0, sp: 0, fp: 0 });
        let saved = PRESERVED
            .iter()
            .filter_map(|&register| register_in(source, outermost, register, frame));
        // What no frame has saved is still where it was.
        Point { sp: frame(outermost).sp, registers: saved.chain(self.all()).collect() }
    }
}
