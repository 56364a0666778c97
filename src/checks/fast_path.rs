//! The shortest way, for the commonest case: a cached class, nothing in the way. It does what the
//! full paths do in that case, in a third of their instructions; every other case is theirs.

use crate::sys::thread_number;
use core::ptr::NonNull;

use crate::arch::Caller;
use crate::arena::size_class::{Class, LARGEST};
use crate::arena::{Arena, Owner};
use crate::checks::header::BlockOrigin;
use crate::checks::heap::{CheckedHeap, Pages, Release, Request};
use crate::checks::layout::{Canaries, LEAD, TAIL};
use crate::checks::quarantine::{Quarantine, Quarantined};
use crate::checks::{deferred_free, poison, unchecked_path};
use crate::heap::size::{GRANULE, WORD};
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::shadow::block_table;
use crate::shadow::block_table::{BlockState, ShadowSlot, Sites, Taken};
use crate::stack::capture;
use crate::sys::{single_threaded, thread};

/// Largest request that goes this way.
const LARGEST_REQUEST: usize = LARGEST - WORD - LEAD - TAIL;

/// Is a request for a class that caches have?
#[inline(always)]
pub(crate) const fn is_cached(size: usize, align: usize) -> bool {
    align <= GRANULE && size <= LARGEST_REQUEST
}

impl CheckedHeap {
    /// May threads go this way? Not without checks but with stacks: nobody needs that to be fast.
    pub(crate) fn is_quick(&self) -> bool {
        !thread::is_hooked() && self.is_swift()
    }

    /// The same for those whose calls somebody attends to.
    fn is_swift(&self) -> bool {
        self.is_guarded() || options::number(Name::MallocContextSize) == 0
    }

    /// A block. `None`: by the full path.
    ///
    /// # Safety
    /// `caller` holds the registers at the entry of the call that the program made, on this thread.
    #[inline(always)]
    pub unsafe fn allocate_quickly(&self, request: Request, caller: Caller) -> Option<NonNull<u8>> {
        // SAFETY: as the caller says.
        unsafe { self.allocate_from(mine()?, request, caller) }
    }

    /// The same where blocks are checked; `sites` where stacks are taken.
    ///
    /// # Safety
    /// As for [`CheckedHeap::allocate_quickly`].
    #[inline(always)]
    pub unsafe fn allocate_guarded(
        &self,
        request: Request,
        caller: Caller,
        sites: Option<Sites>,
    ) -> Option<NonNull<u8>> {
        if !is_cached(request.size, request.align) {
            return None;
        }
        // SAFETY: as the caller says.
        unsafe { self.allocate_guarded_from(mine()?, request, caller, sites) }
    }

    /// The same where nothing is checked, contents undefined. It calls nothing, so that the common
    /// case saves no registers.
    #[inline(always)]
    pub fn allocate_bare(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        if !is_cached(size, align) {
            return None;
        }
        unchecked_path::allocate(mine()?, size)
    }

    /// The same for a thread whose calls somebody attends to.
    ///
    /// # Safety
    /// As for [`CheckedHeap::allocate_quickly`].
    #[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_allocate_hooked"))]
    pub unsafe fn allocate_hooked(&self, request: Request, caller: Caller) -> *mut u8 {
        let quickly = mine_hooked().filter(|_| self.is_swift()).and_then(|mine| {
            // SAFETY: as the caller says.
            unsafe { self.allocate_from(mine, request, caller) }
        });
        quickly.map_or_else(|| self.allocate(request), NonNull::as_ptr)
    }

    /// # Safety
    /// As for [`CheckedHeap::allocate_quickly`].
    #[inline(always)]
    unsafe fn allocate_from(
        &self,
        mine: &'static Mine,
        request: Request,
        caller: Caller,
    ) -> Option<NonNull<u8>> {
        let Request { size, align, zeroed, .. } = request;
        if !is_cached(size, align) {
            return None;
        }
        if self.is_guarded() {
            // SAFETY: as the caller says.
            return unsafe { self.allocate_guarded_from(mine, request, caller, Sites::taken()) };
        }
        let block = unchecked_path::allocate(mine, size)?;
        if zeroed {
            // SAFETY: the block is fresh and has that many bytes.
            unsafe { block.write_bytes(0, size) };
        }
        Some(block)
    }

    /// The request is for a cached class.
    ///
    /// # Safety
    /// As for [`CheckedHeap::allocate_quickly`].
    #[inline(always)]
    unsafe fn allocate_guarded_from(
        &self,
        mine: &'static Mine,
        request: Request,
        caller: Caller,
        sites: Option<Sites>,
    ) -> Option<NonNull<u8>> {
        let Request { size, align, kind, zeroed } = request;
        // SAFETY: as the caller says.
        let site = |_| unsafe { site_of(caller, 0) };
        let origin = BlockOrigin::new(kind, align);
        let cached = self.hand_out_guarded(mine, size, origin, zeroed, sites, site);
        match (cached, sites) {
            // The registers at hand make the stack cheap.
            (None, Some(sites)) => self.allocate_uncached(request, site(sites)),
            _ => cached,
        }
    }

    /// Frees the block at `user`, any value at all. `false`: nothing was done; by the full path.
    ///
    /// # Safety
    /// As for [`CheckedHeap::allocate_quickly`].
    #[inline(always)]
    pub unsafe fn free_quickly(&self, user: usize, release: &Release, caller: Caller) -> bool {
        // SAFETY: as the caller says.
        unsafe { self.free_to(mine(), user, release, caller) }
    }

    /// The same where blocks are checked; `sites` where stacks are taken.
    ///
    /// # Safety
    /// As for [`CheckedHeap::allocate_quickly`].
    #[inline(always)]
    pub unsafe fn free_guarded(
        &self,
        user: usize,
        release: &Release,
        caller: Caller,
        sites: Option<Sites>,
    ) -> bool {
        // Not by a closure, which would be called.
        match undisturbed(mine()) {
            // SAFETY: as the caller says.
            Some(mine) => unsafe { self.take_back(mine, user, release, caller, sites) },
            None => false,
        }
    }

    /// The same where nothing is checked: it calls nothing either.
    #[inline(always)]
    pub fn free_bare(&self, user: usize) -> bool {
        undisturbed(mine()).is_some_and(|mine| unchecked_path::free(mine, user))
    }

    /// The same for a thread whose calls somebody attends to.
    ///
    /// # Safety
    /// As for [`CheckedHeap::allocate_quickly`].
    #[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_free_hooked"))]
    pub unsafe fn free_hooked(&self, user: usize, release: &Release, caller: Caller) {
        let mine = mine_hooked().filter(|_| self.is_swift());
        // SAFETY: as the caller says.
        if !unsafe { self.free_to(mine, user, release, caller) } {
            self.free(user, release);
        }
    }

    /// # Safety
    /// As for [`CheckedHeap::allocate_quickly`].
    #[inline(always)]
    unsafe fn free_to(
        &self,
        mine: Option<&'static Mine>,
        user: usize,
        release: &Release,
        caller: Caller,
    ) -> bool {
        match undisturbed(mine) {
            None => false,
            // SAFETY: as the caller says.
            Some(mine) if self.is_guarded() => unsafe {
                self.take_back(mine, user, release, caller, Sites::taken())
            },
            Some(mine) => unchecked_path::free(mine, user),
        }
    }

    /// The thread's cache has none.
    #[cold]
    #[inline(never)]
    fn allocate_uncached(&self, request: Request, site: ProcessSite) -> Option<NonNull<u8>> {
        NonNull::new(self.allocate_at(request, site))
    }

    /// `site` is asked for where stacks are taken, when the block is known, so that its memory
    /// comes meanwhile.
    #[inline(always)]
    fn hand_out_guarded(
        &self,
        mine: &'static Mine,
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
            capture::count_block(site, size);
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
                let byte = options::number(Name::MallocFillByte) as u8;
                poison::fill(user, size.min(most), byte);
            }
            // What the fill wrote behind the block is the tail's.
            self.canaries().write_small(user, size, head);
            self.canaries().write_behind(user, size, Some(class));
        }
        slot.set(BlockState::Live(Some(class)));
        // SAFETY: behind a payload's lead.
        Some(unsafe { NonNull::new_unchecked(user as *mut u8) })
    }

    /// The block at `user`, any value but 0, moved to a new one for `request`, or without checks
    /// made to hold it. `None`: nothing was done; by the full path.
    ///
    /// # Safety
    /// As for [`CheckedHeap::allocate_quickly`].
    #[inline(never)]
    pub unsafe fn move_quickly(
        &self,
        user: usize,
        request: Request,
        release: &Release,
        caller: Caller,
    ) -> Option<NonNull<u8>> {
        let mine = undisturbed(mine())?;
        let Request { size, align, kind, .. } = request;
        if !self.is_guarded() {
            return unchecked_path::resize(self, mine, user, size, release);
        }
        if !is_cached(size, align) || !self.moves_small() {
            return None;
        }
        let taken =
            block_table::find(user)?.take(BlockState::Busy, single_threaded::is_single()).ok()?;
        let sites = Sites::taken();
        // SAFETY: as the caller says.
        let now = sites.map_or(ProcessSite::NONE, |_| unsafe { site_of(caller, user) });
        let canaries = self.canaries();
        let origin = BlockOrigin::new(kind, align);
        let moved = quick_size(canaries, user, &taken, release).and_then(|old| {
            let new = self.hand_out_guarded(mine, size, origin, false, sites, |_| now)?;
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
        self.let_wait(owner(mine), canaries, waiting, &taken, sites);
        Some(new)
    }

    /// # Safety
    /// As for [`CheckedHeap::allocate_quickly`].
    #[inline(always)]
    unsafe fn take_back(
        &self,
        mine: &'static Mine,
        user: usize,
        release: &Release,
        caller: Caller,
        sites: Option<Sites>,
    ) -> bool {
        let Some(slot) = block_table::find(user) else {
            // Not a block of the heap's; but the loader's records may lie elsewhere, and every free
            // of one counts.
            if sites.is_some() {
                // SAFETY: as the caller says.
                unsafe { site_of(caller, user) };
            }
            return false;
        };
        let now = match sites {
            Some(sites) => {
                slot.prefetch(user.wrapping_sub(LEAD), sites);
                // SAFETY: as the caller says.
                unsafe { site_of(caller, user) }
            }
            None => ProcessSite::NONE,
        };
        let Ok(taken) = slot.take(BlockState::Busy, single_threaded::is_single()) else {
            return false;
        };
        let canaries = self.canaries();
        let Some(size) = quick_size(canaries, user, &taken, release) else {
            self.retire(user, taken, release, now);
            return true;
        };
        if let Some(sites) = sites {
            taken.set_free_site(now, sites);
        }
        let waiting =
            Quarantined { user, size, class: taken.class, thread: thread_number::known_number() };
        self.let_wait(owner(mine), canaries, waiting, &taken, sites);
        true
    }
}

/// The site of the program's call, which frees the block `freed`, any value; 0: it allocates.
/// Stacks are taken.
///
/// # Safety
/// As for [`CheckedHeap::allocate_quickly`].
#[inline(always)]
unsafe fn site_of(caller: Caller, freed: usize) -> ProcessSite {
    // SAFETY: as the caller says.
    unsafe { capture::site_of_call(caller, options::number(Name::MallocContextSize), freed) }
}

pub(crate) type Mine = Arena<Pages, Quarantine>;

/// The thread's arena, if it may go this way and is outside of everything of ours.
#[inline(always)]
fn mine() -> Option<&'static Mine> {
    let arena = thread::quick_arena() as *const Mine;
    // SAFETY: what the slot names is the thread's own arena, which lives for ever.
    unsafe { arena.as_ref() }
}

/// That, unless frees of a signal handler's wait: they come first.
#[inline(always)]
fn undisturbed(mine: Option<&'static Mine>) -> Option<&'static Mine> {
    mine.filter(|_| !deferred_free::is_waiting())
}

/// As [`mine`] for a thread whose calls somebody attends to: its slot names no arena for the quick
/// way.
fn mine_hooked() -> Option<&'static Mine> {
    let may = thread::is_outside() && !thread::is_blind();
    // SAFETY: the slot holds 0 or the address of this thread's arena, which lives for ever.
    may.then(|| unsafe { (thread::arena() as *const Mine).as_ref() }).flatten()
}

#[inline]
pub(crate) fn owner(mine: &'static Mine) -> Owner<'static, Pages, Quarantine> {
    // SAFETY: the arena is this thread's own, and it is outside, so that it has no turn.
    unsafe { mine.owner() }
}

/// Size of a taken block that is whole, cached, and given back as it should be.
#[inline(always)]
fn quick_size(canaries: Canaries, user: usize, taken: &Taken, release: &Release) -> Option<usize> {
    // SAFETY: the registry gave the block to us.
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
