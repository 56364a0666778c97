//! Unwinding by arbitrary call frame information, registers and stack memory: nothing outside the
//! stack is read, every walk ends, and the frame cache says what a walk without one says.

use std::cell::Cell;

use arbitrary::{Arbitrary, Result, Unstructured};
use mallocop::arch::CallFrame;
use mallocop::stack::unwind::cfi;
use mallocop::stack::unwind::frame_cache::FrameCache;
use mallocop::stack::unwind::rule::{RuleKind, RuleParts, Saved, UnwindRule};
use mallocop::stack::unwind::step::{EXACT, GUESSED, Source};

use crate::tally::Tally;

/// Where the simulated stack lies, and how long it is.
const STACK: usize = 0x7000_0000;
const WORDS: usize = 512;
/// What is known of another stack goes by that.
const PAGE: usize = 512;
const STACK_END: usize = STACK + WORDS * 8;
/// Functions: return addresses from here on, 16 bytes apart.
const CODE: usize = 0x10_0000;
const FUNCTIONS: usize = 24;
/// Where the simulated .eh_frame lies.
const SECTION: usize = 0x20_0000;

/// A word of the stack, or a register.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Value {
    ReturnAddress(u8),
    StackAddress(u16),
    Nothing,
    Any(u64),
}

impl Value {
    fn word(self) -> usize {
        match self {
            Self::ReturnAddress(number) => CODE + usize::from(number) % FUNCTIONS * 16,
            Self::StackAddress(place) => STACK + usize::from(place) % WORDS * 8,
            Self::Nothing => 0,
            Self::Any(word) => word as usize,
        }
    }
}

/// A function's rule: one of those that compilers make, an arbitrary one, or what the section says.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Function {
    Stack { words: u8, saved: Option<u8> },
    Frame { saved: bool },
    Realigned { at: i8 },
    Signal,
    End,
    Unknown,
    Any { kind: u8, register: u16, offset: i32, plus: i16, base: u8, slot: i32 },
    BySection,
}

impl Function {
    fn rule(self, by_section: UnwindRule) -> UnwindRule {
        let parts = |kind, offset, saved| RuleParts { kind, register: 7, offset, plus: 0, saved };
        match self {
            Self::Stack { words, saved } => {
                let offset = i64::from(words % 16 + 1) * 8;
                let saved = saved.map_or(Saved::Same, |at| {
                    Saved::Cfa(-16 - i64::from(at) % offset.max(16) / 8 * 8)
                });
                UnwindRule::of(parts(RuleKind::Stack, offset, saved))
            }
            Self::Frame { saved } => {
                let saved = if saved { Saved::Cfa(-16) } else { Saved::Same };
                UnwindRule::of(parts(RuleKind::Frame, 16, saved))
            }
            Self::Realigned { at } => {
                let parts = parts(RuleKind::InFrame, i64::from(at) * 8, Saved::Frame(0));
                UnwindRule::of(parts)
            }
            Self::Signal => UnwindRule::SIGNAL,
            Self::End => UnwindRule::END,
            Self::Unknown => UnwindRule::UNKNOWN,
            Self::Any { kind, register, offset, plus, base, slot } => {
                let kinds = [
                    RuleKind::Stack,
                    RuleKind::Frame,
                    RuleKind::InStack,
                    RuleKind::InFrame,
                    RuleKind::Register,
                ];
                let (offset, slot) = (i64::from(offset), i64::from(slot));
                let saved = match base % 4 {
                    0 => Saved::Same,
                    1 => Saved::Cfa(slot),
                    2 => Saved::Frame(slot),
                    _ => Saved::Stack(slot),
                };
                let kind = kinds[usize::from(kind) % kinds.len()];
                UnwindRule::of(RuleParts { kind, register, offset, plus: i64::from(plus), saved })
            }
            Self::BySection => by_section,
        }
    }
}

/// A walk: the program returns to one of its frames, calls on from there, and some words change
/// that no compiler would have changed.
#[derive(Clone, Debug)]
struct Walk {
    coalesce_queue: u8,
    calls: Vec<Call>,
    writes: Vec<(u16, Value)>,
    somewhere: Option<(u8, u16, Value)>,
}

/// A call of a function, which has some words more than it must.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Call {
    function: u8,
    more: u8,
}

impl<'a> Arbitrary<'a> for Walk {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let count = u.int_in_range(0..=6)?;
        let calls = (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let writes = if u.ratio(1, 4)? { vec![u.arbitrary()?, u.arbitrary()?] } else { Vec::new() };
        let somewhere = if u.ratio(1, 8)? { Some(u.arbitrary()?) } else { None };
        Ok(Self { coalesce_queue: u.arbitrary()?, calls, writes, somewhere })
    }
}

/// What the fuzzer's bytes make.
#[derive(Debug)]
struct Script {
    section: Vec<u8>,
    offset: usize,
    pcs: Vec<u16>,
    functions: Vec<Function>,
    stack: Vec<Value>,
    walks: Vec<Walk>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (section, offset) =
            if u.arbitrary()? { entry(u)? } else { (u.arbitrary()?, u.arbitrary()?) };
        let pcs = (0..8).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let functions = (0..FUNCTIONS).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let stack = (0..WORDS).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let count = u.int_in_range(2..=12)?;
        let walks = (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        Ok(Self { section, offset, pcs, functions, stack, walks })
    }
}

/// A section of one common entry and one of a function, whose instructions are arbitrary.
fn entry(u: &mut Unstructured<'_>) -> Result<(Vec<u8>, usize)> {
    let mut section = Vec::new();
    let common = *u.choose(&[b"zR\0".as_slice(), b"zRS\0", b"zPLR\0", b"\0"])?;
    let mut body = vec![0, 0, 0, 0, 1];
    body.extend(common);
    // Alignment factors 1 and -8, return address in column 16, addresses relative in 4 bytes.
    body.extend([1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1]);
    body.extend(u.arbitrary::<[u8; 6]>()?);
    append(&mut section, &body);
    let offset = section.len();
    let back = u32::try_from(offset + 4).unwrap_or(0).to_le_bytes();
    let first = (CODE as i32).wrapping_sub((SECTION + offset + 8) as i32).to_le_bytes();
    let mut body = Vec::new();
    body.extend(back);
    body.extend(first);
    body.extend(0x1_0000u32.to_le_bytes());
    body.push(0);
    body.extend(u.arbitrary::<Vec<u8>>()?);
    append(&mut section, &body);
    Ok((section, offset))
}

fn append(section: &mut Vec<u8>, body: &[u8]) {
    section.extend(u32::try_from(body.len()).unwrap_or(0).to_le_bytes());
    section.extend(body);
}

/// The simulated process.
struct Simulated {
    stack: Vec<usize>,
    rules: Vec<UnwindRule>,
    /// Is the stack another one than the thread's own, of which no more is known at first than the
    /// page rsp is on?
    is_another: bool,
    /// Rules that were asked for.
    lookups: Cell<usize>,
}

impl Source for Simulated {
    fn rule(&self, pc: usize) -> UnwindRule {
        self.lookups.set(self.lookups.get() + 1);
        let number = (pc & !(EXACT | GUESSED)).wrapping_sub(CODE) / 16;
        self.rules.get(number).copied().unwrap_or(UnwindRule::UNKNOWN)
    }

    fn saved(&self, pc: usize, register: u16) -> Option<Saved> {
        // Some functions keep it, some save it in an odd place, of some it is not known.
        match (pc / 16 + usize::from(register)) % 4 {
            0 => None,
            1 => Some(Saved::Same),
            2 => Some(Saved::Cfa(-16)),
            _ => Some(Saved::Cfa(-8 * (pc % 64) as i64)),
        }
    }

    fn nowhere(&self) -> usize {
        8
    }

    unsafe fn read(&self, address: usize) -> usize {
        if address == self.nowhere() {
            return 0;
        }
        assert!(
            self.is_readable(address, address + 8) && address.is_multiple_of(8),
            "{address:#x} is not on the stack"
        );
        self.stack[(address - STACK) / 8]
    }

    fn is_readable(&self, from: usize, to: usize) -> bool {
        from >= STACK && to <= STACK_END && from < to
    }

    fn is_stack(&self, from: usize, to: usize) -> bool {
        self.is_readable(from, to)
    }

    fn limit(&self, sp: usize) -> usize {
        match self.is_readable(sp, sp.saturating_add(1)) {
            _ if self.is_another => sp.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX),
            true => STACK_END,
            false => usize::MAX,
        }
    }

    fn goes_on(&self, limit: usize, to: usize) -> bool {
        self.is_another && self.is_readable(limit, to)
    }
}

impl Simulated {
    fn write(&mut self, address: usize, word: usize) {
        if self.is_readable(address, address + 8) {
            self.stack[(address - STACK) / 8] = word;
        }
    }

    /// A call from `caller` of a function with that rule: what the two leave on the stack. `None`
    /// if there is no room, or the rule is nothing that is called.
    fn call(&mut self, caller: CallFrame, function: usize, more: usize) -> Option<CallFrame> {
        let rule = *self.rules.get(function)?;
        let top = caller.sp;
        let pc = CODE + function * 16;
        let mut frame = CallFrame { pc, sp: top.checked_sub(600)?, fp: caller.fp };
        match rule.kind() {
            RuleKind::Stack => frame.sp = top.checked_sub(rule.offset() as usize)?,
            RuleKind::Frame | RuleKind::Unknown => {
                frame.fp = top - 16;
                frame.sp = frame.fp - more * 8;
                self.write(frame.fp, caller.fp);
            }
            RuleKind::InFrame => {
                frame.fp = (top - 256) & !63;
                self.write(frame.fp, caller.fp);
                self.write(frame.fp.wrapping_add_signed(rule.offset()), top);
                frame.sp = frame.fp - 64 - more * 8;
            }
            RuleKind::Signal => {
                frame.sp = top - 256;
                self.write(frame.sp + 120, caller.fp);
                self.write(frame.sp + 160, caller.sp);
                self.write(frame.sp + 168, caller.pc & !EXACT);
                return self.is_readable(frame.sp, top).then_some(frame);
            }
            _ => return None,
        }
        self.write(top - 8, caller.pc & !EXACT);
        if let Saved::Cfa(slot) = rule.saved() {
            self.write(top.wrapping_add_signed(slot as isize), caller.fp);
        }
        self.is_readable(frame.sp, top).then_some(frame)
    }
}

fn frames(frame_cache: &FrameCache) -> (Vec<usize>, bool) {
    ((0..frame_cache.depth()).map(|index| frame_cache.pc(index)).collect(), frame_cache.is_lost())
}

/// Plays the script that the bytes make.
///
/// # Panics
/// If a walk reads outside of the stack, does not end, or the frame cache's differs.
pub fn body(data: &[u8]) -> Result<Tally> {
    let script = Script::arbitrary(&mut Unstructured::new(data))?;
    if data.len() < 64 {
        return Err(arbitrary::Error::NotEnoughData);
    }
    let mut tally = Tally::default();
    let mut by_section = UnwindRule::UNKNOWN;
    for &pc in &script.pcs {
        let pc = CODE + usize::from(pc);
        let rule = cfi::rule_by_entry(&script.section, SECTION, script.offset, pc);
        tally.count(if rule == UnwindRule::UNKNOWN { "no rule" } else { "rules" });
        if rule != UnwindRule::UNKNOWN {
            by_section = rule;
        }
    }
    let rules = script.functions.iter().map(|function| function.rule(by_section));
    // The outermost one ends nearly every stack.
    let rules = [UnwindRule::END].into_iter().chain(rules).take(FUNCTIONS).collect();
    let stack = script.stack.iter().map(|value| value.word()).collect();
    let is_another = script.walks.len() % 2 == 1;
    let mut process = Simulated { stack, rules, is_another, lookups: Cell::new(0) };
    let mut chain = vec![CallFrame { pc: CODE, sp: STACK_END - 64, fp: 0 }];
    let mut frame_cache = FrameCache::new();
    for walk in &script.walks {
        chain.truncate(1 + usize::from(walk.coalesce_queue) % chain.len());
        for call in &walk.calls {
            let number = usize::from(call.function) % FUNCTIONS;
            let caller = *chain.last().unwrap_or(&chain[0]);
            chain.extend(process.call(caller, number, usize::from(call.more) % 8));
        }
        for &(place, value) in &walk.writes {
            process.stack[usize::from(place) % WORDS] = value.word();
        }
        let mut start = *chain.last().unwrap_or(&chain[0]);
        if let Some((number, place, fp)) = walk.somewhere {
            let pc = CODE + usize::from(number) % FUNCTIONS * 16;
            start = CallFrame { pc, sp: STACK + usize::from(place) % WORDS * 8, fp: fp.word() };
        }
        look(&process, &mut frame_cache, start, &mut tally);
    }
    Ok(tally)
}

/// Walks with the frame cache and with an empty one.
fn look(process: &Simulated, frame_cache: &mut FrameCache, start: CallFrame, tally: &mut Tally) {
    process.lookups.set(0);
    frame_cache.walk(process, start);
    let with = process.lookups.replace(0);
    let mut fresh = FrameCache::new();
    fresh.walk(process, start);
    let without = process.lookups.get();
    assert_eq!(frames(frame_cache), frames(&fresh), "the memo differs");
    assert_eq!(frame_cache.hash(0, frame_cache.depth() - 1), fresh.hash(0, fresh.depth() - 1));
    tally.count("walks");
    tally.add("frames", fresh.depth());
    tally.add("guessed", frames(&fresh).0.iter().filter(|&&pc| pc & GUESSED != 0).count());
    tally.add("signals", frames(&fresh).0.iter().filter(|&&pc| pc & EXACT != 0).count());
    tally.count(if fresh.is_lost() { "lost" } else { "whole" });
    tally.add("taken over", without.saturating_sub(with));
}

/// The script as text.
pub fn show(data: &[u8]) -> Result<String> {
    Script::arbitrary(&mut Unstructured::new(data)).map(|script| format!("{script:#x?}"))
}
