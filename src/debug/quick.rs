//! The shortest way, for the commonest case: no checks, no stacks, a cached class. It does what the
//! full paths do in that case, in a third of their instructions; every other case is theirs.

use core::ptr::NonNull;

use super::checked::{CheckedHeap, Pages};
use super::quarantine::Quarantine;
use super::{deferred, registry};
use crate::arena::class::{Class, LARGEST};
use crate::arena::{Arena, Turn};
use crate::heap::size::WORD;
use crate::options::{self, Name};
use crate::sys::{single, thread};

impl CheckedHeap {
    /// May threads go this way?
    pub(super) fn is_quick(&self) -> bool {
        !self.is_guarded() && options::number(Name::MallocContextSize) == 0
    }
}

/// The thread's turn, if it may go this way and is outside of everything of ours.
#[inline]
fn turn() -> Option<Turn<'static, Pages, Quarantine>> {
    let arena = thread::quick_arena() as *const Arena<Pages, Quarantine>;
    // SAFETY: what the slot names is the thread's own arena, which lives for ever; the thread is
    // outside, so that it has no turn.
    unsafe { Some(arena.as_ref()?.turn()) }
}

/// `size` bytes, contents undefined. `None`: by the full path.
#[inline]
pub fn allocate(size: usize) -> Option<NonNull<u8>> {
    if size > LARGEST - WORD {
        return None;
    }
    let class = Class::of_payload(size);
    let mut turn = turn()?;
    let payload = turn.pop(class)?;
    turn.arena().ledger().count_allocation(class.capacity());
    registry::set_live_bare(payload.as_ptr() as usize, class);
    Some(payload)
}

/// Frees the block at `user`, any value at all. `false`: nothing was done; by the full path.
#[inline]
pub fn free(user: usize) -> bool {
    if deferred::is_waiting() {
        return false;
    }
    let Some(live) = registry::Live::at(user) else { return false };
    let (Some(payload), Some(mut turn)) = (NonNull::new(user as *mut u8), turn()) else {
        return false;
    };
    let number = turn.arena().number();
    if !live.belongs_to(number) || !turn.push(live.class, payload) {
        return false;
    }
    if !live.evict(single::is_single()) {
        // Another thread was faster: that is for the full path to tell.
        turn.pop(live.class);
        return false;
    }
    turn.arena().ledger().count_free(live.class.capacity());
    true
}
