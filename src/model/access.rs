//! A wrong access to memory, found at the instruction that made it.

use serde::{Deserialize, Serialize};

/// The access, and how its block came to be guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongAccess {
    /// Was it a write?
    pub is_write: bool,
    /// Bytes that it was of; 0: not known.
    pub bytes: usize,
    /// Was the block freed?
    pub is_freed: bool,
    /// Which of its site's blocks it was, from 1.
    pub ordinal: u32,
    /// The option `guard_seed`.
    pub seed: u32,
    /// Are all blocks guarded that fit the budget?
    pub is_all: bool,
}
