//! Guarded blocks: alone in slots between pages that fault, so that an access outside of them, or
//! after their free, is found where it is made.
//!
//! `policy` says which blocks are guarded and on which side, `pool` keeps the slots, `budget` what
//! they may cost, `allocate` takes a slot for a block, `block` is a block in its slot, `release`
//! its way out, `resize` realloc, `access` explains a fault, `check` has the invariants, `obstacle`
//! the reason where there are no guards.

/// Bytes of stack that taking a slot for a block needs at most; the block's address lies there.
/// More where nothing is optimised.
pub(crate) const FRAMES: usize = if cfg!(debug_assertions) { 8 << 10 } else { 1 << 10 };

pub(super) mod access;
mod allocate;
mod block;
mod budget;
mod check;
pub(crate) mod guards;
mod list;
mod obstacle;
pub(crate) mod policy;
mod pool;
mod release;
mod reserve;
mod resize;
pub(crate) mod slots;
