//! Without checks: class, cache, state, counts. The common case calls nothing, so that it saves no
//! registers.

use core::ptr::NonNull;

use super::own_arena::{OwnArena, is_cached, owner};
use crate::arena::size_class::Class;
use crate::checks::heap::CheckedHeap;
use crate::checks::request::Release;
use crate::shadow::block_table;
use crate::shadow::block_table::Live;

/// `size` bytes, a cached class; 0 if they are to be `zeroed`, else undefined.
#[inline(always)]
pub(super) fn allocate(mine: &'static OwnArena, size: usize, zeroed: bool) -> Option<NonNull<u8>> {
    let block = take(mine, size)?;
    if zeroed {
        // SAFETY: the block is fresh and has that many bytes.
        unsafe { block.write_bytes(0, size) };
    }
    Some(block)
}

#[inline(always)]
fn take(mine: &'static OwnArena, size: usize) -> Option<NonNull<u8>> {
    let class = Class::of_payload(size);
    let mut owner = owner(mine);
    let payload = owner.pop(class)?;
    // SAFETY: a chunk of the heap's.
    unsafe { block_table::set_live_bare(payload.as_ptr() as usize, class) };
    let must_tell = mine.stats().note_allocation(class.capacity());
    drop(owner);
    if must_tell {
        return Some(tell(mine, payload));
    }
    Some(payload)
}

/// Tells the process of what the thread has allocated.
#[cold]
#[inline(never)]
extern "C" fn tell(mine: &'static OwnArena, payload: NonNull<u8>) -> NonNull<u8> {
    owner(mine).arena().stats().tell();
    payload
}

/// Frees a block without checks, if it is the thread's own: then by plain stores, so that of two
/// threads that free it at the same instant neither is told.
#[inline(always)]
pub(super) fn free(mine: &'static OwnArena, user: usize) -> bool {
    let Some(slot) = block_table::find(user) else { return false };
    // Asked for first: the state of another thread's block would come to be read, then once more to
    // be written.
    if !slot.belongs_to(mine.number()) {
        return false;
    }
    let (Some(live), Some(payload)) = (Live::of(slot), NonNull::new(user as *mut u8)) else {
        return false;
    };
    let mut owner = owner(mine);
    if !owner.push(live.class, payload) {
        return false;
    }
    live.evict();
    owner.arena().stats().count_free(live.class.capacity());
    true
}

/// Makes the block at `user` hold `size` bytes, where it is or elsewhere. `None`: nothing was done.
#[inline(never)]
pub(super) fn reallocate(
    heap: &CheckedHeap,
    mine: &'static OwnArena,
    user: usize,
    size: usize,
    release: &Release,
) -> Option<NonNull<u8>> {
    let (slot, old) = (block_table::find(user)?, NonNull::new(user as *mut u8)?);
    if !slot.belongs_to(mine.number()) || !is_cached(size, 1) {
        return None;
    }
    let live = Live::of(slot)?;
    let capacity = live.class.capacity();
    if heap.may_keep(live.class, size) {
        owner(mine).arena().stats().count_resize(capacity, capacity);
        return Some(old);
    }
    if !heap.moves_small() {
        return None;
    }
    let new = take(mine, size)?;
    // SAFETY: the old block is the program's, and both hold that much.
    unsafe { new.copy_from_nonoverlapping(old, capacity.min(size)) };
    if !free(mine, user) {
        heap.free_now(user, release);
    }
    Some(new)
}
