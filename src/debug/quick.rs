//! The shortest way, for the commonest case: a cached class, nothing in the way. It does what the full
//! paths do in that case, in a third of their instructions; every other case is theirs.

use core::ptr::NonNull;

use super::block::{Head, LEAD, TAIL};
use super::checked::{CheckedHeap, Pages, Release, Request};
use super::quarantine::Quarantine;
use super::registry::{self, State};
use super::{deferred, poison};
use crate::arena::class::{Class, LARGEST};
use crate::arena::{Arena, Turn};
use crate::finding::Kind;
use crate::heap::size::{GRANULE, WORD};
use crate::options::{self, Name};
use crate::stack::capture;
use crate::sys::{single, thread};

/// Largest request that goes this way.
const LARGEST_REQUEST: usize = LARGEST - WORD - LEAD - TAIL;

impl CheckedHeap {
    /// May threads go this way? Not without checks but with stacks: nobody needs that to be fast.
    pub(super) fn is_quick(&self) -> bool {
        self.is_guarded() || options::number(Name::MallocContextSize) == 0
    }

    /// A block. `None`: by the full path.
    #[inline(always)]
    pub fn allocate_quickly(&self, request: Request) -> Option<NonNull<u8>> {
        let mine = mine()?;
        let Request { size, align, kind, zeroed } = request;
        if align > GRANULE {
            return None;
        }
        if self.is_guarded() {
            return self.allocate_guarded(mine, size, kind, zeroed);
        }
        let block = allocate_bare(mine, size)?;
        if zeroed {
            // SAFETY: the block is fresh and has that many bytes.
            unsafe { block.write_bytes(0, size) };
        }
        Some(block)
    }

    /// Frees the block at `user`, any value at all. `false`: nothing was done; by the full path.
    #[inline(always)]
    pub fn free_quickly(&self, user: usize, release: &Release) -> bool {
        match mine() {
            None => false,
            Some(_) if deferred::is_waiting() => false,
            Some(mine) if self.is_guarded() => self.free_guarded(mine, user, release),
            Some(mine) => free_bare(mine, user),
        }
    }

    #[inline(never)]
    fn allocate_guarded(
        &self,
        mine: &'static Mine,
        size: usize,
        kind: Kind,
        zeroed: bool,
    ) -> Option<NonNull<u8>> {
        if size > LARGEST_REQUEST {
            return None;
        }
        let site = capture::site();
        let class = Class::of_payload(LEAD + size + TAIL);
        let mut turn = turn(mine);
        let payload = turn.pop(class)?;
        turn.arena().ledger().count_allocation(size);
        let user = payload.as_ptr() as usize + LEAD;
        let head = Head { size, kind, align: GRANULE, mapped: false, thread: thread::number() };
        // SAFETY: the payload is fresh and its class was chosen for the size with head and canaries.
        unsafe {
            self.canaries().write(user, head);
            if zeroed {
                (user as *mut u8).write_bytes(0, size);
            } else {
                let most = options::number(Name::MaxMallocFillSize);
                poison::fill(user, size.min(most), options::number(Name::MallocFillByte) as u8);
            }
        }
        registry::set_live(user, Some(class), site);
        NonNull::new(user as *mut u8)
    }

    #[inline(never)]
    fn free_guarded(&self, mine: &'static Mine, user: usize, release: &Release) -> bool {
        let Ok(taken) = registry::take(user, State::Busy, single::is_single()) else {
            return false;
        };
        if let Some(waiting) = self.verify_release(user, &taken, release, capture::site()) {
            if waiting.size > self.largest_waiting() {
                self.pass_by(waiting);
            } else {
                self.let_wait(turn(mine), waiting, &taken);
            }
        }
        true
    }
}

type Mine = Arena<Pages, Quarantine>;

/// The thread's arena, if it may go this way and is outside of everything of ours.
#[inline(always)]
fn mine() -> Option<&'static Mine> {
    let arena = thread::quick_arena() as *const Mine;
    // SAFETY: what the slot names is the thread's own arena, which lives for ever.
    unsafe { arena.as_ref() }
}

#[inline]
fn turn(mine: &'static Mine) -> Turn<'static, Pages, Quarantine> {
    // SAFETY: the arena is this thread's own, and it is outside, so that it has no turn.
    unsafe { mine.turn() }
}

/// `size` bytes without checks, contents undefined.
#[inline(always)]
fn allocate_bare(mine: &'static Mine, size: usize) -> Option<NonNull<u8>> {
    if size > LARGEST_REQUEST {
        return None;
    }
    let class = Class::of_payload(size);
    let mut turn = turn(mine);
    let payload = turn.pop(class)?;
    turn.arena().ledger().count_allocation(class.capacity());
    registry::set_live_bare(payload.as_ptr() as usize, class);
    Some(payload)
}

/// Frees a block without checks.
#[inline(always)]
fn free_bare(mine: &'static Mine, user: usize) -> bool {
    let (Some(live), Some(payload)) = (registry::Live::at(user), NonNull::new(user as *mut u8))
    else {
        return false;
    };
    let mut turn = turn(mine);
    if !live.belongs_to(mine.number()) || !turn.push(live.class, payload) {
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
