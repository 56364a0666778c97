//! The request of an allocating call, and the release of a block.

use crate::model::finding::{AllocKind, Operation};

/// A program's request for memory.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Bytes.
    pub size: usize,
    /// Alignment, a power of two.
    pub align: usize,
    /// The call.
    pub kind: AllocKind,
    /// Must the bytes be zero?
    pub zeroed: bool,
}

impl Request {
    /// `size` bytes by malloc.
    pub const fn malloc(size: usize) -> Self {
        Self { size, align: 16, kind: AllocKind::Malloc, zeroed: false }
    }
}

/// How the program gives a block back.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    pub(crate) operation: Operation,
    pub(crate) size: Option<usize>,
    pub(crate) align: Option<usize>,
    /// The kinds of block that the call is right for, a bit each.
    pub(crate) kinds: u8,
}

impl Release {
    /// By a call that says nothing of size or alignment.
    pub const fn by(operation: Operation) -> Self {
        Self::sized(operation, None, None)
    }

    /// By a call that says what size and alignment the block has.
    pub const fn sized(operation: Operation, size: Option<usize>, align: Option<usize>) -> Self {
        let kinds = match operation {
            Operation::Delete(kind) => 1 << kind as u8,
            Operation::Dealloc | Operation::Reallocate => 1 << AllocKind::Rust as u8,
            _ => 1 << AllocKind::Malloc as u8 | 1 << AllocKind::Memalign as u8,
        };
        Self { operation, size, align, kinds }
    }
}
