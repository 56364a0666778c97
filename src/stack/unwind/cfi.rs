//! Call frame information: finds the one entry of a module's .eh_frame that covers an address and
//! runs it up to there (DWARF 5 section 6.4; System V ABI, AMD64 supplement, section 3.6). gimli
//! decodes; only the CFA, the return address, rbp and, if asked for, one more register are
//! followed. Allocates nothing.

use gimli::{
    BaseAddresses, CallFrameInstruction, CallFrameInstructionIter, EhFrame, EhFrameOffset,
    EndianSlice, Expression, FrameDescriptionEntry, LittleEndian, Operation, Register,
    UnwindExpression, UnwindSection, X86_64,
};

use crate::stack::unwind::rule::{RuleKind, RuleParts, Saved, UnwindRule};

type Bytes<'a> = EndianSlice<'a, LittleEndian>;
type Section<'a> = EhFrame<Bytes<'a>>;
type Instruction = CallFrameInstruction<usize>;

/// States that `DW_CFA_remember_state` can put on each other.
const DEEPEST: usize = 8;

/// Where the CFA is.
#[derive(Clone, Copy)]
enum Cfa {
    Unset,
    Register(Register, i64),
    Expression(UnwindExpression<usize>),
}

/// Where a register of the caller is.
#[derive(Clone, Copy)]
enum RegisterRule {
    Same,
    Undefined,
    Offset(i64),
    Expression(UnwindExpression<usize>),
    /// Somewhere that we cannot follow.
    Elsewhere,
}

/// What the instructions say at one address.
#[derive(Clone, Copy)]
struct Row {
    cfa: Cfa,
    frame_pointer: RegisterRule,
    return_address: RegisterRule,
    /// Of the register that was asked for besides.
    other: RegisterRule,
}

const NOTHING: Row = Row {
    cfa: Cfa::Unset,
    frame_pointer: RegisterRule::Same,
    return_address: RegisterRule::Same,
    other: RegisterRule::Same,
};

/// The rule for `pc` by the entry at `offset` of an .eh_frame section that starts at address
/// `start`.
/// [`UnwindRule::UNKNOWN`] if that entry does not cover `pc`, or says what we cannot follow.
pub fn rule_by_entry(section: &[u8], start: usize, offset: usize, pc: usize) -> UnwindRule {
    let section = EhFrame::new(section, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(start as u64);
    let pc = pc as u64;
    let rule = || {
        let entry = entry_in(&section, &bases, offset, pc)?;
        if entry.is_signal_trampoline() {
            return Some(UnwindRule::SIGNAL);
        }
        let row = row_of(&entry, &section, &bases, pc, X86_64::RSP)?;
        rule_of(row, &section, entry.cie().encoding(), pc)
    };
    rule().unwrap_or(UnwindRule::UNKNOWN)
}

/// Where the entry says that the caller's `register` is, which the callee has to preserve: still
/// there, or in memory. `None`: that is not said, or cannot be followed.
pub fn saved_by_entry(
    section: &[u8],
    start: usize,
    offset: usize,
    pc: usize,
    register: u16,
) -> Option<Saved> {
    let section = EhFrame::new(section, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(start as u64);
    let entry = entry_in(&section, &bases, offset, pc as u64)?;
    match row_of(&entry, &section, &bases, pc as u64, Register(register))?.other {
        RegisterRule::Same => Some(Saved::Same),
        RegisterRule::Offset(offset) => Some(Saved::Cfa(offset)),
        _ => None,
    }
}

fn entry_in<'a>(
    section: &Section<'a>,
    bases: &BaseAddresses,
    offset: usize,
    pc: u64,
) -> Option<FrameDescriptionEntry<Bytes<'a>>> {
    section
        .fde_from_offset(bases, EhFrameOffset(offset), EhFrame::cie_from_offset)
        .ok()
        .filter(|entry| entry.contains(pc))
}

/// What an entry says at `pc`, of the register `other` as well.
fn row_of(
    entry: &FrameDescriptionEntry<Bytes<'_>>,
    section: &Section<'_>,
    bases: &BaseAddresses,
    pc: u64,
    other: Register,
) -> Option<Row> {
    let cie = entry.cie();
    let mut run = Run {
        code_factor: cie.code_alignment_factor(),
        data_factor: cie.data_alignment_factor(),
        location: entry.initial_address(),
        pc,
        other,
        row: NOTHING,
        initial: NOTHING,
        remembered: [NOTHING; DEEPEST],
        depth: 0,
    };
    run.all(cie.instructions(section, bases))?;
    run.initial = run.row;
    run.all(entry.instructions(section, bases))?;
    Some(run.row)
}

/// A run through the instructions up to an address.
struct Run {
    code_factor: u64,
    data_factor: i64,
    location: u64,
    pc: u64,
    other: Register,
    row: Row,
    initial: Row,
    remembered: [Row; DEEPEST],
    depth: usize,
}

impl Run {
    /// `None`: an instruction that makes no sense.
    fn all(&mut self, mut instructions: CallFrameInstructionIter<'_, Bytes<'_>>) -> Option<()> {
        while let Some(instruction) = instructions.next().ok()? {
            match instruction {
                CallFrameInstruction::AdvanceLoc { delta } => {
                    let delta = u64::from(delta).wrapping_mul(self.code_factor);
                    self.location = self.location.wrapping_add(delta);
                }
                CallFrameInstruction::SetLoc { address } => self.location = address,
                other => self.one(other)?,
            }
            if self.location > self.pc {
                break;
            }
        }
        Some(())
    }

    fn one(&mut self, instruction: Instruction) -> Option<()> {
        use CallFrameInstruction as I;
        let factor = self.data_factor;
        let factored = |number: i64| number.wrapping_mul(factor);
        match instruction {
            I::DefCfa { register, offset } => {
                self.row.cfa = Cfa::Register(register, offset as i64);
            }
            I::DefCfaSf { register, factored_offset } => {
                self.row.cfa = Cfa::Register(register, factored(factored_offset));
            }
            I::DefCfaRegister { register } => {
                let Cfa::Register(_, offset) = self.row.cfa else { return None };
                self.row.cfa = Cfa::Register(register, offset);
            }
            I::DefCfaOffset { offset } => self.set_cfa_offset(offset as i64)?,
            I::DefCfaOffsetSf { factored_offset } => {
                self.set_cfa_offset(factored(factored_offset))?;
            }
            I::DefCfaExpression { expression } => self.row.cfa = Cfa::Expression(expression),
            I::Undefined { register } => self.set(register, RegisterRule::Undefined),
            I::SameValue { register } => self.set(register, RegisterRule::Same),
            I::Offset { register, factored_offset } => {
                self.set(register, RegisterRule::Offset(factored(factored_offset as i64)));
            }
            I::OffsetExtendedSf { register, factored_offset } => {
                self.set(register, RegisterRule::Offset(factored(factored_offset)));
            }
            I::Expression { register, expression } => {
                self.set(register, RegisterRule::Expression(expression));
            }
            I::ValOffset { register, .. }
            | I::ValOffsetSf { register, .. }
            | I::ValExpression { register, .. }
            | I::Register { dest_register: register, .. } => {
                self.set(register, RegisterRule::Elsewhere)
            }
            I::Restore { register } => self.restore(register),
            I::RememberState => {
                *self.remembered.get_mut(self.depth)? = self.row;
                self.depth += 1;
            }
            I::RestoreState => {
                self.depth = self.depth.checked_sub(1)?;
                self.row = *self.remembered.get(self.depth)?;
            }
            _ => {}
        }
        Some(())
    }

    fn set_cfa_offset(&mut self, offset: i64) -> Option<()> {
        let Cfa::Register(register, _) = self.row.cfa else { return None };
        self.row.cfa = Cfa::Register(register, offset);
        Some(())
    }

    const fn set(&mut self, register: Register, place: RegisterRule) {
        match register {
            X86_64::RBP => self.row.frame_pointer = place,
            X86_64::RA => self.row.return_address = place,
            Register(number) if number == self.other.0 => self.row.other = place,
            _ => {}
        }
    }

    const fn restore(&mut self, register: Register) {
        match register {
            X86_64::RBP => self.row.frame_pointer = self.initial.frame_pointer,
            X86_64::RA => self.row.return_address = self.initial.return_address,
            Register(number) if number == self.other.0 => self.row.other = self.initial.other,
            _ => {}
        }
    }
}

fn rule_of(
    row: Row,
    section: &Section<'_>,
    encoding: gimli::Encoding,
    pc: u64,
) -> Option<UnwindRule> {
    match row.return_address {
        RegisterRule::Undefined => return Some(UnwindRule::END),
        RegisterRule::Offset(-8) => {}
        _ => return None,
    }
    let by_register = |register, offset| match register {
        X86_64::RSP => (RuleKind::Stack, register, offset, 0),
        X86_64::RBP => (RuleKind::Frame, register, offset, 0),
        _ => (RuleKind::Register, register, offset, 0),
    };
    let (kind, register, offset, plus) = match row.cfa {
        Cfa::Unset => return None,
        Cfa::Register(register, offset) => by_register(register, offset),
        Cfa::Expression(expression) => {
            match formula(expression.get(section).ok()?, encoding, pc)? {
                Formula::Sum(register, offset) => by_register(register, offset),
                Formula::Word(X86_64::RSP, at, plus) => (RuleKind::InStack, X86_64::RSP, at, plus),
                Formula::Word(X86_64::RBP, at, plus) => (RuleKind::InFrame, X86_64::RBP, at, plus),
                Formula::Word(..) => return None,
            }
        }
    };
    let saved = match row.frame_pointer {
        RegisterRule::Same | RegisterRule::Undefined => Saved::Same,
        RegisterRule::Offset(offset) => Saved::Cfa(offset),
        RegisterRule::Expression(expression) => {
            match formula(expression.get(section).ok()?, encoding, pc)? {
                Formula::Sum(X86_64::RBP, offset) => Saved::Frame(offset),
                Formula::Sum(X86_64::RSP, offset) => Saved::Stack(offset),
                _ => return None,
            }
        }
        RegisterRule::Elsewhere => return None,
    };
    Some(UnwindRule::of(RuleParts { kind, register: register.0, offset, plus, saved }))
}

/// What the expressions in use come to.
enum Formula {
    /// register + offset.
    Sum(Register, i64),
    /// word at register + offset, plus something.
    Word(Register, i64, i64),
}

/// Three forms: a register plus a number; the word there, plus a number; and that of procedure
/// linkage tables, rsp + 8 and 8 more from some byte of each 16-byte stub on, which is known from
/// `pc`.
fn formula(
    expression: Expression<Bytes<'_>>,
    encoding: gimli::Encoding,
    pc: u64,
) -> Option<Formula> {
    let mut operations = expression.operations(encoding);
    let mut next = || operations.next().ok();
    let Some(Operation::RegisterOffset { register, offset, .. }) = next()? else { return None };
    match next()? {
        None => Some(Formula::Sum(register, offset)),
        Some(Operation::PlusConstant { value }) if next()?.is_none() => {
            Some(Formula::Sum(register, offset.checked_add(i64::try_from(value).ok()?)?))
        }
        Some(Operation::Deref { size: 8, space: false, .. }) => match next()? {
            None => Some(Formula::Word(register, offset, 0)),
            Some(Operation::PlusConstant { value }) if next()?.is_none() => {
                Some(Formula::Word(register, offset, i64::try_from(value).ok()?))
            }
            _ => None,
        },
        Some(Operation::RegisterOffset { register: X86_64::RA, offset: 0, .. }) => {
            let mask = constant(next()?)?;
            matches!(next()?, Some(Operation::And)).then_some(())?;
            let from = constant(next()?)?;
            matches!(next()?, Some(Operation::Ge)).then_some(())?;
            let shift = constant(next()?)?;
            matches!(next()?, Some(Operation::Shl)).then_some(())?;
            matches!(next()?, Some(Operation::Plus)).then_some(())?;
            let is_pushed = u32::from(pc & mask >= from);
            let more = is_pushed.checked_shl(u32::try_from(shift).ok()?)?;
            next()?.is_none().then_some(Formula::Sum(register, offset.checked_add(more.into())?))
        }
        _ => None,
    }
}

const fn constant(operation: Option<Operation<Bytes<'_>>>) -> Option<u64> {
    match operation {
        Some(Operation::UnsignedConstant { value }) => Some(value),
        _ => None,
    }
}
