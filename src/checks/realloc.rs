//! realloc: take and verify the old block, resize it where it is or allocate, copy, release.

use crate::sys::thread_number;
use core::ptr::NonNull;

use crate::arena::size_class::Class;
use crate::checks::heap::CheckedHeap;
use crate::checks::layout;
use crate::checks::layout::BlockHeader;
use crate::checks::request::{Release, Request};
use crate::heap::size::PAGE;
use crate::model::finding::{AllocKind, Block, Operation};
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::own::{self, Region};
use crate::shadow::block_table;
use crate::shadow::block_table::{BlockState, Taken};
use crate::shadow::mapped_blocks::MappedBlock;
use crate::stack::capture;
use crate::sys::{single_threaded, thread};

/// Blocks below this always move, so that stale pointers to them show (`realloc_moves=small`).
const SMALL: usize = 64 << 10;

impl CheckedHeap {
    /// The block at `user`, any value but 0, made one for `request`, at the same place or another;
    /// `release` says how it is given back. Null when there is no memory or `user` is no block:
    /// then it stays as it was.
    pub fn resize(&self, user: usize, request: Request, release: &Release) -> *mut u8 {
        let size = request.size;
        if thread::is_critical() {
            return self.resize_inside(user, request, release.operation);
        }
        self.do_deferred();
        let Ok(taken) = block_table::take(user, BlockState::Busy, single_threaded::is_single())
        else {
            return self.resize_apart(user, request, release);
        };
        let now = capture::free_site_from_here(user);
        if let Some(class) = taken.class
            && self.may_keep(class, size)
        {
            self.count_resize(class.capacity(), class.capacity());
            block_table::set_live(user, Some(class), now);
            return user as *mut u8;
        }
        let Some(head) = self.verify_taken(user, taken, release.operation, now) else {
            // It stays the program's, which may free it later.
            taken.set(BlockState::Live(taken.class));
            return core::ptr::null_mut();
        };
        self.check_release(user, taken.site(), head, release);
        let old_site = taken.site();
        if let Some(place) = self.resize_in_place(user, taken, head, request, now) {
            self.count_stay(old_site, head.size, now, size);
            return place as *mut u8;
        }
        let new = self.allocate_at(request, now);
        if new.is_null() {
            block_table::set_live(user, taken.class, taken.site());
            return new;
        }
        // SAFETY: both blocks are ours, apart, and at least that long.
        unsafe { core::ptr::copy_nonoverlapping(user as *const u8, new, head.size.min(size)) };
        match (self.is_checked(), taken.class, taken.arena()) {
            (true, ..) => self.release_taken(user, taken, release, now),
            (false, Some(class), Some(from)) => {
                block_table::set_free_site(user, now);
                block_table::set(user, BlockState::Evicted);
                self.put(user, class, from, Some(class.capacity()));
            }
            (false, ..) => {
                block_table::set(user, BlockState::Evicted);
                self.release_large(user, taken, release);
            }
        }
        new
    }

    /// Do small blocks always move?
    pub(crate) fn moves_small(&self) -> bool {
        const NONE: usize = 2;
        options::number(Name::ReallocMoves) != NONE
    }

    /// Without canaries a block may stay as it is while its chunk holds the new size and is not
    /// twice as large.
    pub(crate) fn may_keep(&self, class: Class, size: usize) -> bool {
        const ALL: usize = 1;
        !self.is_checked()
            && size <= class.capacity()
            && size >= class.capacity() / 2
            && options::number(Name::ReallocMoves) != ALL
    }

    /// A block that stays where it is belongs to another site from now on.
    fn count_stay(&self, old_site: ProcessSite, old: usize, site: ProcessSite, size: usize) {
        if self.is_checked() {
            thread::enter_critical();
            capture::count_free(old_site, old);
            capture::count_block(site, size);
            thread::leave_critical();
        }
    }

    fn count_resize(&self, old: usize, new: usize) {
        match self.owner() {
            Some(owner) => owner.arena().stats().count_resize(old, new),
            None => self.arenas().main().lock().stats.count_resize(old, new),
        }
    }

    /// No block of the heap: one of the private regions', or nobody's.
    #[cold]
    fn resize_apart(&self, user: usize, request: Request, release: &Release) -> *mut u8 {
        if let Some(region) = own::region_of(user) {
            return self.move_apart(region, user, request);
        }
        let now = capture::free_site_from_here(user);
        self.resize_guarded(user, request, release, now).unwrap_or_else(|| {
            self.refuse(user, release.operation);
            core::ptr::null_mut()
        })
    }

    /// In a signal handler that interrupted us.
    #[cold]
    fn resize_inside(&self, user: usize, request: Request, operation: Operation) -> *mut u8 {
        match own::region_of(user) {
            Some(region) => self.move_apart(region, user, request),
            None => self.copy_out(user, request, operation),
        }
    }

    /// Blocks of the private regions move to where the caller allocates now.
    fn move_apart(&self, region: Region, user: usize, request: Request) -> *mut u8 {
        if region == Region::Own && thread::is_critical() {
            // The tool's heap may be what the handler interrupted.
            return core::ptr::null_mut();
        }
        let old = own::size_of_block(region, user as *mut u8);
        let new = self.allocate(request);
        if !new.is_null() {
            // SAFETY: both blocks are live, apart, and at least that long.
            unsafe {
                core::ptr::copy_nonoverlapping(user as *const u8, new, old.min(request.size))
            };
            self.free(user, &Release::by(Operation::Free));
        }
        new
    }

    /// In a signal handler that interrupted one of our locks: a new block; the old one is freed
    /// later.
    fn copy_out(&self, user: usize, request: Request, operation: Operation) -> *mut u8 {
        let state = block_table::word(user).map(|word| word.state);
        if !state.is_some_and(BlockState::is_live) || !self.is_checked() {
            return core::ptr::null_mut();
        }
        let old = self.size_of(user);
        let Request { size, align, .. } = request;
        let new = own::emergency::allocate(size, align);
        if !new.is_null() {
            // SAFETY: the handler's own live block and a new one.
            unsafe { core::ptr::copy_nonoverlapping(user as *const u8, new, old.min(size)) };
            let call = match operation {
                Operation::Reallocate => Operation::Dealloc,
                _ => Operation::Free,
            };
            self.free(user, &Release::by(call));
        }
        new
    }

    /// Resizes a taken block without copying it, where that is wanted and possible. Returns its
    /// address, which for a mapped block may be a new one, live again.
    fn resize_in_place(
        &self,
        user: usize,
        taken: Taken,
        head: BlockHeader,
        request: Request,
        site: ProcessSite,
    ) -> Option<usize> {
        let size = request.size;
        let both_large = head.size >= SMALL && size >= SMALL;
        let may_stay = match options::number(Name::ReallocMoves) {
            0 => both_large || (!self.is_checked() && taken.class.is_none()),
            1 => false,
            _ => true,
        };
        if !may_stay || head.align.max(request.align) > PAGE || self.is_frozen() {
            return None;
        }
        let layout = self.plan(size, head.align)?;
        if head.mapped {
            return self.remap(user, of_request(head, request), layout.size, size, site);
        }
        // Past the threshold a mapping is the better place: it can grow by mremap.
        if size > head.size && self.arenas().maps(layout.size) {
            return None;
        }
        let payload = NonNull::new((user - layout.lead) as *mut u8)?;
        let mut arena_state = self.arenas().get(taken.arena()?)?.lock();
        // SAFETY: the block is taken, ours alone, and not mapped.
        if unsafe { arena_state.heap.resize(payload, layout.size) } != Ok(true) {
            return None;
        }
        // SAFETY: the payload is the same block's, in use at the size that `resize` has given it.
        let capacity = unsafe { arena_state.heap.capacity(payload) }.unwrap_or(layout.size);
        let counted = if self.is_checked() { size } else { capacity };
        arena_state.stats.count_resize(head.size, counted);
        arena_state.stats.tell();
        drop(arena_state);
        self.renew(user, BlockHeader { size, ..of_request(head, request) }, site);
        Some(user)
    }

    /// Writes a resized block anew and gives it back to the program.
    fn renew(&self, user: usize, head: BlockHeader, site: ProcessSite) {
        let (thread, exempt) = (thread_number::number(), thread::is_blind());
        let head = BlockHeader { thread, exempt, ..head };
        if self.is_checked() {
            // SAFETY: the block is taken and its chunk holds the plan for this head.
            unsafe {
                self.canaries().write(user, head);
                if !head.mapped {
                    self.canaries().write_behind(user, head.size, None);
                }
            }
        }
        // Its chunk may have any size now.
        block_table::set_live(user, None, site);
    }

    fn remap(
        &self,
        user: usize,
        head: BlockHeader,
        payload_size: usize,
        size: usize,
        site: ProcessSite,
    ) -> Option<usize> {
        let lead = self.lead();
        let payload = NonNull::new((user - lead) as *mut u8)?;
        // Held until both addresses have their new words: another thread may get the old place as
        // soon as the mapping has left it, and must not be listed before this block is not.
        let mut list = self.mapped().lock();
        let mapped = list.get(user)?;
        let (moved, span) = {
            let mut arena_state = self.arenas().main().lock();
            // SAFETY: the block is taken and ours alone; the old place is not used after a move.
            let moved = unsafe { arena_state.heap.remap(payload, mapped.span, payload_size)? };
            // SAFETY: the payload is live where it is now.
            let (span, capacity) =
                unsafe { (arena_state.heap.span_of(moved), arena_state.heap.capacity(moved)) };
            let counted = if self.is_checked() { size } else { capacity.unwrap_or(size) };
            arena_state.stats.count_resize(head.size, counted);
            arena_state.stats.tell();
            (moved.as_ptr() as usize, span)
        };
        let new_user = moved + lead;
        let new_head = BlockHeader { size, ..head };
        list.remove(user);
        if new_user != user {
            block_table::set_free_site(user, site);
            block_table::set(user, BlockState::Evicted);
        }
        // Without memory for the list the block works; only addresses inside it are not explained.
        block_table::cover(new_user, 1);
        if let Ok(Some(span)) = span {
            let block = Block { site, ..layout::facts(new_user, new_head) };
            list.insert(MappedBlock { span, block, is_emptied: false });
        }
        drop(list);
        self.renew(new_user, new_head, site);
        Some(new_user)
    }
}

/// The head of a block that belongs to another call from now on. `head.size` stays.
fn of_request(head: BlockHeader, request: Request) -> BlockHeader {
    let align = match request.kind {
        AllocKind::Rust => request.align,
        kind => layout::noted_align(kind, head.align),
    };
    BlockHeader { kind: request.kind, align, ..head }
}
