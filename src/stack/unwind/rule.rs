//! How to get from a frame to its caller, in 8 bytes.

/// A rule: where the frame's canonical frame address is (CFA, the value of the stack pointer in
/// front of the call), and with it the return address, 8 bytes below; and where the caller's rbp
/// is. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnwindRule(u64);

/// What the CFA is found by. Of those that go by rbp the number has bit 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RuleKind {
    /// rsp + offset: what nearly all rules are. The offset is a multiple of 8 from 8 up to
    /// [`NEAR`]; rbp, if it is not the same, is in the frame.
    Stack = 1,
    /// rbp + offset. rbp, if it is not the same, is below the CFA.
    Frame = 9,
    /// The word at rsp + offset, plus something (hand-written code that moved the stack).
    InStack = 2,
    /// The word at rbp + offset, plus something (functions that align their stack).
    InFrame = 10,
    /// Another register + offset: known where a signal came in, or a function further in has saved
    /// it.
    Register = 3,
    /// None: a signal handler's caller; the kernel's record says where the signal came in.
    Signal = 4,
    /// None: nothing called this frame.
    End = 5,
    /// There is no rule, or none that fits here.
    Unknown = 8,
    /// rsp + offset, where the frame is large or odd.
    FarStack = 6,
    /// rbp + offset, where rbp is in an odd place.
    FarFrame = 11,
}

/// Farthest that a slot is from rsp without being asked for. Larger frames are rare.
pub const NEAR: usize = 1 << 20;

/// Where the caller's rbp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Still in rbp.
    Same,
    /// At the CFA + this.
    Cfa(i64),
    /// At rbp + this.
    Frame(i64),
    /// At rsp + this.
    Stack(i64),
}

/// The parts of a rule that says more than its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleParts {
    /// What the CFA is found by.
    pub kind: RuleKind,
    /// DWARF number of the register of [`RuleKind::Register`].
    pub register: u16,
    /// Bytes from the register.
    pub offset: i64,
    /// Bytes from the word in memory.
    pub plus: i64,
    /// Where rbp is.
    pub saved: Saved,
}

const BY_FRAME: u64 = 8;
/// Bits 0-3 kind, 4-5 which base rbp's place has, 6-9 register, then three signed numbers.
const SAVED: u32 = 4;
const REGISTER: u32 = 6;
const OFFSET: u32 = 10;
const OFFSET_BITS: u32 = 27;
const SLOT: u32 = OFFSET + OFFSET_BITS;
/// rbp's place is counted in words.
const SLOT_BITS: u32 = 17;
const PLUS: u32 = SLOT + SLOT_BITS;
const PLUS_BITS: u32 = 64 - PLUS;

impl UnwindRule {
    /// Nothing called this frame.
    pub const END: Self = Self(RuleKind::End as u64);
    /// There is no rule.
    pub const UNKNOWN: Self = Self(RuleKind::Unknown as u64);
    /// A signal handler's caller.
    pub const SIGNAL: Self = Self(RuleKind::Signal as u64);

    /// The rule of these parts; [`UnwindRule::UNKNOWN`] if a number has no room.
    pub fn of(parts: RuleParts) -> Self {
        let (base, slot) = match parts.saved {
            Saved::Same => (0, 0),
            Saved::Cfa(slot) => (1, slot),
            Saved::Frame(slot) => (2, slot),
            Saved::Stack(slot) => (3, slot),
        };
        let is_odd = parts.offset % 8 != 0
            || !(8..NEAR as i64).contains(&parts.offset)
            || match parts.saved {
                Saved::Same => false,
                Saved::Cfa(slot) => slot >= 0 || slot < -parts.offset,
                Saved::Frame(_) | Saved::Stack(_) => true,
            };
        let is_below = match parts.saved {
            Saved::Same => true,
            Saved::Cfa(slot) => slot < 0,
            Saved::Frame(_) | Saved::Stack(_) => false,
        };
        let kind = match parts.kind {
            RuleKind::Stack if is_odd => RuleKind::FarStack,
            RuleKind::Frame if !is_below => RuleKind::FarFrame,
            kind => kind,
        };
        let packed = pack(parts.offset, OFFSET, OFFSET_BITS)
            .zip(pack(slot / 8, SLOT, SLOT_BITS))
            .zip(pack(parts.plus, PLUS, PLUS_BITS))
            .filter(|_| slot % 8 == 0 && parts.register < 16);
        match packed {
            Some(((offset, slot), plus)) => {
                let register = u64::from(parts.register) << REGISTER;
                Self(kind as u64 | base << SAVED | register | offset | slot | plus)
            }
            None => Self::UNKNOWN,
        }
    }

    /// The rule of that word; `None` for one that is no rule's.
    #[inline]
    pub const fn from_word(word: u64) -> Option<Self> {
        if word == 0 { None } else { Some(Self(word)) }
    }

    /// The rule that this is the [`UnwindRule::word`] of.
    #[inline(always)]
    pub(crate) const fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// As a word, not 0.
    #[inline]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Is the CFA found by that?
    #[inline]
    pub const fn is(self, kind: RuleKind) -> bool {
        self.0 & 15 == kind as u64
    }

    /// Bytes from wherever rbp's place is counted from.
    #[inline]
    pub const fn slot(self) -> isize {
        ((self.0 << (64 - PLUS)) as i64 >> (64 - SLOT_BITS) << 3) as isize
    }

    /// What the CFA is found by.
    #[inline]
    pub const fn kind(self) -> RuleKind {
        match self.0 & 15 {
            1 => RuleKind::Stack,
            2 => RuleKind::InStack,
            3 => RuleKind::Register,
            4 => RuleKind::Signal,
            5 => RuleKind::End,
            6 => RuleKind::FarStack,
            9 => RuleKind::Frame,
            10 => RuleKind::InFrame,
            11 => RuleKind::FarFrame,
            _ => RuleKind::Unknown,
        }
    }

    /// Bytes from the register to the CFA, or to the word that it is counted from.
    #[inline]
    pub const fn offset(self) -> isize {
        ((self.0 << (64 - SLOT)) as i64 >> (64 - OFFSET_BITS)) as isize
    }

    /// Bytes from the word in memory to the CFA.
    #[inline]
    pub const fn plus(self) -> isize {
        (self.0 as i64 >> PLUS) as isize
    }

    /// DWARF number of the CFA's register.
    pub const fn register(self) -> u16 {
        (self.0 >> REGISTER & 15) as u16
    }

    /// Where the caller's rbp is.
    #[inline]
    pub const fn saved(self) -> Saved {
        let slot = self.slot() as i64;
        match self.0 >> SAVED & 3 {
            0 => Saved::Same,
            1 => Saved::Cfa(slot),
            2 => Saved::Frame(slot),
            _ => Saved::Stack(slot),
        }
    }

    /// Does the step to the caller depend on rbp? Where there is no rule, guessing does.
    #[inline]
    pub const fn uses_frame_pointer(self) -> bool {
        self.0 & BY_FRAME != 0 || self.0 >> SAVED & 3 == 2
    }

    /// Can one of several rules whose words are ORed together depend on rbp? `false`: none does.
    #[inline(always)]
    pub(crate) const fn may_one_use_frame_pointer(words: u64) -> bool {
        words & (BY_FRAME | 2 << SAVED) != 0
    }

    /// Has the caller the same rbp?
    #[inline]
    pub const fn keeps_frame_pointer(self) -> bool {
        self.0 >> SAVED & 3 == 0
    }
}

/// A signed number of that many bits at its place; `None` if it has no room.
fn pack(number: i64, place: u32, bits: u32) -> Option<u64> {
    let spare = 64 - bits;
    let fits = (number << spare) >> spare == number;
    fits.then_some((number as u64) << spare >> (spare - place))
}

const _: () = assert!(PLUS_BITS == 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_and_large_frames_are_told_apart() {
        let kind = |offset, saved| {
            UnwindRule::of(RuleParts { kind: RuleKind::Stack, register: 7, offset, plus: 0, saved })
                .kind()
        };
        for (offset, saved) in [
            (8, Saved::Same),
            (1_048_568, Saved::Same),
            (32, Saved::Cfa(-32)),
            (16, Saved::Cfa(-8)),
        ] {
            assert_eq!(kind(offset, saved), RuleKind::Stack);
        }
        for (offset, saved) in [
            (0, Saved::Same),
            (12, Saved::Same),
            (1_048_576, Saved::Same),
            (32, Saved::Cfa(-40)),
            (32, Saved::Cfa(0)),
            (32, Saved::Stack(0)),
            (32, Saved::Frame(0)),
        ] {
            assert_eq!(kind(offset, saved), RuleKind::FarStack);
        }
    }

    #[test]
    fn parts_come_back() {
        let kinds = [
            RuleKind::FarStack,
            RuleKind::FarFrame,
            RuleKind::InStack,
            RuleKind::InFrame,
            RuleKind::Register,
            RuleKind::Unknown,
        ];
        let slots = [-524_288, -16, 0, 8, 524_280];
        for kind in kinds {
            for offset in [-67_108_864, -8, 0, 1, 4096, 67_108_863] {
                for plus in [-512, 0, 511] {
                    for slot in slots {
                        for saved in
                            [Saved::Same, Saved::Cfa(slot), Saved::Frame(slot), Saved::Stack(slot)]
                        {
                            let register = 13;
                            let rule =
                                UnwindRule::of(RuleParts { kind, register, offset, plus, saved });
                            assert_eq!(rule.kind(), kind);
                            assert_eq!(rule.register(), register);
                            assert_eq!(rule.offset() as i64, offset);
                            assert_eq!(rule.plus() as i64, plus);
                            assert_eq!(rule.saved(), saved);
                            assert_eq!(UnwindRule::from_word(rule.word()), Some(rule));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_no_room_is_unknown() {
        let fits = RuleParts {
            kind: RuleKind::Stack,
            register: 7,
            offset: 8,
            plus: 0,
            saved: Saved::Same,
        };
        assert_ne!(UnwindRule::of(fits), UnwindRule::UNKNOWN);
        for parts in [
            RuleParts { offset: 67_108_864, ..fits },
            RuleParts { offset: i64::MIN, ..fits },
            RuleParts { plus: 512, ..fits },
            RuleParts { register: 16, ..fits },
            RuleParts { saved: Saved::Cfa(524_288), ..fits },
            RuleParts { saved: Saved::Cfa(-12), ..fits },
        ] {
            assert_eq!(UnwindRule::of(parts), UnwindRule::UNKNOWN, "{parts:?}");
        }
    }
}
