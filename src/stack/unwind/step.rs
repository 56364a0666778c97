//! From a frame to its caller, by rule.

use crate::arch::ADDRESS_BITS;
use crate::arch::CallFrame;
use crate::arch::SIGNAL_FP;
use crate::arch::SIGNAL_PC;
use crate::arch::SIGNAL_SP;
use crate::arch::signal_register;
use crate::stack::unwind::rule::{NEAR, RuleKind, Saved, UnwindRule};

/// Marks a pc that is where a signal came in, not a return address: it is looked up as it is, and
/// names the instruction that was next.
pub const EXACT: usize = 1 << 63;
/// Marks a pc that was found without a rule, by following rbp.
pub const GUESSED: usize = 1 << 62;

/// What a step to a caller has read, and thus what has to be unchanged for it to come out the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The return address, 8 bytes below the caller's rsp.
    Plain,
    /// That, and rbp from this address.
    Loaded(usize),
    /// More than that: to be done again.
    Again,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The caller.
    Caller(CallFrame, Reach),
    /// Nothing called the frame.
    End,
    /// It cannot be told who did.
    Lost,
}

/// What a walk reads. The real one is the process; tests and fuzzers have others.
pub trait Source {
    /// The rule for a pc with its marks.
    fn rule(&self, pc: usize) -> UnwindRule;

    /// Where the function at a pc without a guess's mark has put its caller's register, by DWARF
    /// number; `None`: it cannot be told. May be slow.
    fn saved(&self, pc: usize, register: u16) -> Option<Saved>;

    /// The word at an address, a multiple of 8.
    ///
    /// # Safety
    /// The address is that of a frame's slot as a rule gives it, within the bounds, or was found
    /// readable.
    unsafe fn read(&self, address: usize) -> usize;

    /// Address of a word that is 0, as no return address is.
    fn nowhere(&self) -> usize;

    /// Can `[from, to)` be read? Asked where a rule alone is not to be trusted; may be slow.
    fn is_readable(&self, from: usize, to: usize) -> bool;

    /// Is `[from, to)` on the thread's own stack, all of which can be read up to the limit? Asked
    /// for each guess: what is found after a wrong one stays within the limit, too.
    fn is_stack(&self, from: usize, to: usize) -> bool;

    /// First address above the stack that `sp` is on, or above what is known of it.
    fn limit(&self, sp: usize) -> usize;

    /// Does the stack go on from that limit, and can be read up to `to`? May be slow.
    fn goes_on(&self, _limit: usize, _to: usize) -> bool {
        false
    }

    /// Which of the modules that have had a pc's address it is in, for the stack's hash.
    #[inline(always)]
    fn generation(&self, _pc: usize) -> u32 {
        0
    }
}

const HIGHEST: usize = 1 << ADDRESS_BITS;

/// [`Source::limit`] for a frame: the return address by which it was reached lies below its rsp,
/// which may be the stack's end already.
pub fn limit_of<S: Source>(source: &S, frame: CallFrame) -> usize {
    source.limit(frame.sp).min(source.limit(frame.sp.wrapping_sub(8)))
}

/// The step from `frame` to its caller by the two kinds of rule that nearly all are. `None`: by
/// [`step`].
#[inline(always)]
pub fn step_near<S: Source>(
    source: &S,
    rule: UnwindRule,
    frame: CallFrame,
    limit: usize,
) -> Option<(CallFrame, usize)> {
    let cfa = if rule.is(RuleKind::Stack) {
        frame.sp.wrapping_add_signed(rule.offset())
    } else if rule.is(RuleKind::Frame) {
        let cfa = frame.fp.wrapping_add_signed(rule.offset());
        let lowest = cfa.wrapping_add_signed(rule.slot()).min(cfa.wrapping_sub(8));
        if lowest.wrapping_sub(frame.sp) >= NEAR || !cfa.is_multiple_of(8) {
            return None;
        }
        cfa
    } else {
        return None;
    };
    if cfa > limit {
        return None;
    }
    // SAFETY: a return address is 8 bytes below the CFA, which is near and below the limit.
    let pc = unsafe { source.read(cfa - 8) };
    if pc.wrapping_sub(1) >> ADDRESS_BITS != 0 {
        return None;
    }
    if rule.keeps_frame_pointer() {
        return Some((CallFrame { pc, sp: cfa, fp: frame.fp }, 0));
    }
    let slot = cfa.wrapping_add_signed(rule.slot());
    // SAFETY: in the frame: by the rule's kind, or because it is not below rsp.
    let fp = unsafe { source.read(slot) };
    Some((CallFrame { pc, sp: cfa, fp }, slot))
}

/// The step from `frame` to its caller by `rule`. `register`: what the register of a rule of
/// [`RuleKind::Register`] is there, if that is known.
#[inline(never)]
pub fn step<S: Source>(
    source: &S,
    rule: UnwindRule,
    frame: CallFrame,
    register: Option<usize>,
    limit: usize,
) -> Step {
    let base = match rule.kind() {
        RuleKind::Stack | RuleKind::FarStack => Some(frame.sp),
        RuleKind::Frame | RuleKind::FarFrame => Some(frame.fp),
        _ => None,
    };
    let cfa = match base {
        Some(base) => base.wrapping_add_signed(rule.offset()),
        None => match by_memory(source, rule, frame, register, limit) {
            Ok(cfa) => cfa,
            Err(step) => return step,
        },
    };
    if !is_sound(source, frame.sp, cfa, limit) {
        return Step::Lost;
    }
    let slot = match rule.saved() {
        Saved::Same => None,
        Saved::Cfa(offset) => Some(cfa.wrapping_add_signed(offset as isize)),
        Saved::Frame(offset) => Some(frame.fp.wrapping_add_signed(offset as isize)),
        Saved::Stack(offset) => Some(frame.sp.wrapping_add_signed(offset as isize)),
    };
    // SAFETY: a return address is 8 bytes below the CFA, which is sound.
    let pc = unsafe { source.read(cfa - 8) };
    let fp = match slot {
        None => frame.fp,
        Some(slot) => {
            let inside = slot >= frame.sp && slot < cfa && cfa - frame.sp <= NEAR;
            if !slot.is_multiple_of(8) || !(inside || is_readable_word(source, slot)) {
                return Step::Lost;
            }
            // SAFETY: in the frame, between rsp and the CFA, or found readable.
            unsafe { source.read(slot) }
        }
    };
    if pc.wrapping_sub(1) >> ADDRESS_BITS != 0 {
        return if pc == 0 { Step::End } else { Step::Lost };
    }
    // What lies beyond the limit may be gone at the next look. Where it seems to be code with a
    // rule it is believed, or each walk on another stack would ask the kernel.
    let is_doubtful = cfa > limit && source.rule(pc).is(RuleKind::Unknown);
    let reach = match slot {
        _ if base.is_none() || is_doubtful => Reach::Again,
        None => Reach::Plain,
        Some(slot) => Reach::Loaded(slot),
    };
    Step::Caller(CallFrame { pc, sp: cfa, fp }, reach)
}

/// Is the CFA above rsp, with room for a return address, below the stack's limit, and near or
/// readable?
fn is_sound<S: Source>(source: &S, sp: usize, cfa: usize, limit: usize) -> bool {
    let fits = cfa > sp && cfa - sp >= 8 && cfa.is_multiple_of(8);
    let is_within = cfa <= limit || source.goes_on(limit, cfa);
    fits && is_within && (cfa - sp <= NEAR || source.is_readable(cfa - 8, cfa))
}

fn is_readable_word<S: Source>(source: &S, address: usize) -> bool {
    source.is_readable(address, address.saturating_add(8))
}

/// The rarer forms: the CFA by more than the two registers, or a whole step of its own kind.
fn by_memory<S: Source>(
    source: &S,
    rule: UnwindRule,
    frame: CallFrame,
    register: Option<usize>,
    limit: usize,
) -> Result<usize, Step> {
    let base = match rule.kind() {
        RuleKind::InStack => frame.sp,
        RuleKind::InFrame => frame.fp,
        RuleKind::Register => {
            return Ok(register.ok_or(Step::Lost)?.wrapping_add_signed(rule.offset()));
        }
        RuleKind::Signal => return Err(leave_handler(source, frame, limit)),
        RuleKind::End => return Err(Step::End),
        RuleKind::Unknown => return Err(guess(source, frame)),
        _ => return Err(Step::Lost),
    };
    let at = base.wrapping_add_signed(rule.offset());
    let near = at >= frame.sp && at - frame.sp < NEAR && at < limit;
    if !at.is_multiple_of(8) || !(near || is_readable_word(source, at)) {
        return Err(Step::Lost);
    }
    // SAFETY: in the frame or the caller's, or found readable.
    Ok(unsafe { source.read(at) }.wrapping_add_signed(rule.plus()))
}

/// What `register`, by DWARF number, is in the outermost of `frames`, which are numbered from the
/// innermost on and lead to each other: what one of those further in has put into its frame, or the
/// kernel into its record of a signal. `None`: none has, or one cannot be followed.
pub fn register_in<S: Source>(
    source: &S,
    outermost: usize,
    register: u16,
    frame: impl Fn(usize) -> CallFrame,
) -> Option<usize> {
    for index in (0..outermost).rev() {
        let (inner, caller) = (frame(index), frame(index + 1));
        if caller.pc & EXACT != 0 {
            let place = signal_register(register)?;
            // SAFETY: the kernel's record, which the step to `caller` has found within the bounds.
            return Some(unsafe { source.read(inner.sp + place) });
        }
        if (inner.pc | caller.pc) & GUESSED != 0 {
            return None;
        }
        let slot = match source.saved(inner.pc, register)? {
            Saved::Same => continue,
            Saved::Cfa(offset) => caller.sp.wrapping_add_signed(offset as isize),
            Saved::Frame(_) | Saved::Stack(_) => return None,
        };
        let is_inside = slot >= inner.sp && slot < caller.sp && slot.is_multiple_of(8);
        let is_near = caller.sp - inner.sp <= NEAR;
        if !is_inside || !(is_near || is_readable_word(source, slot)) {
            return None;
        }
        // SAFETY: in the inner frame, which is near, or found readable.
        return Some(unsafe { source.read(slot) });
    }
    None
}

/// From a signal handler's caller to where the signal came in.
fn leave_handler<S: Source>(source: &S, frame: CallFrame, limit: usize) -> Step {
    let record = frame.sp;
    let end = record.checked_add(SIGNAL_PC + 8);
    if end.is_none_or(|end| end > limit && !source.goes_on(limit, end)) {
        return Step::Lost;
    }
    // SAFETY: the kernel's record lies where the handler's caller's rsp points; found within the
    // bounds.
    let read = |at: usize| unsafe { source.read(record + at) };
    let (pc, sp, fp) = (read(SIGNAL_PC), read(SIGNAL_SP), read(SIGNAL_FP));
    match pc {
        0 => Step::End,
        HIGHEST.. => Step::Lost,
        // A handler may have changed what it is returned to by.
        _ if sp % 8 != 0 || !source.is_readable(sp, sp.saturating_add(8)) => Step::Lost,
        _ => Step::Caller(CallFrame { pc: pc | EXACT, sp, fp }, Reach::Again),
    }
}

/// Code without a rule mostly keeps a frame pointer: a pair of the caller's rbp and the return
/// address. Believed only where rbp points into the stack, above rsp, and the return address could
/// be one.
fn guess<S: Source>(source: &S, frame: CallFrame) -> Step {
    const LOWEST: usize = 1 << 16;
    let CallFrame { sp, fp, .. } = frame;
    let is_near = fp % 8 == 0 && fp >= sp && fp - sp < NEAR;
    if !is_near || !source.is_stack(sp, fp.saturating_add(16)) {
        return Step::Lost;
    }
    // SAFETY: found to be on the stack.
    let (caller_fp, pc) = unsafe { (source.read(fp), source.read(fp + 8)) };
    if !(LOWEST..HIGHEST).contains(&pc) {
        return Step::Lost;
    }
    Step::Caller(CallFrame { pc: pc | GUESSED, sp: fp + 16, fp: caller_fp }, Reach::Again)
}
