//! With checks, with stacks or without.

use core::ptr::NonNull;

use super::mode::Mode;
use super::own_arena::{OwnArena, is_cached, owner};
use crate::arch;
use crate::arch::Caller;
use crate::arena::size_class::Class;
use crate::checks::fill::Fill;
use crate::checks::guard;
use crate::checks::guard::policy;
use crate::checks::header::BlockOrigin;
use crate::checks::heap::CheckedHeap;
use crate::checks::layout::{Canaries, LEAD, TAIL};
use crate::checks::poison;
use crate::checks::quarantine::Quarantined;
use crate::checks::request::{Release, Request};
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::shadow::block_table;
use crate::shadow::block_table::{BlockState, ShadowSlot, Sites, Taken};
use crate::stack::capture;
use crate::sys::{single_threaded, thread_number};

/// A block; the request is for a cached class.
///
/// # Safety
/// As [`super::allocate`] asks.
#[inline(always)]
pub(super) unsafe fn allocate<M: Mode>(
    heap: &CheckedHeap,
    mine: &'static OwnArena,
    request: Request,
    caller: Caller,
) -> Option<NonNull<u8>> {
    let Request { size, align, kind, zeroed } = request;
    let sites = M::sites();
    // SAFETY: the caller of this function promises the same.
    let site = |_| unsafe { site_of(caller, 0) };
    let origin = BlockOrigin::new(kind, align);
    let cached = fill_chunk(heap, mine, size, origin, zeroed, sites, site);
    match (cached, sites) {
        // The registers at hand make the stack cheap.
        (None, Some(sites)) => allocate_uncached(heap, request, site(sites)),
        _ => cached,
    }
}

/// The thread's cache has none.
#[cold]
#[inline(never)]
fn allocate_uncached(
    heap: &CheckedHeap,
    request: Request,
    site: ProcessSite,
) -> Option<NonNull<u8>> {
    NonNull::new(heap.allocate_at(request, site))
}

/// A chunk made a block. `site` is asked for where stacks are taken, when the block is known, so
/// that its memory comes meanwhile.
#[inline(always)]
fn fill_chunk(
    heap: &CheckedHeap,
    mine: &'static OwnArena,
    size: usize,
    origin: BlockOrigin,
    zeroed: bool,
    sites: Option<Sites>,
    site: impl FnOnce(Sites) -> ProcessSite,
) -> Option<NonNull<u8>> {
    let class = Class::of_payload(LEAD + size + TAIL);
    let mut owner = owner(mine);
    let payload = owner.pop(class)?;
    let user = payload.as_ptr() as usize + LEAD;
    // SAFETY: in a chunk of the heap's.
    let slot = unsafe { ShadowSlot::of_heap(user) };
    if let Some(sites) = sites {
        slot.prefetch(user.wrapping_sub(LEAD), sites);
        let site = site(sites);
        let number = capture::count_block(site, size);
        if policy::is_sampled(number) && policy::is_size_chosen(size) {
            drop(owner);
            let request = Request { size, align: origin.align(), kind: origin.kind(), zeroed };
            if let Some(block) = heap.allocate_guarded(request, site, number) {
                give_back(mine, class, payload, size);
                // Whoever looks for pointers on this stack is not to find the block's there.
                arch::wipe_below(guard::FRAMES);
                return Some(block);
            }
            owner = self::owner(mine);
        }
        slot.set_site(site, sites);
    }
    owner.arena().stats().count_allocation(size);
    // A thread whose blocks are exempt does not come this way.
    let head = origin.head_bits(size, thread_number::known_number());
    // SAFETY: the payload is fresh and its class was chosen for the size with head and
    // canaries.
    unsafe {
        if zeroed {
            (user as *mut u8).write_bytes(0, size);
        } else {
            let most = options::number(Name::MaxMallocFillSize);
            poison::fill(user, size.min(most), Fill::of_new(heap.canaries(), user));
        }
        // What the fill wrote behind the block is the tail's.
        heap.canaries().write_small(user, size, head);
        heap.canaries().write_behind(user, size, Some(class));
    }
    slot.set(BlockState::Live(Some(class)));
    // SAFETY: behind a payload's lead.
    Some(unsafe { NonNull::new_unchecked(user as *mut u8) })
}

/// A guarded block stands in for a chunk of the cache: puts that back and counts the block.
#[cold]
#[inline(never)]
fn give_back(mine: &'static OwnArena, class: Class, payload: NonNull<u8>, size: usize) {
    let mut owner = owner(mine);
    owner.arena().stats().count_allocation(size);
    // It has just come from there: there is room.
    owner.push(class, payload);
}

/// The block at `user` moved to a new one. `None`: nothing was done.
///
/// # Safety
/// As [`super::allocate`] asks.
#[inline(always)]
pub(super) unsafe fn reallocate<M: Mode>(
    heap: &CheckedHeap,
    mine: &'static OwnArena,
    user: usize,
    request: Request,
    release: &Release,
    caller: Caller,
) -> Option<NonNull<u8>> {
    let Request { size, align, kind, .. } = request;
    if !is_cached(size, align) || !heap.moves_small() {
        return None;
    }
    let taken =
        block_table::find(user)?.take(BlockState::Busy, single_threaded::is_single()).ok()?;
    let sites = M::sites();
    // SAFETY: the caller of this function promises the same.
    let now = sites.map_or(ProcessSite::NONE, |_| unsafe { site_of(caller, user) });
    let canaries = heap.canaries();
    let origin = BlockOrigin::new(kind, align);
    let moved = fast_size(canaries, user, &taken, release).and_then(|old| {
        let new = fill_chunk(heap, mine, size, origin, false, sites, |_| now)?;
        // SAFETY: both blocks are ours, apart, and at least that long.
        unsafe { new.copy_from_nonoverlapping(NonNull::new(user as *mut u8)?, old.min(size)) };
        Some((old, new))
    });
    let Some((old, new)) = moved else {
        taken.set(BlockState::Live(taken.class));
        return None;
    };
    if let Some(sites) = sites {
        taken.set_free_site(now, sites);
    }
    let thread = thread_number::known_number();
    let waiting = Quarantined { user, size: old, class: taken.class, thread };
    heap.quarantine_block(owner(mine), canaries, waiting, &taken, sites);
    Some(new)
}

/// Frees the block at `user`. `false`: nothing was done.
///
/// # Safety
/// As [`super::allocate`] asks.
#[inline(always)]
pub(super) unsafe fn free<M: Mode>(
    heap: &CheckedHeap,
    mine: &'static OwnArena,
    user: usize,
    release: &Release,
    caller: Caller,
) -> bool {
    let sites = M::sites();
    let Some(slot) = block_table::find(user) else {
        // Not a block of the heap's; but the loader's records may lie elsewhere, and every free
        // of one counts.
        if sites.is_some() {
            // SAFETY: the caller of this function promises the same.
            unsafe { site_of(caller, user) };
        }
        return false;
    };
    let now = match sites {
        Some(sites) => {
            slot.prefetch(user.wrapping_sub(LEAD), sites);
            // SAFETY: the caller of this function promises the same.
            unsafe { site_of(caller, user) }
        }
        None => ProcessSite::NONE,
    };
    let taken = match slot.take(BlockState::Busy, single_threaded::is_single()) {
        Ok(taken) => taken,
        Err(BlockState::Guarded) => return heap.free_guarded(user, release, now),
        Err(_) => return false,
    };
    let canaries = heap.canaries();
    let Some(size) = fast_size(canaries, user, &taken, release) else {
        heap.release_taken(user, taken, release, now);
        return true;
    };
    if let Some(sites) = sites {
        taken.set_free_site(now, sites);
    }
    let waiting =
        Quarantined { user, size, class: taken.class, thread: thread_number::known_number() };
    heap.quarantine_block(owner(mine), canaries, waiting, &taken, sites);
    true
}

/// The site of the program's call, which frees the block `freed`, any value; 0: it allocates.
/// Stacks are taken.
///
/// # Safety
/// As [`super::allocate`] asks.
#[inline(always)]
unsafe fn site_of(caller: Caller, freed: usize) -> ProcessSite {
    // SAFETY: the caller of this function promises the same.
    unsafe { capture::site_of_call(caller, options::number(Name::MallocContextSize), freed) }
}

/// Size of a taken block that is whole, cached, and given back as it should be.
#[inline(always)]
fn fast_size(canaries: Canaries, user: usize, taken: &Taken, release: &Release) -> Option<usize> {
    // SAFETY: the shadow gave the block to us.
    let word = unsafe { canaries.whole(user) }?;
    let class = taken.class?;
    let fits = !word.is_mapped()
        // SAFETY: the block is whole and of that class.
        && unsafe { canaries.holds_behind(user, word.size(), Some(class)) }
        && word.is_any_of(release.kinds)
        && release.align.is_none_or(|align| align == word.align())
        && release.size.is_none_or(|size| size == word.size());
    fits.then_some(word.size())
}
