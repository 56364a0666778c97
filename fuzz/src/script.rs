//! Scripts of operations on a heap, out of a fuzzer's bytes.
//!
//! Each operation takes few bytes, of which one decides its kind, and the script goes on to the
//! end of the input: cutting and joining inputs cuts and joins scripts.

use arbitrary::{Arbitrary, Error, Result, Unstructured};
use mallocop::heap::size::{GRANULE, MAX_PAYLOAD, PAGE};
use mallocop::heap::{Layout, Tuning};

/// Most operations of one script.
const MAX_OPS: usize = 2000;
/// Step between the sizes from which free chunks lose their pages.
const LEAST_DISCARDED: usize = 1 << 10;

/// What is asked of [`Heap::allocate`](mallocop::heap::Heap::allocate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request(pub Layout);

impl<'a> Arbitrary<'a> for Request {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let shape = u.arbitrary::<u8>()?;
        let lead = GRANULE * usize::from(shape & 3);
        let align = match shape >> 2 {
            0..48 => GRANULE,
            63 => 1 << (21 + u.int_in_range(0..=41)?),
            exponent => 1 << (4 + exponent - 48),
        };
        let size = Size::arbitrary(u)?.0.saturating_add(lead);
        Ok(Self(Layout { size, align, lead }))
    }
}

/// A payload's size: such that each bin of the heap, the mapped path and the limits are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

impl<'a> Arbitrary<'a> for Size {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let kind = u.arbitrary::<u8>()?;
        let (low, high) = (usize::from(kind & 15), kind >> 4);
        Ok(Self(match high {
            // The bins with one size.
            0..=5 => usize::from(u.arbitrary::<u8>()?),
            6..=8 => usize::from(u.arbitrary::<u16>()?) % 1300,
            // Those with eight to each doubling: 1 KiB to 256 KiB.
            9..=12 => {
                let doubling = 1024 << (low % 8);
                doubling + doubling * usize::from(u.arbitrary::<u8>()?) / 256
            }
            // Around the threshold of the mapped ones, and beyond.
            13 | 14 => (100 << 10) + 16 * low + 16 * usize::from(u.arbitrary::<u16>()?),
            _ => match low {
                0 => MAX_PAYLOAD - usize::from(u.arbitrary::<u8>()?),
                1 => MAX_PAYLOAD + usize::from(u.arbitrary::<u8>()?),
                2 => usize::MAX - usize::from(u.arbitrary::<u8>()?),
                3 => isize::MAX as usize,
                _ => PAGE * low - usize::from(u.arbitrary::<u8>()?),
            },
        }))
    }
}

/// One operation. Payloads are picked by a number that is taken modulo how many live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Allocate.
    Allocate(Request),
    /// Release.
    Release(u16),
    /// Release; a mapped one in two steps, as the checks do: retire, then unmap.
    Retire(u16),
    /// Resize where it is; remap a mapped one.
    Resize(u16, Size),
    /// Ask for the capacity, and use all of it.
    Capacity(u16),
    /// Give back the top but for this many bytes.
    Trim(usize),
    /// Somebody else takes this many bytes at the break.
    Foreign(usize),
    /// Set the thresholds.
    Tune(Tune),
    /// Allocate so many of one size at once; the flag says whether the heap may grow for it.
    Batch(Size, u8, bool),
    /// Release so many, one after the other, and settle after the last.
    PutBack(u16, u8),
    /// Give the pages inside free chunks back that have at least so many bytes.
    Discard(usize),
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? % 40 {
            0..=13 => Self::Allocate(u.arbitrary()?),
            14..=21 => Self::Release(u.arbitrary()?),
            22 | 23 => Self::Retire(u.arbitrary()?),
            24..=27 => Self::Resize(u.arbitrary()?, u.arbitrary()?),
            28 => Self::Capacity(u.arbitrary()?),
            29 => Self::Trim(256 * usize::from(u.arbitrary::<u8>()?)),
            30 => Self::Foreign(16 * usize::from(u.arbitrary::<u8>()?)),
            31 => Self::Tune(u.arbitrary()?),
            32..=34 => Self::Batch(u.arbitrary()?, 1 + u.arbitrary::<u8>()? % 64, u.arbitrary()?),
            35..=37 => Self::PutBack(u.arbitrary()?, 1 + u.arbitrary::<u8>()? % 64),
            _ => Self::Discard(LEAST_DISCARDED * usize::from(u.arbitrary::<u8>()? % 16)),
        })
    }
}

/// Thresholds, in the steps that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
pub struct Tune {
    /// From this size on blocks are mapped, in pages; 0 leaves it as it is.
    pub mmap_pages: u8,
    /// More than this at the top goes back, in pages; 0 leaves it as it is.
    pub trim_pages: u8,
    /// Do the thresholds follow?
    pub dynamic: bool,
    /// May memory go back? Not if this is a multiple of 4.
    pub back: u8,
}

impl Tune {
    /// Changes `tuning` as told.
    pub const fn apply(self, tuning: &mut Tuning) {
        if self.mmap_pages != 0 {
            tuning.mmap_threshold = self.mmap_pages as usize * PAGE;
        }
        if self.trim_pages != 0 {
            tuning.trim_threshold = self.trim_pages as usize * PAGE;
        }
        tuning.dynamic = self.dynamic;
        tuning.may_trim = !self.back.is_multiple_of(4);
    }
}

/// A heap's life.
#[derive(Clone, Debug)]
pub struct Script {
    /// Key of the checksums.
    pub key: u64,
    /// The invariants are walked after each so many operations: 1 to 64.
    pub check_every: usize,
    /// What is done, in order.
    pub ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let key = u.arbitrary()?;
        let check_every = 1 + usize::from(u.arbitrary::<u8>()? % 64);
        Ok(Self { key, check_every, ops: to_the_end(u)? })
    }
}

/// As many items as the input has bytes for.
pub(crate) fn to_the_end<'a, T: Arbitrary<'a>>(u: &mut Unstructured<'a>) -> Result<Vec<T>> {
    let mut items = Vec::new();
    while !u.is_empty() && items.len() < MAX_OPS {
        items.push(u.arbitrary()?);
    }
    if items.is_empty() { Err(Error::NotEnoughData) } else { Ok(items) }
}

/// A head and one line for each item.
pub(crate) fn listed(head: String, items: &[impl std::fmt::Debug]) -> String {
    items.iter().fold(head, |text, item| format!("{text}\n{item:?}"))
}
