//! The classes of defects.

use super::access::{Overlap, WrongAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The arguments of a call that cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// calloc or reallocarray: the product exceeds 64 bits.
    Product {
        /// "calloc" or "reallocarray".
        call: &'static str,
        /// Number of elements.
        count: usize,
        /// Size of one.
        size: usize,
    },
    /// More than PTRDIFF_MAX, or than max_allocation_size_mb.
    Size {
        /// The call.
        call: &'static str,
        /// Bytes asked for.
        size: usize,
    },
    /// An alignment the call does not allow.
    Alignment {
        /// The call.
        call: &'static str,
        /// Alignment asked for.
        align: usize,
    },
}

/// A request as it is written: which of the three, the call by its place in [`CALLS`], the numbers.
#[derive(Serialize, Deserialize)]
struct EncodedRequest(u8, u8, usize, usize);

const CALLS: [&str; 10] = [
    "operator new",
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "aligned_alloc",
    "memalign",
    "posix_memalign",
    "valloc",
    "pvalloc",
];

impl From<BadRequest> for EncodedRequest {
    fn from(request: BadRequest) -> Self {
        let at = |call| CALLS.iter().position(|&known| known == call).unwrap_or(0) as u8;
        match request {
            BadRequest::Product { call, count, size } => Self(0, at(call), count, size),
            BadRequest::Size { call, size } => Self(1, at(call), size, 0),
            BadRequest::Alignment { call, align } => Self(2, at(call), align, 0),
        }
    }
}

impl From<EncodedRequest> for BadRequest {
    fn from(EncodedRequest(which, call, first, second): EncodedRequest) -> Self {
        let call = CALLS.get(usize::from(call)).unwrap_or(&CALLS[0]);
        match which {
            0 => Self::Product { call, count: first, size: second },
            1 => Self::Size { call, size: first },
            _ => Self::Alignment { call, align: first },
        }
    }
}

// By hand: a derived reader would want its texts to live for ever.
impl Serialize for BadRequest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        EncodedRequest::from(*self).serialize(to)
    }
}

impl<'de> Deserialize<'de> for BadRequest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        EncodedRequest::deserialize(from).map(Self::from)
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Defect {
    /// Written past the end of a block.
    Overflow,
    /// Written before the start of a block.
    Underflow,
    /// Written to a block after it was freed.
    WriteAfterFree,
    /// Freed again.
    DoubleFree,
    /// A pointer that is no block was given to free, realloc or malloc_usable_size.
    BadFree,
    /// Freed with the wrong call.
    Mismatch,
    /// Deleted with the wrong size or alignment.
    DeleteMismatch {
        /// Size given to operator delete.
        size: Option<usize>,
        /// Alignment given to it.
        align: Option<usize>,
    },
    /// Given back to Rust's allocator with another Layout than it came from.
    LayoutMismatch {
        /// Size of that Layout.
        size: usize,
        /// Its alignment.
        align: usize,
    },
    /// Read or written outside of a block, or after its free: at the instruction.
    Access(WrongAccess),
    /// Source and destination of a call overlap, which is undefined behaviour.
    Overlap(Overlap),
    /// The heap's own words were overwritten; no block's canary shows by whom.
    HeapCorruption,
    /// Freed with another call than it came from, but by a module with a C++ runtime of its own:
    /// not judged. A note.
    Unjudged,
    /// A request that cannot be met. A warning: the call has failed as it should.
    BadRequest(BadRequest),
    /// A request that was refused because it was asked for that. A note.
    Refused {
        /// Which of the process's requests, from 1.
        ordinal: u64,
        /// Bytes asked for.
        size: usize,
    },
    /// The first request of a stack, told of because it was asked for that; without a stack the
    /// number of all. A note.
    Surveyed {
        /// Which of the process's requests, from 1.
        ordinal: u64,
        /// Bytes asked for.
        size: usize,
    },
}

impl Defect {
    /// Stable name; AddressSanitizer's where it has one.
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Overflow | Self::Underflow => "heap-buffer-overflow",
            Self::Access(access) if access.is_freed => "heap-use-after-free",
            Self::Access(_) => "heap-buffer-overflow",
            Self::Overlap(overlap) => overlap.call.overlap(),
            Self::WriteAfterFree => "heap-use-after-free",
            Self::DoubleFree => "double-free",
            Self::BadFree => "bad-free",
            Self::Mismatch | Self::Unjudged => "alloc-dealloc-mismatch",
            Self::DeleteMismatch { .. } => "new-delete-type-mismatch",
            Self::LayoutMismatch { .. } => "layout-mismatch",
            Self::Refused { .. } => "refused",
            Self::Surveyed { .. } => "surveyed",
            Self::HeapCorruption => "heap-corruption",
            Self::BadRequest(BadRequest::Product { call, .. }) => match call.as_bytes() {
                b"calloc" => "calloc-overflow",
                _ => "reallocarray-overflow",
            },
            Self::BadRequest(BadRequest::Size { .. }) => "allocation-size-too-big",
            Self::BadRequest(BadRequest::Alignment { call, .. }) => match call.as_bytes() {
                b"posix_memalign" => "invalid-posix-memalign-alignment",
                b"aligned_alloc" => "invalid-aligned-alloc-alignment",
                _ => "invalid-allocation-alignment",
            },
        }
    }
}
