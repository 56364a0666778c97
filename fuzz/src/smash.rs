//! Writes over a heap's words, out of a fuzzer's bytes: aimed at where words, links and footers
//! lie relative to a payload, since a blind write would hardly ever meet one.

use arbitrary::{Arbitrary, Result, Unstructured};
use mallocop::heap::Layout;

use crate::script::{Op, to_the_end};

/// A place relative to a payload; the payload is picked modulo how many there are.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub struct Place {
    /// Among those released lately, not the live ones.
    pub released: bool,
    /// Which.
    pub pick: u16,
    /// Where in it.
    pub slot: Slot,
}

/// A word of a chunk.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Slot {
    /// The chunk word.
    Word,
    /// The word in front: a mapped chunk's offset, or the footer of the chunk in front.
    Front,
    /// A free chunk's link to the next in its bin.
    Next,
    /// Its link to the one before.
    Prev,
    /// Its footer.
    Footer,
    /// The word of the chunk behind.
    Behind,
    /// So many words on from the payload, or back.
    Words(i8),
}

/// One write, or several that belong together.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Smash {
    /// One bit turned over.
    Flip(Place, u8),
    /// A word written.
    Write(Place, u64),
    /// Bytes as an overrun leaves them: from so many bytes on, so many, each of this value.
    Overrun(Place, u8, u8, u8),
    /// Two words swapped.
    Swap(Place, Place),
    /// One word copied over another.
    Copy(Place, Place),
    /// A link written that leads to a chunk.
    Link(Place, Place),
    /// A link written each way: two chunks that look like neighbours in a list.
    Pair(Place, Place),
    /// What was in a payload as it was released is written there again, without the chunk's word: a
    /// copy through a dangling pointer.
    Restore(u16),
    /// A word that once was at a place is written there again.
    Replay(u16),
}

/// One step of a script.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// An operation on the heap.
    Op(Op),
    /// A write past it.
    Smash(Smash),
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? {
            0..208 => Self::Op(u.arbitrary()?),
            _ => Self::Smash(u.arbitrary()?),
        })
    }
}

/// The life of a heap that is written over.
#[derive(Clone, Debug)]
pub struct SmashedScript {
    /// Key of the checksums.
    pub key: u64,
    /// Are all payloads allocated with one of few small sizes? Then lists are long, neighbours
    /// join often, and dangling pointers meet.
    pub few_sizes: bool,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

impl<'a> Arbitrary<'a> for SmashedScript {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (key, few_sizes) = (u.arbitrary()?, u.arbitrary()?);
        let mut steps: Vec<Step> = to_the_end(u)?;
        for step in &mut steps {
            if let Step::Op(Op::Allocate(request)) = step
                && few_sizes
            {
                request.0 = Layout::plain(24 + request.0.size % 4 * 16);
            }
        }
        Ok(Self { key, few_sizes, steps })
    }
}
