//! What goes past the caches: large blocks, mapped ones, aligned ones, and everything of a thread
//! without an arena. Under the heaps' locks.

use crate::arch::ADDRESS_BITS;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::arena::ArenaState;
use crate::arena::size_class::Class;
use crate::checks::heap::{CheckedHeap, Fresh, Pages};
use crate::checks::layout::BlockHeader;
use crate::checks::request::{Release, Request};
use crate::heap::{Corrupt, Layout, Span};
use crate::model::finding::{AllocKind, Operation};
use crate::model::site::ProcessSite;
use crate::shadow::block_table;
use crate::shadow::block_table::Taken;
use crate::stack::capture;
use crate::sys::thread;

/// Tries after smashed chunks were put out of use, before an allocation fails.
const TRIES: usize = 64;

/// Bytes of addresses that programs have.
const ADDRESS_SPACE: usize = 1 << ADDRESS_BITS;

/// A payload fresh from a heap.
struct Obtained {
    payload: NonNull<u8>,
    span: Option<Span>,
    is_zero: bool,
}

impl CheckedHeap {
    /// A block that the cache does not have at hand.
    #[cold]
    #[inline(never)]
    #[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_checked_slowly"))]
    pub(crate) fn allocate_slowly(
        &self,
        request: Request,
        layout: Layout,
        site: ProcessSite,
    ) -> *mut u8 {
        if let Some(class) = Class::of(layout)
            && let Some(mut owner) = self.owner()
        {
            let refilled = owner.allocate(class);
            if let Ok(Some(payload)) = refilled {
                // SAFETY: the payload is fresh, of that class, and was planned for the request.
                return unsafe { self.init_cached_block(owner, payload, class, request, site) };
            }
            drop(owner);
            if let Err(corrupt) = refilled {
                self.blame_corruption(corrupt, Operation::Allocate, capture::full_site());
            }
        }
        let Some(obtained) = self.obtain(layout, request.size) else {
            return core::ptr::null_mut();
        };
        let user = obtained.payload.as_ptr() as usize + layout.lead;
        // SAFETY: the payload is fresh and was planned for the request.
        unsafe {
            match obtained.span {
                Some(span) => self.init_mapped_block(user, request, span, site),
                None => {
                    let fresh = Fresh { class: None, mapped: false, is_zero: obtained.is_zero };
                    self.init_block(user, request, fresh, site)
                }
            }
        }
    }

    fn obtain(&self, layout: Layout, size: usize) -> Option<Obtained> {
        let mut emptied = false;
        for _ in 0..TRIES {
            match self.try_obtain(layout, size) {
                Ok(Some(obtained)) => return Some(obtained),
                Ok(None) if emptied => return None,
                Ok(None) if !self.gives_way(layout) => return None,
                Ok(None) => emptied = true,
                Err(corrupt) => {
                    let now = capture::full_site();
                    self.blame_corruption(corrupt, Operation::Allocate, now);
                }
            }
        }
        None
    }

    /// Gives back what is free where there is no memory for a request. `false`: that cannot help,
    /// or nothing was freed since it did not.
    fn gives_way(&self, layout: Layout) -> bool {
        /// Of the last time that nothing went: the thread, whose own freed blocks were among what
        /// could have gone, and the frees up to then.
        static IN_VAIN: AtomicU64 = AtomicU64::new(0);
        let frees = self.totals().0.frees + 1;
        let now = frees.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ thread::slot_address() as u64;
        if layout.size > ADDRESS_SPACE || IN_VAIN.load(Ordering::Relaxed) == now {
            return false;
        }
        let any = self.trim(0);
        IN_VAIN.store(if any { 0 } else { now }, Ordering::Relaxed);
        true
    }

    /// From the thread's own heap, or the main one: that has all mapped blocks.
    fn try_obtain(&self, layout: Layout, size: usize) -> Result<Option<Obtained>, Corrupt> {
        let Some(need) = layout.chunk_size() else { return Ok(None) };
        let slack = if layout.is_aligned() { layout.align } else { 0 };
        // Without canaries nobody can tell later what was asked for.
        let counted = self.is_checked().then_some(size);
        if !self.arenas().maps(need.saturating_add(slack))
            && let Some(mut owner) = self.owner()
        {
            owner.arena().stats().tell();
            let mut arena_state = owner.lock_for(layout)?;
            if let Some(obtained) = obtain_from(&mut arena_state, layout, counted)? {
                return Ok(Some(obtained));
            }
        }
        obtain_from(&mut self.arenas().main().lock(), layout, counted)
    }

    /// Gives a taken block back that is not cached.
    #[cold]
    pub(crate) fn release_large(&self, user: usize, taken: Taken, release: &Release) {
        let now = capture::free_site_from_here(user);
        block_table::set_free_site(user, now);
        let Some(head) = self.bare_head(user, taken, release.operation, now) else { return };
        if let Some(mapped) = self.list_of(user, head) {
            return self.seal(mapped, taken.site(), head, now);
        }
        // Frozen, it stays where it is: nothing may move under a reader's hands.
        if !self.is_frozen() {
            self.give_back(user, taken.arena(), Some(head.size));
        }
    }

    /// Without canaries the class or the chunk word tells the size.
    pub(crate) fn bare_head(
        &self,
        user: usize,
        taken: Taken,
        operation: Operation,
        now: ProcessSite,
    ) -> Option<BlockHeader> {
        let kind = AllocKind::Malloc;
        let bare =
            |size, mapped| BlockHeader { size, kind, align: 16, mapped, thread: 0, exempt: false };
        if let Some(class) = taken.class {
            return Some(bare(class.capacity(), false));
        }
        let payload = NonNull::new(user as *mut u8)?;
        let found = {
            let heap = &self.arenas().get(taken.arena().unwrap_or(0))?.lock().heap;
            // SAFETY: the shadow gave the block to us.
            unsafe {
                heap.capacity(payload)
                    .and_then(|size| heap.span_of(payload).map(|span| (size, span.is_some())))
            }
        };
        match found {
            Ok((size, mapped)) => Some(bare(size, mapped)),
            Err(corrupt) => {
                self.blame_corruption(corrupt, operation, now);
                None
            }
        }
    }

    /// Gives the chunk under `user` back to the heap of arena `from`, past the caches.
    pub(crate) fn give_back(&self, user: usize, from: Option<u32>, counted: Option<usize>) {
        let Some(payload) = NonNull::new((user - self.lead()) as *mut u8) else { return };
        if let Err(corrupt) = self.put_under_lock(payload, from.unwrap_or(0), counted) {
            self.blame_corruption(corrupt, Operation::Free, capture::full_site());
        }
    }
}

fn obtain_from(
    arena_state: &mut ArenaState<Pages>,
    layout: Layout,
    counted: Option<usize>,
) -> Result<Option<Obtained>, Corrupt> {
    let Some(payload) = arena_state.heap.allocate(layout)? else { return Ok(None) };
    let is_zero = arena_state.heap.last_is_zero();
    // SAFETY: the payload is fresh.
    let (span, capacity) =
        unsafe { (arena_state.heap.span_of(payload)?, arena_state.heap.capacity(payload)?) };
    arena_state.stats.count_allocation(counted.unwrap_or(capacity));
    arena_state.stats.tell();
    Ok(Some(Obtained { payload, span, is_zero }))
}
