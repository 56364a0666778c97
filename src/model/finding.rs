//! Every defect as data. Nothing here prints; [`report`](crate::runtime::report_sink) turns findings into text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::stack::depot::SiteId;

/// The call a block came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum AllocKind {
    /// malloc, calloc, realloc and what builds on them.
    Malloc = 0,
    /// aligned_alloc, posix_memalign, memalign, valloc, pvalloc.
    Memalign = 1,
    /// operator new.
    New = 2,
    /// operator new[].
    NewArray = 3,
    /// operator new with an alignment.
    AlignedNew = 4,
    /// operator new[] with an alignment.
    AlignedNewArray = 5,
    /// Rust's global allocator.
    Rust = 6,
}

impl AllocKind {
    /// The kind with that number; numbers without one are malloc.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Memalign,
            2 => Self::New,
            3 => Self::NewArray,
            4 => Self::AlignedNew,
            5 => Self::AlignedNewArray,
            6 => Self::Rust,
            _ => Self::Malloc,
        }
    }

    /// The call as a reader knows it.
    pub const fn allocated_with(self) -> &'static str {
        match self {
            Self::Malloc => "malloc",
            Self::Memalign => "memalign",
            Self::New => "operator new",
            Self::NewArray => "operator new[]",
            Self::AlignedNew => "operator new (aligned)",
            Self::AlignedNewArray => "operator new[] (aligned)",
            Self::Rust => "Rust's allocator",
        }
    }

    /// The call that such a block is to be freed with.
    pub const fn freed_with(self) -> &'static str {
        match self {
            Self::Malloc | Self::Memalign => "free",
            Self::New => "operator delete",
            Self::NewArray => "operator delete[]",
            Self::AlignedNew => "operator delete (aligned)",
            Self::AlignedNewArray => "operator delete[] (aligned)",
            Self::Rust => "Rust's dealloc",
        }
    }
}

/// What the program was doing when a defect was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// An allocating call.
    Allocate,
    /// free and cfree.
    Free,
    /// free_sized, free_aligned_sized.
    FreeSized,
    /// realloc, reallocarray.
    Realloc,
    /// A form of operator delete.
    Delete(AllocKind),
    /// Rust's dealloc, with a Layout.
    Dealloc,
    /// Rust's realloc, with a Layout.
    Reallocate,
    /// malloc_usable_size.
    UsableSize,
    /// A freed block left the quarantine.
    Evict,
    /// mallocop_check.
    Check,
    /// The sweep at exit.
    Exit,
}

impl Operation {
    /// Does the block go on as another one?
    pub const fn is_resize(self) -> bool {
        matches!(self, Self::Realloc | Self::Reallocate)
    }
}

/// Which bytes of a block were overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// In front of the user's bytes.
    Before,
    /// Behind them.
    Past,
    /// The user's bytes themselves, after the free.
    AfterFree,
}

/// Overwritten bytes. Offsets count from the user's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Where.
    pub side: Side,
    /// First changed byte.
    pub first: isize,
    /// Last changed byte.
    pub last: isize,
    /// Number of changed bytes.
    pub changed: usize,
    /// Is it known which bytes changed? Not where only a checksum fails.
    pub certain: bool,
    /// Offset of the first byte shown.
    pub shown_from: isize,
    /// Found and expected bytes.
    pub shown: [(u8, u8); Damage::SHOWN],
    /// How many of those.
    pub shown_len: usize,
}

impl Damage {
    /// Bytes kept for the hexdump.
    pub const SHOWN: usize = 16;

    /// No byte changed.
    pub const fn none(side: Side) -> Self {
        Self {
            side,
            first: 0,
            last: 0,
            changed: 0,
            certain: true,
            shown_from: 0,
            shown: [(0, 0); Self::SHOWN],
            shown_len: 0,
        }
    }

    /// Is there none?
    pub const fn is_empty(&self) -> bool {
        self.changed == 0
    }
}

/// Where a block stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// The program owns it.
    Live,
    /// Freed.
    Freed,
}

/// What is known of a block. A smashed head leaves gaps.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Block {
    /// The user's first byte.
    pub user: usize,
    /// Bytes asked for.
    pub size: Option<usize>,
    /// The call it came from.
    pub kind: Option<AllocKind>,
    /// Its alignment.
    pub align: usize,
    /// Number of the thread that allocated it.
    pub thread: Option<u16>,
    /// Where it was allocated.
    pub site: SiteId,
    /// Live or freed.
    pub life: Life,
    /// Where it was first freed.
    pub free_site: SiteId,
    /// Number of the thread that freed it.
    pub free_thread: Option<u16>,
}

impl Block {
    /// A live block of which nothing but the address is known.
    pub const fn at(user: usize) -> Self {
        Self {
            user,
            size: None,
            kind: None,
            align: 16,
            thread: None,
            site: SiteId::NONE,
            life: Life::Live,
            free_site: SiteId::NONE,
            free_thread: None,
        }
    }
}

/// What a pointer that is no live block of ours points to. The block it speaks of is the
/// finding's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Location {
    /// The start of a block.
    Start,
    /// Inside a block, so many bytes from its start.
    Inside(usize),
    /// So many bytes in front of a block's start.
    Before(usize),
    /// So many bytes past a block's end.
    Past(usize),
    /// In the program's heap, near no block.
    Heap,
    /// The stack of a thread.
    Stack(u16),
    /// The stack of a thread that never allocated, by its kernel id.
    StackOf(u32),
    /// A module's data, code, another file mapping, or memory without a file.
    Mapping {
        /// May code run there?
        executable: bool,
        /// May it be written?
        writable: bool,
        /// Is a file behind it?
        file: bool,
    },
    /// No mapped memory.
    Unmapped,
    /// No address a program can have.
    NonCanonical,
    /// The mappings could not be read.
    Unknown,
}

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

/// A defect, found.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub defect: Defect,
    /// What the program was doing.
    pub operation: Operation,
    /// The pointer it was doing it to; 0 for none.
    pub pointer: usize,
    /// What that points to.
    pub place: Location,
    /// The block it is about.
    pub block: Option<Block>,
    /// Blocks in front of it and behind it, where the defect reaches there.
    pub beside: [Option<Block>; 2],
    /// Overwritten bytes.
    pub damage: Option<Damage>,
    /// Further blocks with damage that goes back to the same write.
    pub more_damaged: usize,
    /// The thread that was doing it.
    pub thread: u16,
    /// Where it was doing it.
    pub site: SiteId,
}

impl Finding {
    /// A defect found by the calling thread at `site`.
    pub fn new(defect: Defect, operation: Operation, pointer: usize, site: SiteId) -> Self {
        Self {
            defect,
            operation,
            pointer,
            place: Location::Start,
            block: None,
            beside: [None; 2],
            damage: None,
            more_damaged: 0,
            thread: crate::sys::thread::number(),
            site,
        }
    }

    /// Does it end the program unless told otherwise?
    pub const fn is_error(&self) -> bool {
        !matches!(
            self.defect,
            Defect::BadRequest(_)
                | Defect::Unjudged
                | Defect::Refused { .. }
                | Defect::Surveyed { .. }
        )
    }
}
