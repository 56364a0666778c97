//! Scripts of operations on many arenas, out of a fuzzer's bytes.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::script::{Request, Size, to_the_end};

/// One operation. Threads and blocks are picked by a number that is taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// A thread starts.
    Attach,
    /// A thread allocates so many blocks of a size.
    Allocate(u8, Size, u8),
    /// A thread allocates past its cache.
    Large(u8, Request),
    /// A thread frees so many blocks, its own or others'.
    Release(u8, u16, u8),
    /// A thread hands over what it keeps.
    Empty(u8),
    /// A thread ends.
    End(u8),
    /// An arena gives free memory back but for so many pages.
    Trim(u8, u8),
    /// A thread forks, and the script goes on in the child, where the others are not.
    Fork(u8),
    /// One of the next requests of an arena for memory is refused.
    Refuse(u8, u8),
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? % 64 {
            0..=5 => Self::Attach,
            6..=25 => Self::Allocate(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
            26..=30 => Self::Large(u.arbitrary()?, u.arbitrary()?),
            31..=51 => Self::Release(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
            52 | 53 => Self::Empty(u.arbitrary()?),
            54..=56 => Self::End(u.arbitrary()?),
            57 | 58 => Self::Trim(u.arbitrary()?, u.arbitrary()?),
            59 => Self::Fork(u.arbitrary()?),
            _ => Self::Refuse(u.arbitrary()?, u.arbitrary()?),
        })
    }
}

/// A process's life.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) key: u64,
    /// The invariants are walked after each so many operations: 1 to 32.
    pub(crate) check_every: usize,
    pub(crate) ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let key = u.arbitrary()?;
        let check_every = 1 + usize::from(u.arbitrary::<u8>()? % 32);
        Ok(Self { key, check_every, ops: to_the_end(u)? })
    }
}
