//! realloc: take and verify the old block, resize it where it is or allocate, copy, release.

use core::ptr::NonNull;

use super::block::{self, Head};
use super::checked::{CheckedHeap, Release, Request};
use super::mapped_blocks::MappedBlock;
use super::registry::{self, State};
use crate::finding::{Block, Operation};
use crate::options::{self, Name};
use crate::own::{self, Region};
use crate::stack::capture;
use crate::stack::depot::SiteId;
use crate::sys::thread;

/// Blocks below this always move, so that stale pointers to them show (`realloc_moves=small`).
const SMALL: usize = 64 << 10;

impl CheckedHeap {
    /// The block at `user`, any value but 0, made `size` bytes long, at the same place or another.
    /// Null when there is no memory or `user` is no block: then it stays as it was.
    pub fn resize(&self, user: usize, size: usize) -> *mut u8 {
        if let Some(region) = own::region_of(user) {
            return self.resize_apart(region, user, size);
        }
        if thread::is_critical() {
            return self.copy_out(user, size);
        }
        self.do_deferred();
        let now = capture::site();
        let old_site = match registry::take(user, State::Busy) {
            Ok(site) => site,
            Err(_) => {
                self.refuse(user, Operation::Realloc);
                return core::ptr::null_mut();
            }
        };
        let Some(head) = self.verify_taken(user, Operation::Realloc, now) else {
            return core::ptr::null_mut();
        };
        let release = Release::by(Operation::Realloc);
        self.check_release(user, old_site, head, release);
        if let Some(place) = self.resize_in_place(user, head, size, now) {
            return place as *mut u8;
        }
        let new = self.allocate_at(Request::malloc(size), now);
        if new.is_null() {
            registry::set(user, State::Live, old_site);
            return new;
        }
        // SAFETY: both blocks are ours, apart, and at least that long.
        unsafe { core::ptr::copy_nonoverlapping(user as *const u8, new, head.size.min(size)) };
        registry::set(user, State::Quarantined, old_site);
        self.retire(user, old_site, release, now);
        new
    }

    /// Blocks of the private regions move to where the caller allocates now.
    fn resize_apart(&self, region: Region, user: usize, size: usize) -> *mut u8 {
        if region == Region::Own && thread::is_critical() {
            // The tool's heap may be what the handler interrupted.
            return core::ptr::null_mut();
        }
        let old = own::size_of_block(region, user as *mut u8);
        let new = self.allocate(Request::malloc(size));
        if !new.is_null() {
            // SAFETY: both blocks are live, apart, and at least that long.
            unsafe { core::ptr::copy_nonoverlapping(user as *const u8, new, old.min(size)) };
            self.free(user, Release::by(Operation::Free));
        }
        new
    }

    /// In a signal handler that interrupted one of our locks: a new block; the old one is freed
    /// later.
    fn copy_out(&self, user: usize, size: usize) -> *mut u8 {
        let state = registry::word(user).map(registry::Word::state);
        if state != Some(State::Live) || !self.is_guarded() {
            return core::ptr::null_mut();
        }
        let old = self.size_of(user);
        let new = own::emergency::allocate(size, 16);
        if !new.is_null() {
            // SAFETY: the handler's own live block and a new one.
            unsafe { core::ptr::copy_nonoverlapping(user as *const u8, new, old.min(size)) };
            self.free(user, Release::by(Operation::Free));
        }
        new
    }

    /// Resizes a taken block without copying it, where that is wanted and possible. Returns its
    /// address, which for a mapped block may be a new one, live again.
    fn resize_in_place(&self, user: usize, head: Head, size: usize, site: SiteId) -> Option<usize> {
        let both_large = head.size >= SMALL && size >= SMALL;
        let may_stay = match options::number(Name::ReallocMoves) {
            0 => both_large,
            1 => false,
            _ => true,
        };
        if !may_stay || head.align > crate::heap::size::PAGE || self.is_frozen() {
            return None;
        }
        let layout = self.plan(size, head.align)?;
        if head.mapped {
            return self.remap(user, head, layout.size, size, site);
        }
        let payload = NonNull::new((user - layout.lead) as *mut u8)?;
        {
            let mut books = self.arenas.of(user).lock();
            // Past the threshold a mapping is the better place: it can grow by mremap.
            let mapping_is_better =
                size > head.size && layout.size >= books.heap.tuning.mmap_threshold;
            // SAFETY: the block is taken, ours alone, and not mapped.
            if mapping_is_better || unsafe { books.heap.resize(payload, layout.size) } != Ok(true) {
                return None;
            }
            books.ledger.count_resize(head.size, size);
        }
        self.renew(user, Head { size, ..head }, site);
        Some(user)
    }

    /// Writes a resized block anew and gives it back to the program.
    fn renew(&self, user: usize, head: Head, site: SiteId) {
        let head = Head { kind: crate::finding::Kind::Malloc, thread: thread::number(), ..head };
        if self.is_guarded() {
            // SAFETY: the block is taken and its chunk holds the plan for this head.
            unsafe { self.canaries().write(user, head) };
        }
        registry::set_live(user, site);
    }

    fn remap(
        &self,
        user: usize,
        head: Head,
        payload_size: usize,
        size: usize,
        site: SiteId,
    ) -> Option<usize> {
        let lead = self.lead();
        let payload = NonNull::new((user - lead) as *mut u8)?;
        // Held until both addresses have their new words: another thread may get the old place as
        // soon as the mapping has left it, and must not be listed before this block is not.
        let mut list = self.mapped.lock();
        let mapped = list.get(user)?;
        let (moved, span) = {
            let mut books = self.arenas.of(user).lock();
            // SAFETY: the block is taken and ours alone; the old place is not used after a move.
            let moved = unsafe { books.heap.remap(payload, mapped.span, payload_size)? };
            books.ledger.count_resize(head.size, size);
            // SAFETY: the payload is live where it is now.
            (moved.as_ptr() as usize, unsafe { books.heap.span_of(moved) })
        };
        let new_user = moved + lead;
        let new_head = Head { size, ..head };
        list.remove(user);
        if new_user != user {
            registry::set(user, State::Evicted, mapped.block.site);
        }
        // Without memory for the list the block works; only addresses inside it are not explained.
        registry::cover(new_user - block::LEAD, 2 * block::LEAD);
        if let Ok(Some(span)) = span {
            let block = Block { site, ..block::facts(new_user, new_head) };
            list.insert(MappedBlock { span, block });
        }
        drop(list);
        self.renew(new_user, new_head, site);
        Some(new_user)
    }
}
