//! A block, as far as it is known.

use serde::{Deserialize, Serialize};

use super::site::ProcessSite;

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

/// Where a block stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// The program owns it.
    Live,
    /// Freed.
    Freed,
}

/// A block as far as it is known. A smashed header leaves gaps.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Block<S = ProcessSite> {
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
    pub site: S,
    /// Live or freed.
    pub life: Life,
    /// Where it was first freed.
    pub free_site: S,
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
            site: ProcessSite::NONE,
            life: Life::Live,
            free_site: ProcessSite::NONE,
            free_thread: None,
        }
    }
}

impl<S> Block<S> {
    /// Translates the block's sites.
    pub fn map_sites<T>(self, site: &mut impl FnMut(S) -> T) -> Block<T> {
        Block {
            user: self.user,
            size: self.size,
            kind: self.kind,
            align: self.align,
            thread: self.thread,
            site: site(self.site),
            life: self.life,
            free_site: site(self.free_site),
            free_thread: self.free_thread,
        }
    }
}
