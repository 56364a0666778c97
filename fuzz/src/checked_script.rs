//! Scripts of operations on the checked heap, and of errors planted in it, out of a fuzzer's bytes.

use arbitrary::{Arbitrary, Result, Unstructured};
use mallocop::finding::{Kind, Operation};

use crate::script::to_the_end;

/// One step. Blocks are picked by a number that is taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Kind, shape of the size, size, alignment.
    Allocate(u8, u8, u16, u8),
    /// realloc.
    Resize(u16, u16),
    /// Free with the right call.
    Free(u16),
    /// Free with any call, size told or not.
    FreeBy(u16, u8, bool),
    /// malloc_trim.
    Trim,
    /// mallocop_check.
    Check,
    /// Bytes behind a block changed: skipped, changed, by what.
    Overrun(u16, u8, u8, u8),
    /// Bytes in front of a block changed.
    Underrun(u16, u8, u8),
    /// A byte of a freed block changed.
    LateWrite(u16, u16, u8),
    /// A freed block freed again.
    FreeAgain(u16),
    /// An address inside a block freed.
    FreeInside(u16, u16),
    /// An address that is no block's freed.
    FreeWild(u8),
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? % 128 {
            0..=49 => {
                Self::Allocate(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?, u.arbitrary()?)
            }
            50..=59 => Self::Resize(u.arbitrary()?, u.arbitrary()?),
            60..=94 => Self::Free(u.arbitrary()?),
            95..=99 => Self::FreeBy(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
            100 => Self::Trim,
            101 => Self::Check,
            102..=105 => {
                Self::Overrun(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?, u.arbitrary()?)
            }
            106..=109 => Self::Underrun(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
            110..=115 => Self::LateWrite(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
            116..=120 => Self::FreeAgain(u.arbitrary()?),
            121..=124 => Self::FreeInside(u.arbitrary()?, u.arbitrary()?),
            _ => Self::FreeWild(u.arbitrary()?),
        })
    }
}

/// A stretch of a process's life.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self { steps: to_the_end(u)? })
    }
}

/// The call that frees a block of this kind.
pub(crate) fn right_call(kind: Kind) -> Operation {
    match kind {
        Kind::Malloc | Kind::Memalign => Operation::Free,
        other => Operation::Delete(other),
    }
}
