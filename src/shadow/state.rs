//! A slot's state: one byte that says what the block that starts in it is, and at which granule.

use crate::arena::size_class::{CLASSES, Class};

/// The meaning of a state byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockState {
    /// No block starts here, or none that matters any more.
    None,
    /// The program owns the block. Its class; `None` for one that is not cached.
    Live(Option<Class>),
    /// The program owns the block, which lies in a guarded slot.
    Guarded,
    /// Freed, waiting in the quarantine.
    Quarantined,
    /// Freed and given back to the heap; true until the memory is used again.
    Evicted,
    /// Between two states, in the hands of one thread.
    Busy,
}

/// Bit of a state whose block starts at the slot's second granule.
pub(crate) const SECOND: u8 = 0x80;
/// States from here on are live, without the bit that says where; the class counts up from the
/// next.
pub(crate) const LIVE: u8 = 8;
/// State of a live block in a guarded slot: the last of the live ones.
pub(crate) const GUARDED: u8 = SECOND - 1;

impl BlockState {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Quarantined => 1,
            Self::Evicted => 2,
            Self::Busy => 3,
            Self::Guarded => GUARDED,
            Self::Live(None) => LIVE,
            Self::Live(Some(class)) => LIVE + class.byte(),
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Quarantined,
            2 => Self::Evicted,
            3 => Self::Busy,
            GUARDED => Self::Guarded,
            live if is_live(live) => Self::Live(Class::from_byte(live - LIVE)),
            _ => Self::None,
        }
    }

    /// Does the program own the block?
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Live(_) | Self::Guarded)
    }

    pub(crate) const fn holds_block(self) -> bool {
        matches!(self, Self::Live(_) | Self::Guarded | Self::Quarantined | Self::Busy)
    }
}

/// Is a state, less the bit of the granule asked for, one of a live block that starts there?
#[inline(always)]
pub(crate) const fn is_live(byte: u8) -> bool {
    LIVE <= byte && byte < SECOND
}

/// As [`is_live`] for blocks outside of guarded slots.
#[inline(always)]
pub(crate) const fn is_plain_live(byte: u8) -> bool {
    LIVE <= byte && byte < GUARDED
}

const _: () = assert!(LIVE as usize + CLASSES < GUARDED as usize && LIVE.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_round_trip() {
        let plain = [
            BlockState::None,
            BlockState::Quarantined,
            BlockState::Evicted,
            BlockState::Busy,
            BlockState::Guarded,
        ];
        let live = Class::all().map(|class| BlockState::Live(Some(class)));
        for state in plain.into_iter().chain(live).chain([BlockState::Live(None)]) {
            assert_eq!(BlockState::from_byte(state.byte()), state);
        }
    }
}
