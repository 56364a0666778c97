//! `CheckedHeap`: allocate, free, usable_size. The only place that calls heap, shadow memory, block
//! and quarantine in their order.

use crate::checks::Release;
use crate::checks::Request;
use crate::checks::freeze::Freeze;
use crate::checks::quarantine_share::QuarantineShare;
use crate::sys::thread_number;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::arch;
use crate::arena::size_class::Class;
use crate::arena::{Arenas, Owner};
use crate::checks::fill::Fill;
use crate::checks::guard;
use crate::checks::guard::guards::Guards;
use crate::checks::guard::policy;
use crate::checks::layout;
use crate::checks::layout::{BlockHeader, Canaries};
use crate::checks::poison;
use crate::checks::program_pages::ProgramPages;
use crate::checks::quarantine::Quarantine;
use crate::checks::trailing_word;
use crate::heap::{Layout, Tuning};
use crate::model::finding::{Finding, Operation};
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::own::{self, Region};
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::shadow::mapped_blocks::MappedBlocks;
use crate::shadow::shadowed_pages::ShadowedPages;
use crate::stack::capture;
use crate::sys::lock::Lock;
use crate::sys::{alt_stack, brk, huge_pages, process, single_threaded, thread};

/// What is true of a payload fresh from a heap.
#[derive(Clone, Copy)]
pub(crate) struct Fresh {
    /// Its class; `None` for one that is not cached.
    pub(crate) class: Option<Class>,
    /// Has it a mapping of its own?
    pub(crate) mapped: bool,
    /// Does it read as zero?
    pub(crate) is_zero: bool,
}

/// Where the heaps of the program's arenas get their memory.
pub(crate) type Pages = ShadowedPages<ProgramPages>;

/// The program's heap with all its checks. One per process.
pub struct CheckedHeap {
    arenas: Arenas<Pages, Quarantine>,
    mapped: Lock<MappedBlocks>,
    key: AtomicU64,
    quarantine_share: QuarantineShare,
    freeze: Freeze,
    /// Do both ends of operator new and delete come to us?
    operators_are_ours: AtomicBool,
    guards: Guards,
    on_finding: fn(&Finding),
}

impl CheckedHeap {
    /// An empty heap. `on_finding` gets every finding, with no lock held; it may not return.
    pub const fn new(on_finding: fn(&Finding)) -> Self {
        let pages = ShadowedPages { arena: 0, pages: ProgramPages::main() };
        Self {
            arenas: Arenas::new(pages, Quarantine::new()),
            mapped: Lock::new(MappedBlocks::new()),
            key: AtomicU64::new(0),
            quarantine_share: QuarantineShare::new(),
            freeze: Freeze::new(),
            operators_are_ours: AtomicBool::new(true),
            guards: Guards::new(),
            on_finding,
        }
    }

    /// The arenas of all threads.
    #[inline(always)]
    pub(super) const fn arenas(&self) -> &Arenas<Pages, Quarantine> {
        &self.arenas
    }

    /// Blocks with a mapping of their own.
    #[inline(always)]
    pub(super) const fn mapped(&self) -> &Lock<MappedBlocks> {
        &self.mapped
    }

    /// Blocks between guard pages.
    #[inline(always)]
    pub(super) const fn guards(&self) -> &Guards {
        &self.guards
    }

    /// Most bytes in the quarantine of each thread.
    #[inline(always)]
    pub(super) const fn quarantine_share(&self) -> &QuarantineShare {
        &self.quarantine_share
    }

    /// Whether somebody looks at everything.
    pub(super) const fn freeze_count(&self) -> &Freeze {
        &self.freeze
    }

    /// To be called once, before any other call and after the options are known.
    pub fn prepare(&self) {
        let key = process::random_key();
        self.key.store(key, Ordering::Relaxed);
        own::heap::prepare(key.rotate_left(17));
        own::emergency::prepare();
        // The tables for the heap's first MiB and the first thread's number: what the first
        // malloc then asks the system for is memory alone.
        if let Some(start) = brk::heap_start() {
            block_table::cover_for(0, start, 1 << 20);
        }
        thread_number::number();
        huge_pages::set_wanted(options::flag(Name::HugePages));
        self.arenas.prepare(trailing_word::heap_key(key), tuning());
        policy::prepare();
    }

    /// Says whether operator new and delete both come to us; if not, mismatches are not looked for.
    pub fn set_operators_are_ours(&self, ours: bool) {
        self.operators_are_ours.store(ours, Ordering::Relaxed);
    }

    /// A block, or null when there is no memory. Sizes are checked against the heap's limits only.
    #[inline]
    pub fn allocate(&self, request: Request) -> *mut u8 {
        if !thread::is_outside() {
            return self.allocate_inside(request);
        }
        self.do_deferred();
        self.allocate_at(request, capture::site_from_here())
    }

    /// A block for a signal handler that interrupted us, or for the tool itself.
    #[cold]
    fn allocate_inside(&self, request: Request) -> *mut u8 {
        let block = if thread::is_critical() {
            own::emergency::allocate(request.size, request.align)
        } else {
            own::heap::allocate(request.size, request.align)
        };
        if request.zeroed && !block.is_null() {
            // SAFETY: the block has that many bytes.
            unsafe { block.write_bytes(0, request.size) };
        }
        block
    }

    #[inline]
    pub(crate) fn allocate_at(&self, request: Request, site: ProcessSite) -> *mut u8 {
        let Some(layout) = self.plan(request.size, request.align) else {
            return core::ptr::null_mut();
        };
        let ordinal = capture::next_number(site);
        if policy::is_sampled(ordinal)
            && policy::is_size_chosen(request.size)
            && let Some(block) = self.allocate_guarded_slowly(request, site, ordinal)
        {
            arch::wipe_below(guard::FRAMES);
            return block.as_ptr();
        }
        if let Some(class) = Class::of(layout)
            && let Some(mut owner) = self.owner()
            && let Some(payload) = owner.pop(class)
        {
            // SAFETY: the payload is fresh, of that class, and was planned for the request.
            return unsafe { self.init_cached_block(owner, payload, class, request, site) };
        }
        self.allocate_slowly(request, layout, site)
    }

    /// Counts and hands out a payload from the thread's cache.
    ///
    /// # Safety
    /// The payload is fresh, of that class, and was planned for the request.
    #[inline]
    pub(crate) unsafe fn init_cached_block(
        &self,
        owner: Owner<'_, Pages, Quarantine>,
        payload: NonNull<u8>,
        class: Class,
        request: Request,
        site: ProcessSite,
    ) -> *mut u8 {
        let counted = if self.is_checked() { request.size } else { class.capacity() };
        owner.arena().stats().count_allocation(counted);
        drop(owner);
        let fresh = Fresh { class: Some(class), mapped: false, is_zero: false };
        // SAFETY: the caller of this function promises the same.
        unsafe { self.init_block(payload.as_ptr() as usize + self.lead(), request, fresh, site) }
    }

    /// Writes a fresh block and declares it live.
    ///
    /// # Safety
    /// The payload under `user` was planned for the request and is the caller's alone; `fresh` is
    /// true of it.
    #[inline]
    pub(crate) unsafe fn init_block(
        &self,
        user: usize,
        request: Request,
        fresh: Fresh,
        site: ProcessSite,
    ) -> *mut u8 {
        let block = user as *mut u8;
        // SAFETY: `size` bytes at `user` and a tail behind are in the payload; nobody else has the
        // address.
        unsafe { self.fill_fresh(block, request, fresh.is_zero) };
        if self.is_checked() {
            let Request { size, kind, align, .. } = request;
            let (thread, exempt) = (thread_number::number(), thread::is_blind());
            let mapped = fresh.mapped;
            let align = layout::noted_align(kind, align);
            let head = BlockHeader { size, kind, align, mapped, thread, exempt };
            // SAFETY: the payload was planned for this head and is ours alone.
            unsafe {
                self.canaries().write(user, head);
                if !mapped {
                    self.canaries().write_behind(user, size, fresh.class);
                }
            }
            thread::enter_critical();
            capture::count_block(site, size);
            thread::leave_critical();
        }
        block_table::set_live(user, fresh.class, site);
        block
    }

    /// Frees the block at `user`, any value at all: whatever is wrong with it or the block is a
    /// finding. Never changes errno.
    #[inline]
    pub fn free(&self, user: usize, release: &Release) {
        if thread::is_critical() {
            return self.free_inside(user, release);
        }
        self.do_deferred();
        self.free_now(user, release);
    }

    #[inline]
    pub(crate) fn free_now(&self, user: usize, release: &Release) {
        let guarded = self.is_checked();
        let into = if guarded { BlockState::Busy } else { BlockState::Evicted };
        match block_table::take(user, into, single_threaded::is_single()) {
            Ok(taken) if guarded => {
                self.release_taken(user, taken, release, capture::free_site_from_here(user));
            }
            Ok(taken) => match (taken.class, taken.arena()) {
                (Some(class), Some(from)) => {
                    block_table::set_free_site(user, capture::free_site_from_here(user));
                    self.put(user, class, from, Some(class.capacity()));
                }
                _ => self.release_large(user, taken, release),
            },
            Err(_) => self.free_apart(user, release),
        }
    }

    /// No block of the heap: one of the private ranges', or nobody's.
    #[cold]
    pub(super) fn free_apart(&self, user: usize, release: &Release) {
        let block = user as *mut u8;
        match own::region_of(user) {
            // SAFETY: libc gives back what it got from us; an address in the range is trusted.
            Some(Region::Own) => unsafe { own::heap::release(block) },
            // SAFETY: the address is in the emergency region, which takes any of its addresses.
            Some(Region::Emergency) => unsafe { own::emergency::release(block) },
            Some(Region::Early) => {}
            None if self.free_guarded(user, release, capture::free_site_from_here(user)) => {}
            None => self.refuse(user, release.operation),
        }
    }

    /// Fills a block whose canaries are not written yet.
    ///
    /// # Safety
    /// `request.size` bytes at `user` are fresh and ours, up to a multiple of 16; `is_zero` says
    /// whether they are zero.
    #[inline]
    unsafe fn fill_fresh(&self, user: *mut u8, request: Request, is_zero: bool) {
        let Request { size, zeroed, .. } = request;
        // SAFETY: all within `size` bytes.
        unsafe {
            if zeroed {
                if !is_zero {
                    user.write_bytes(0, size);
                }
            } else if self.is_checked() {
                let most = options::number(Name::MaxMallocFillSize);
                let fill = Fill::of_new(self.canaries(), user as usize);
                poison::fill(user as usize, size.min(most), fill);
            }
        }
    }

    #[inline]
    pub(crate) fn is_frozen(&self) -> bool {
        self.freeze.is_on()
    }

    /// Are blocks checked? Fixed before the first one is made.
    #[inline(always)]
    pub fn is_checked(&self) -> bool {
        options::number(Name::Checks) == 0
    }

    pub(crate) fn operators_are_ours(&self) -> bool {
        self.operators_are_ours.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn canaries(&self) -> Canaries {
        Canaries { key: self.key.load(Ordering::Relaxed) }
    }

    #[inline]
    pub(crate) fn lead(&self) -> usize {
        if self.is_checked() { layout::LEAD } else { 0 }
    }

    #[inline]
    pub(crate) fn plan(&self, size: usize, align: usize) -> Option<Layout> {
        if self.is_checked() {
            return layout::plan(size, align);
        }
        Some(Layout { size, align: align.max(16), lead: 0 })
    }

    /// The stack of a finding that the program's current call is to blame for; an eviction and the
    /// sweep at exit only happen to find it.
    pub(crate) fn operation_site(&self, operation: Operation) -> ProcessSite {
        match operation {
            Operation::Exit => ProcessSite::NONE,
            _ => capture::full_site(),
        }
    }

    /// Hands a finding on. No lock of ours is held.
    pub(crate) fn deliver(&self, finding: &Finding) {
        alt_stack::run(|| (self.on_finding)(finding));
    }
}

fn tuning() -> Tuning {
    let fixed = |name| Some(options::number(name)).filter(|&value| value != 0);
    let (mmap, trim) = (fixed(Name::MmapThreshold), fixed(Name::TrimThreshold));
    Tuning {
        mmap_threshold: mmap.unwrap_or(Tuning::DEFAULT.mmap_threshold),
        trim_threshold: trim.unwrap_or(Tuning::DEFAULT.trim_threshold),
        dynamic: mmap.is_none() && trim.is_none(),
        ..Tuning::DEFAULT
    }
}
