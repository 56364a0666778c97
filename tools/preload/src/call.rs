//! The C calls that allocate, by what they have in common.

use mallocop::checks::Request;
use mallocop::model::finding::AllocKind;

/// A call that allocates. One byte: the fast path keeps it in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Call {
    Malloc,
    Calloc,
    Realloc,
    Reallocarray,
    AlignedAlloc,
    Memalign,
    PosixMemalign,
    Valloc,
    Pvalloc,
}

impl Call {
    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Malloc => "malloc",
            Self::Calloc => "calloc",
            Self::Realloc => "realloc",
            Self::Reallocarray => "reallocarray",
            Self::AlignedAlloc => "aligned_alloc",
            Self::Memalign => "memalign",
            Self::PosixMemalign => "posix_memalign",
            Self::Valloc => "valloc",
            Self::Pvalloc => "pvalloc",
        }
    }

    /// What it asks for.
    #[inline(always)]
    pub(crate) const fn request(self, size: usize, align: usize) -> Request {
        let kind = match self {
            Self::Malloc | Self::Calloc | Self::Realloc | Self::Reallocarray => AllocKind::Malloc,
            _ => AllocKind::Memalign,
        };
        Request { size, align, kind, zeroed: matches!(self, Self::Calloc) }
    }
}
