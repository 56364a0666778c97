//! Overwritten bytes.

use serde::{Deserialize, Serialize};

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
