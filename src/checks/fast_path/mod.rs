//! The fast path, for the commonest case: a cached class, nothing in the way. It does what the slow
//! paths do in that case, in a third of their instructions; every other case is theirs.
//!
//! Each function is there once, over a [`Mode`] whose constants the compiler folds: malloc is
//! `symbols -> allocate::<M> -> bare or checked -> arena -> stack -> layout -> shadow`, free is
//! `symbols -> free::<M> -> shadow -> layout -> quarantine`.

mod bare;
mod checked;
mod mode;
mod own_arena;

use core::ptr::NonNull;

pub use mode::{Any, Bare, Checked, Mode, Traced};
pub(crate) use own_arena::is_cached;
use own_arena::{OwnArena, mine, mine_hooked, undisturbed};

use crate::arch::Caller;
use crate::checks::heap::CheckedHeap;
use crate::checks::request::{Release, Request};

/// A block. `None`: by the slow path.
///
/// # Safety
/// `caller` holds the registers at the entry of the call that the program made, on this thread; the
/// process is in mode `M`.
#[inline(always)]
pub unsafe fn allocate<M: Mode>(
    heap: &CheckedHeap,
    request: Request,
    caller: Caller,
) -> Option<NonNull<u8>> {
    if !is_cached(request.size, request.align) {
        return None;
    }
    // SAFETY: the caller of this function promises the same.
    unsafe { allocate_from::<M>(heap, mine()?, request, caller) }
}

/// Frees the block at `user`, any value at all. `false`: nothing was done; by the slow path.
///
/// # Safety
/// As [`allocate`] asks.
#[inline(always)]
pub unsafe fn free<M: Mode>(
    heap: &CheckedHeap,
    user: usize,
    release: &Release,
    caller: Caller,
) -> bool {
    // SAFETY: the caller of this function promises the same.
    unsafe { free_to::<M>(heap, mine(), user, release, caller) }
}

/// The block at `user`, any value but 0, moved to a new one for `request`, or without checks made
/// to hold it. `None`: nothing was done; by the slow path.
///
/// # Safety
/// As [`allocate`] asks.
#[inline(never)]
pub unsafe fn reallocate<M: Mode>(
    heap: &CheckedHeap,
    user: usize,
    request: Request,
    release: &Release,
    caller: Caller,
) -> Option<NonNull<u8>> {
    let mine = undisturbed(mine())?;
    if !M::is_checked(heap) {
        return bare::reallocate(heap, mine, user, request.size, release);
    }
    // SAFETY: the caller of this function promises the same.
    unsafe { checked::reallocate::<M>(heap, mine, user, request, release, caller) }
}

/// As [`allocate`] for a thread whose calls a hook or a plan attends to; by the slow path where
/// that is to be taken. Null: there is no memory.
///
/// # Safety
/// As [`allocate`] asks.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_allocate_hooked"))]
pub unsafe fn allocate_hooked(heap: &CheckedHeap, request: Request, caller: Caller) -> *mut u8 {
    let is_cached = is_cached(request.size, request.align);
    let mine = mine_hooked().filter(|_| is_cached && heap.has_fast_path_if_hooked());
    let block = mine.and_then(|mine| {
        // SAFETY: the caller of this function promises the same.
        unsafe { allocate_from::<Any>(heap, mine, request, caller) }
    });
    block.map_or_else(|| heap.allocate(request), NonNull::as_ptr)
}

/// As [`free`] for a thread whose calls a hook or a plan attends to; by the slow path where that is
/// to be taken.
///
/// # Safety
/// As [`allocate`] asks.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_free_hooked"))]
pub unsafe fn free_hooked(heap: &CheckedHeap, user: usize, release: &Release, caller: Caller) {
    let mine = mine_hooked().filter(|_| heap.has_fast_path_if_hooked());
    // SAFETY: the caller of this function promises the same.
    if !unsafe { free_to::<Any>(heap, mine, user, release, caller) } {
        heap.free(user, release);
    }
}

/// # Safety
/// As [`allocate`] asks; the request is for a cached class.
#[inline(always)]
unsafe fn allocate_from<M: Mode>(
    heap: &CheckedHeap,
    mine: &'static OwnArena,
    request: Request,
    caller: Caller,
) -> Option<NonNull<u8>> {
    match M::is_checked(heap) {
        // SAFETY: the caller of this function promises the same.
        true => unsafe { checked::allocate::<M>(heap, mine, request, caller) },
        false => bare::allocate(mine, request.size, request.zeroed),
    }
}

/// # Safety
/// As [`allocate`] asks.
#[inline(always)]
unsafe fn free_to<M: Mode>(
    heap: &CheckedHeap,
    mine: Option<&'static OwnArena>,
    user: usize,
    release: &Release,
    caller: Caller,
) -> bool {
    // Not by a closure, which would be called.
    match undisturbed(mine) {
        None => false,
        // SAFETY: the caller of this function promises the same.
        Some(mine) if M::is_checked(heap) => unsafe {
            checked::free::<M>(heap, mine, user, release, caller)
        },
        Some(mine) => bare::free(mine, user),
    }
}
