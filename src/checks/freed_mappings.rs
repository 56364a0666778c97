//! Mapped blocks: listed by address while they live, kept for a while once freed, their pages given
//! back: a page that holds something again was written to late.

use crate::checks::damaged_bytes::describe;
use crate::sys::thread_number;
use core::ptr::NonNull;

use crate::checks::heap::{CheckedHeap, Fresh};
use crate::checks::layout;
use crate::checks::layout::BlockHeader;
use crate::checks::request::Request;
use crate::checks::unmapped_blocks;
use crate::heap::Span;
use crate::heap::size::PAGE;
use crate::model::finding::{Block, Damage, Defect, Finding, Life, Operation, Side};
use crate::model::site::ProcessSite;
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::shadow::mapped_blocks::MappedBlock;
use crate::sys::{alt_stack, memory, pagemap, process, seccomp, thread};

impl CheckedHeap {
    /// Writes a fresh mapped block, lists it and declares it live. Null: no memory for the list.
    ///
    /// # Safety
    /// As [`CheckedHeap::init_block`]; the payload is the one in `span`.
    pub(crate) unsafe fn init_mapped_block(
        &self,
        user: usize,
        request: Request,
        span: Span,
        site: ProcessSite,
    ) -> *mut u8 {
        let Request { size, kind, align, .. } = request;
        let (thread, exempt) = (thread_number::number(), thread::is_blind());
        let head = BlockHeader {
            size,
            kind,
            align: layout::noted_align(kind, align),
            mapped: true,
            thread,
            exempt,
        };
        if !self.list_mapped(user, head, span, site) {
            self.give_back(user, None, Some(size));
            return core::ptr::null_mut();
        }
        // SAFETY: as the caller says; fresh mappings are zero.
        unsafe {
            self.init_block(user, request, Fresh { class: None, mapped: true, is_zero: true }, site)
        }
    }

    /// Lists a mapped block where it can be found by any address inside it.
    pub(crate) fn list_mapped(
        &self,
        user: usize,
        head: BlockHeader,
        span: Span,
        site: ProcessSite,
    ) -> bool {
        let block = Block { site, ..layout::facts(user, head) };
        block_table::cover(user, 1)
            && self.mapped().lock().insert(MappedBlock { span, block, is_emptied: false })
    }

    pub(crate) fn list_of(&self, user: usize, head: BlockHeader) -> Option<MappedBlock> {
        if head.mapped { self.mapped().lock().get(user) } else { None }
    }

    /// Drops a freed mapping's pages but keeps its addresses for a while.
    pub(crate) fn seal(
        &self,
        mapped: MappedBlock,
        site: ProcessSite,
        head: BlockHeader,
        now: ProcessSite,
    ) {
        let Some(payload) = NonNull::new((mapped.block.user - self.lead()) as *mut u8) else {
            return;
        };
        let retired = {
            let mut arena_state = self.arenas().main().lock();
            // SAFETY: the block is ours and mapped.
            let span = unsafe { arena_state.heap.span_of(payload) };
            span.map(|_| {
                arena_state.heap.retire(mapped.span);
                arena_state.stats.count_free(head.size);
                arena_state.stats.tell();
                arena_state.heap.tuning
            })
        };
        match retired {
            Ok(tuning) => self.arenas().follow(tuning),
            Err(corrupt) => return self.blame_corruption(corrupt, Operation::Free, now),
        }
        let block = Block {
            life: Life::Freed,
            site,
            free_site: now,
            free_thread: Some(thread_number::number()),
            ..layout::facts(mapped.block.user, head)
        };
        self.keep_mapping(mapped, block);
        self.unmap_over_budget(false);
    }

    /// Keeps a retired mapping for a while, or unmaps it.
    fn keep_mapping(&self, mapped: MappedBlock, block: Block) {
        // Room first: a full ring would overwrite its oldest entry.
        self.unmap_over_budget(false);
        let mut list = self.mapped().lock();
        if self.is_frozen() {
            return;
        }
        let Span { start, len } = mapped.span;
        // Writable memory counts against a limit on data, sealed memory does not.
        let may_stay = !seccomp::is_installed() && !process::limits_data();
        // SAFETY: the mapping is retired and nobody uses it.
        let is_emptied = || may_stay && unsafe { memory::drop_contents(start, len) };
        // SAFETY: the mapping is retired and nobody uses it.
        let is_sealed = || unsafe { memory::seal(start, len) };
        let can_wait = self.is_checked() && !list.is_full();
        if can_wait && is_emptied() {
            list.seal(block, true);
        } else if can_wait && is_sealed() {
            list.seal(block, false);
        } else {
            list.remove(block.user);
            self.unmap(mapped);
        }
    }

    /// Unmaps the oldest waiting blocks beyond the budget, or all, and tells of late writes to
    /// them. Says whether any went.
    pub(crate) fn unmap_over_budget(&self, all: bool) -> bool {
        let mut any = false;
        loop {
            let oldest = {
                let mut list = self.mapped().lock();
                if self.is_frozen() { None } else { list.over_budget(all) }
            };
            // It is listed nowhere: nobody else unmaps it.
            let Some(mapped) = oldest else { return any };
            self.verify_emptied(&mapped, Operation::Evict);
            let mut list = self.mapped().lock();
            if self.is_frozen() {
                list.put_back(mapped);
                return any;
            }
            self.unmap(mapped);
            any = true;
        }
    }

    /// Tells of a late write to a mapping that was emptied when its block was freed. Was there one?
    pub(crate) fn verify_emptied(&self, mapped: &MappedBlock, operation: Operation) -> bool {
        let block = &mapped.block;
        let Some(damage) = (if mapped.is_emptied { late_write(mapped) } else { None }) else {
            return false;
        };
        let now = self.operation_site(operation);
        self.deliver(&Finding {
            block: Some(*block),
            damage: Some(damage),
            ..Finding::new(
                Defect::WriteAfterFree,
                operation,
                block.user,
                thread_number::number(),
                now,
            )
        });
        // So that it is told once.
        // SAFETY: a retired mapping, whose contents are nobody's.
        unsafe { memory::drop_contents(mapped.span.start, mapped.span.len) };
        true
    }

    /// Unmaps a retired mapping that is listed no more. The list's lock is held.
    pub(crate) fn unmap(&self, mapped: MappedBlock) {
        let user = mapped.block.user;
        unmapped_blocks::note(mapped);
        block_table::set(user, BlockState::Evicted);
        // SAFETY: nobody uses the mapping, by the caller's word.
        unsafe { self.arenas().main().lock().heap.unmap(mapped.span) };
    }
}

/// The first late write to an emptied mapping, as far as its pages tell: one that holds anything
/// but zeros. That a page is there again tells nothing: mlockall(2) brings them all, and the kernel
/// joins them to huge ones.
fn late_write(mapped: &MappedBlock) -> Option<Damage> {
    if seccomp::is_installed() {
        return None;
    }
    let (user, mut found) = (mapped.block.user, None);
    memory::for_each_touched(mapped.span.start, mapped.span.end(), |page| {
        found = found.or_else(|| {
            // SAFETY: a page of a mapping that nobody unmaps meanwhile.
            let damage = unsafe { describe(Side::AfterFree, user, page, page + PAGE, |_| 0) };
            (!damage.is_empty()).then_some((page, damage))
        });
    });
    let (page, damage) = found?;
    // The program may have put a file's pages in its block's place: they stay when pages are given
    // back.
    let is_ours = alt_stack::run(|| pagemap::is_anonymous(page)).flatten() == Some(true);
    is_ours.then_some(damage)
}
