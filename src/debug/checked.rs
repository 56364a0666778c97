//! `CheckedHeap`: allocate, free, usable_size. The only place that calls heap, registry, block and
//! quarantine in their order.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::block::{self, Canaries, Head};
use super::deferred;
use super::mapped_blocks::{MappedBlock, MappedBlocks};
use super::quarantine::{Quarantine, Waiting};
use super::registry::{self, RegisteredPages, State};
use crate::arena::{Arenas, Ledger};
use crate::finding::{Block, Defect, Finding, Kind, Life, Operation};
use crate::heap::{Corrupt, Layout, Span, Tuning, Usage};
use crate::options::{self, Name};
use crate::own::{self, Region};
use crate::stack::capture;
use crate::stack::depot::{self, SiteId};
use crate::sys::lock::Lock;
use crate::sys::memory::{self, BrkPages};
use crate::sys::{process, thread};

/// Least and most bytes that wait in the quarantine; in between an eighth of what is live.
const LEAST_QUARANTINE: usize = 1 << 20;
/// Tries after smashed chunks were put out of use, before an allocation fails.
const TRIES: usize = 64;

/// What the program asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Bytes.
    pub size: usize,
    /// Alignment, a power of two.
    pub align: usize,
    /// The call.
    pub kind: Kind,
    /// Must the bytes be zero?
    pub zeroed: bool,
}

impl Request {
    /// `size` bytes by malloc.
    pub const fn malloc(size: usize) -> Self {
        Self { size, align: 16, kind: Kind::Malloc, zeroed: false }
    }
}

/// How the program gives a block back.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// The call.
    pub operation: Operation,
    /// The size it says the block has.
    pub size: Option<usize>,
    /// The alignment it says the block has.
    pub align: Option<usize>,
}

impl Release {
    /// By a call that says nothing of size or alignment.
    pub const fn by(operation: Operation) -> Self {
        Self { operation, size: None, align: None }
    }
}

/// A payload fresh from the heap.
struct Obtained {
    payload: NonNull<u8>,
    span: Option<Span>,
}

/// The program's heap with all its checks. One per process.
pub struct CheckedHeap {
    pub(super) arenas: Arenas<RegisteredPages<BrkPages>>,
    pub(super) quarantine: Lock<Quarantine>,
    pub(super) mapped: Lock<MappedBlocks>,
    key: AtomicU64,
    /// Live bytes as of the last count, for the quarantine's size; exact values are in the ledger.
    live: AtomicU64,
    /// Looks at everything under way: while there is one, no memory goes away.
    frozen: AtomicUsize,
    /// Do both ends of operator new and delete come to us?
    operators_are_ours: AtomicBool,
    on_finding: fn(&Finding),
}

impl CheckedHeap {
    /// An empty heap. `on_finding` gets every finding, with no lock held; it may not return.
    pub const fn new(on_finding: fn(&Finding)) -> Self {
        Self {
            arenas: Arenas::new(RegisteredPages(BrkPages::new())),
            quarantine: Lock::new(Quarantine::new()),
            mapped: Lock::new(MappedBlocks::new()),
            key: AtomicU64::new(0),
            live: AtomicU64::new(0),
            frozen: AtomicUsize::new(0),
            operators_are_ours: AtomicBool::new(true),
            on_finding,
        }
    }

    /// To be called once, before any other call and after the options are known.
    pub fn prepare(&self) {
        let key = process::random_key();
        self.key.store(key, Ordering::Relaxed);
        own::heap::prepare(key.rotate_left(17));
        own::emergency::prepare();
        // The tables for the heap's first MiB and the first thread's number: what the first
        // malloc then asks the system for is memory alone.
        if let Some(start) = memory::heap_start() {
            registry::cover(start, 1 << 20);
        }
        thread::number();
        self.arenas.for_each(|arena| {
            let heap = &mut arena.lock().heap;
            heap.set_key(key.rotate_left(41));
            heap.tuning = tuning();
        });
    }

    /// Says whether operator new and delete both come to us; if not, mismatches are not looked for.
    pub fn set_operators_are_ours(&self, ours: bool) {
        self.operators_are_ours.store(ours, Ordering::Relaxed);
    }

    /// Sets glibc's two tunables (mallopt); `None` leaves one as it is.
    pub fn tune(&self, mmap_threshold: Option<usize>, trim_threshold: Option<usize>) {
        self.arenas.for_each(|arena| {
            let tuning = &mut arena.lock().heap.tuning;
            tuning.dynamic = false;
            tuning.mmap_threshold = mmap_threshold.unwrap_or(tuning.mmap_threshold);
            tuning.trim_threshold = trim_threshold.unwrap_or(tuning.trim_threshold);
        });
    }

    /// A block, or null when there is no memory. Sizes are checked against the heap's limits only.
    pub fn allocate(&self, request: Request) -> *mut u8 {
        if thread::is_critical() {
            return self.allocate_apart(own::emergency::allocate, request);
        }
        if thread::is_in_tool() {
            return self.allocate_apart(own::heap::allocate, request);
        }
        self.do_deferred();
        self.allocate_at(request, capture::site())
    }

    /// A block from one of the private regions.
    fn allocate_apart(&self, from: fn(usize, usize) -> *mut u8, request: Request) -> *mut u8 {
        let block = from(request.size, request.align);
        if request.zeroed && !block.is_null() {
            // SAFETY: the block has that many bytes.
            unsafe { block.write_bytes(0, request.size) };
        }
        block
    }

    pub(super) fn allocate_at(&self, request: Request, site: SiteId) -> *mut u8 {
        let Some(layout) = self.plan(request.size, request.align) else {
            return core::ptr::null_mut();
        };
        let Some(obtained) = self.obtain(layout, request.size) else {
            return core::ptr::null_mut();
        };
        let user = obtained.payload.as_ptr() as usize + layout.lead;
        let head = Head {
            size: request.size,
            kind: request.kind,
            align: layout.align,
            mapped: obtained.span.is_some(),
            thread: thread::number(),
        };
        if self.is_guarded() {
            // SAFETY: the payload was planned for this head and is ours alone.
            unsafe { self.canaries().write(user, head) };
        }
        if let Some(span) = obtained.span
            && !self.list_mapped(user, head, span, site)
        {
            self.give_back(user);
            return core::ptr::null_mut();
        }
        // SAFETY: `size` bytes at `user` are in the payload; nobody else has the address yet.
        unsafe { self.fill_fresh(user as *mut u8, request, obtained.span.is_some()) };
        registry::set_live(user, site);
        user as *mut u8
    }

    /// Frees a block; whatever is wrong with the pointer or the block is a finding. Never changes
    /// errno.
    pub fn free(&self, pointer: *mut u8, release: Release) {
        let user = pointer as usize;
        if let Some(region) = own::region_of(user) {
            return self.free_apart(region, pointer, release);
        }
        if thread::is_critical() {
            return deferred::push(user, code_of(release.operation));
        }
        self.do_deferred();
        match registry::take(user, State::Quarantined) {
            Ok(site) => self.retire(user, site, release, capture::site()),
            Err(_) => self.refuse(user, release.operation),
        }
    }

    fn free_apart(&self, region: Region, pointer: *mut u8, release: Release) {
        match region {
            Region::Own if thread::is_critical() => {
                deferred::push(pointer as usize, code_of(release.operation));
            }
            // SAFETY: libc gives back what it got from us; an address in the range is trusted.
            Region::Own => unsafe { own::heap::release(pointer) },
            // SAFETY: as above.
            Region::Emergency => unsafe { own::emergency::release(pointer) },
            Region::Early => {}
        }
    }

    /// Does the frees that signal handlers left.
    pub(super) fn do_deferred(&self) {
        if deferred::is_waiting() && thread::is_outside() {
            deferred::drain(|pointer, code| {
                self.free(pointer as *mut u8, Release::by(operation_of(code)));
            });
        }
    }

    /// A taken block: verify, poison, let it wait.
    pub(super) fn retire(&self, user: usize, site: SiteId, release: Release, now: SiteId) {
        registry::set_free_site(user, now);
        let Some(head) = self.verify_taken(user, release.operation, now) else { return };
        self.check_release(user, site, head, release);
        match self.list_of(user, head) {
            Some(mapped) => self.seal(mapped, site, head, now),
            None => self.quarantine_block(user, head),
        }
        self.count_free(user, head.size);
    }

    /// Verifies a taken block. A damaged one is a finding; `None` if it cannot be used any further.
    pub(super) fn verify_taken(
        &self,
        user: usize,
        operation: Operation,
        now: SiteId,
    ) -> Option<Head> {
        if !self.is_guarded() {
            return self.bare_head(user, operation, now);
        }
        // SAFETY: the registry gave the block to us.
        match unsafe { self.canaries().verify(user) } {
            Ok(head) => Some(head),
            Err((head, damage)) => {
                self.blame(user, damage, operation, now);
                let head = head?;
                // SAFETY: the block is ours alone; its head is whole.
                unsafe { self.canaries().mend(user, head) };
                Some(head)
            }
        }
    }

    /// Without canaries the chunk word tells the size.
    fn bare_head(&self, user: usize, operation: Operation, now: SiteId) -> Option<Head> {
        let payload = NonNull::new(user as *mut u8)?;
        let books = self.arenas.of(user).lock();
        // SAFETY: the registry gave the block to us.
        let found = unsafe { books.heap.capacity(payload).and_then(|size| {
            books.heap.span_of(payload).map(|span| (size, span.is_some()))
        }) };
        drop(books);
        match found {
            Ok((size, mapped)) => {
                Some(Head { size, kind: Kind::Malloc, align: 16, mapped, thread: 0 })
            }
            Err(corrupt) => {
                self.blame_corruption(corrupt, operation, now);
                None
            }
        }
    }

    fn quarantine_block(&self, user: usize, head: Head) {
        let limit = self.quarantine_limit();
        if !self.is_frozen() && (!self.is_guarded() || head.size > limit / 2) {
            return self.evict_now(user);
        }
        let most = options::number(Name::MaxFreeFillSize);
        // SAFETY: the block was taken and is ours alone.
        unsafe { block::poison(user, head.size, most, self.free_byte()) };
        let waiting = Waiting { user, size: head.size, poison: most, thread: thread::number() };
        let kept = self.quarantine.lock().push(waiting);
        if self.is_frozen() {
            return;
        }
        self.evict_over(limit);
        if !kept {
            self.evict_now(user);
        }
    }

    /// Evicts the oldest blocks until at most `limit` bytes wait. Says whether any went.
    pub(super) fn evict_over(&self, limit: usize) -> bool {
        let mut any = false;
        loop {
            let Some(waiting) = self.quarantine.lock().pop_over(limit) else { return any };
            any = true;
            self.verify_waiting(waiting, Operation::Evict);
            self.evict_now(waiting.user);
        }
    }

    /// Is a block that waits as it was when it was freed?
    pub(super) fn is_untouched(&self, waiting: Waiting) -> bool {
        let Waiting { user, size, poison, .. } = waiting;
        // SAFETY: the block is in the quarantine: ours alone, poisoned with these arguments.
        unsafe {
            block::poison_damage(user, size, poison, self.free_byte()).is_none()
                && self.canaries().verify(user).is_ok()
        }
    }

    /// Verifies a block that waits: nobody may have written to it. Says whether that holds.
    pub(super) fn verify_waiting(&self, waiting: Waiting, operation: Operation) -> bool {
        let Waiting { user, size, poison, .. } = waiting;
        // SAFETY: the block is in the quarantine: ours alone, poisoned with these arguments.
        let damage = unsafe { block::poison_damage(user, size, poison, self.free_byte()) };
        let Some(damage) = damage else {
            // SAFETY: as above.
            return match unsafe { self.canaries().verify(user) } {
                Ok(_) => true,
                Err((_, damage)) => {
                    self.blame(user, damage, operation, SiteId::NONE);
                    false
                }
            };
        };
        let mut block = self.describe(user);
        block.free_thread = Some(waiting.thread);
        block.size = Some(size);
        let now = self.operation_site(operation);
        self.deliver(&Finding {
            block: Some(block),
            damage: Some(damage),
            ..Finding::new(Defect::WriteAfterFree, operation, user, now)
        });
        // SAFETY: as above; made whole so that it is reported once.
        unsafe { block::poison(user, size, poison, self.free_byte()) };
        false
    }

    /// Gives a freed block's chunk back to the heap.
    fn evict_now(&self, user: usize) {
        let site = registry::word(user).map_or(SiteId::NONE, registry::Word::site);
        registry::set(user, State::Evicted, site);
        self.give_back(user);
    }

    /// Gives the chunk under `user` back to the heap.
    fn give_back(&self, user: usize) {
        let Some(payload) = NonNull::new((user - self.lead()) as *mut u8) else { return };
        // SAFETY: the payload came from this arena and no block is in it any more.
        let released = unsafe { self.arenas.of(user).lock().heap.release(payload) };
        if let Err(corrupt) = released {
            self.blame_corruption(corrupt, Operation::Free, capture::full_site());
        }
    }

    /// Lists a mapped block where it can be found by any address inside it.
    pub(super) fn list_mapped(&self, user: usize, head: Head, span: Span, site: SiteId) -> bool {
        let block = Block { site, ..block::facts(user, head) };
        registry::cover(user - block::LEAD, 2 * block::LEAD)
            && self.mapped.lock().insert(MappedBlock { span, block })
    }

    pub(super) fn list_of(&self, user: usize, head: Head) -> Option<MappedBlock> {
        if head.mapped { self.mapped.lock().get(user) } else { None }
    }

    /// Drops a freed mapping's pages but keeps its addresses for a while: every use of it faults.
    fn seal(&self, mapped: MappedBlock, site: SiteId, head: Head, now: SiteId) {
        let Some(payload) = NonNull::new((mapped.block.user - self.lead()) as *mut u8) else {
            return;
        };
        let retired = {
            let heap = &mut self.arenas.of(mapped.block.user).lock().heap;
            // SAFETY: the block is ours and mapped.
            let span = unsafe { heap.span_of(payload) };
            span.map(|_| heap.retire(mapped.span))
        };
        if let Err(corrupt) = retired {
            return self.blame_corruption(corrupt, Operation::Free, now);
        }
        {
            let mut list = self.mapped.lock();
            if self.is_frozen() {
                return;
            }
            // SAFETY: the mapping is retired and nobody uses it.
            if self.is_guarded() && unsafe { memory::seal(mapped.span.start, mapped.span.len) } {
                list.seal(Block {
                    life: Life::Freed,
                    site,
                    free_site: now,
                    free_thread: Some(thread::number()),
                    ..block::facts(mapped.block.user, head)
                });
            } else {
                list.remove(mapped.block.user);
                self.unmap(mapped);
            }
        }
        self.unmap_over_budget(false);
    }

    /// Unmaps the oldest sealed blocks beyond the budget, or all. Says whether any went.
    pub(super) fn unmap_over_budget(&self, all: bool) -> bool {
        let mut any = false;
        loop {
            let mut list = self.mapped.lock();
            let oldest = if self.is_frozen() { None } else { list.over_budget(all) };
            let Some(mapped) = oldest else { return any };
            self.unmap(mapped);
            any = true;
        }
    }

    /// Unmaps a retired mapping that is listed no more. The list's lock is held.
    fn unmap(&self, mapped: MappedBlock) {
        let user = mapped.block.user;
        registry::set(user, State::Evicted, mapped.block.site);
        // SAFETY: nobody uses the mapping, by the caller's word.
        unsafe { self.arenas.of(user).lock().heap.unmap(mapped.span) };
    }

    /// A payload from the heap. Before there is none, what waits in the quarantine goes.
    fn obtain(&self, layout: Layout, size: usize) -> Option<Obtained> {
        let mut emptied = false;
        for _ in 0..TRIES {
            match self.try_obtain(layout, size) {
                Ok(Some(obtained)) => return Some(obtained),
                Ok(None) if emptied => return None,
                Ok(None) => {
                    emptied = true;
                    self.evict_over(0);
                    self.unmap_over_budget(true);
                }
                Err(corrupt) => {
                    let now = capture::full_site();
                    self.blame_corruption(corrupt, Operation::Allocate, now);
                }
            }
        }
        None
    }

    fn try_obtain(&self, layout: Layout, size: usize) -> Result<Option<Obtained>, Corrupt> {
        let mut books = self.arenas.mine().lock();
        let Some(payload) = books.heap.allocate(layout)? else { return Ok(None) };
        // SAFETY: the payload is fresh.
        let span = unsafe { books.heap.span_of(payload)? };
        books.ledger.count_allocation(size);
        self.live.store(books.ledger.live, Ordering::Relaxed);
        Ok(Some(Obtained { payload, span }))
    }

    /// # Safety
    /// `request.size` bytes at `user` are fresh and ours.
    unsafe fn fill_fresh(&self, user: *mut u8, request: Request, mapped: bool) {
        let Request { size, zeroed, .. } = request;
        // SAFETY: all within `size` bytes.
        unsafe {
            if zeroed {
                if !mapped {
                    user.write_bytes(0, size);
                }
            } else if self.is_guarded() {
                let most = options::number(Name::MaxMallocFillSize);
                let byte = options::number(Name::MallocFillByte) as u8;
                user.write_bytes(byte, size.min(most));
            }
        }
    }

    pub(super) fn count_free(&self, user: usize, size: usize) {
        let mut books = self.arenas.of(user).lock();
        books.ledger.count_free(size);
        self.live.store(books.ledger.live, Ordering::Relaxed);
    }

    /// Bytes the program may use at `pointer`: exactly what it asked for. 0 for NULL, and after a
    /// finding.
    pub fn usable_size(&self, pointer: *mut u8) -> usize {
        let user = pointer as usize;
        if user == 0 {
            return 0;
        }
        if let Some(region) = own::region_of(user) {
            // SAFETY: the address is in that region.
            return unsafe { own::size_of_block(region, pointer) };
        }
        match registry::word(user).filter(|_| user.is_multiple_of(16)).map(registry::Word::state) {
            Some(State::Live | State::Busy) => self.size_of(user),
            _ => {
                self.refuse(user, Operation::UsableSize);
                0
            }
        }
    }

    pub(super) fn size_of(&self, user: usize) -> usize {
        if self.is_guarded() {
            // SAFETY: the registry says that a block is live there.
            return unsafe { self.canaries().read_head(user) }.map_or(0, |head| head.size);
        }
        let Some(payload) = NonNull::new(user as *mut u8) else { return 0 };
        // SAFETY: as above.
        unsafe { self.arenas.of(user).lock().heap.capacity(payload) }.unwrap_or(0)
    }

    /// Gives free memory back to the system (malloc_trim): what waits goes, too. Says whether any
    /// went.
    pub fn trim(&self, keep: usize) -> bool {
        self.evict_over(0);
        let mut any = self.unmap_over_budget(true);
        self.arenas.for_each(|arena| any |= arena.lock().heap.trim(keep));
        any
    }

    /// The counts over all arenas.
    pub fn totals(&self) -> (Ledger, Usage) {
        let mut totals = (Ledger::default(), Usage::default());
        self.arenas.for_each(|arena| {
            let books = arena.lock();
            totals = (books.ledger, books.heap.usage());
        });
        totals
    }

    /// Takes all locks of the malloc path in their order, before fork. The result goes to
    /// [`CheckedHeap::release_after_fork`].
    pub fn hold_over_fork(&self) -> [bool; 5] {
        [
            self.quarantine.hold_over_fork(),
            self.mapped.hold_over_fork(),
            self.arenas.hold_over_fork(),
            depot::hold_over_fork(),
            own::heap::hold_over_fork(),
        ]
    }

    /// Gives them back, in the parent and in the child.
    ///
    /// # Safety
    /// `held` is what `hold_over_fork` returned to this thread.
    pub unsafe fn release_after_fork(&self, held: [bool; 5]) {
        let [quarantine, mapped, arenas, depot, own] = held;
        // SAFETY: each lock is given back only if it was taken, by the caller's word.
        unsafe {
            if own {
                own::heap::release_after_fork();
            }
            if depot {
                depot::release_after_fork();
            }
            if arenas {
                self.arenas.release_after_fork();
            }
            if mapped {
                self.mapped.release_after_fork();
            }
            if quarantine {
                self.quarantine.release_after_fork();
            }
        }
    }

    /// From here on no memory goes away under a reader's hands: nothing is unmapped, trimmed or
    /// evicted. For good at exit; else until [`CheckedHeap::thaw`].
    pub fn freeze(&self) {
        // Mappings only go away under this lock, and only when nothing is frozen.
        let _mapped = self.mapped.lock();
        self.frozen.fetch_add(1, Ordering::SeqCst);
        self.arenas.for_each(|arena| arena.lock().heap.tuning.may_trim = false);
    }

    /// Ends one [`CheckedHeap::freeze`].
    pub fn thaw(&self) {
        if self.frozen.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.arenas.for_each(|arena| arena.lock().heap.tuning.may_trim = true);
        }
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed) != 0
    }

    pub(super) fn is_guarded(&self) -> bool {
        options::number(Name::Checks) == 0
    }

    pub(super) fn operators_are_ours(&self) -> bool {
        self.operators_are_ours.load(Ordering::Relaxed)
    }

    pub(super) fn canaries(&self) -> Canaries {
        Canaries { key: self.key.load(Ordering::Relaxed) }
    }

    fn free_byte(&self) -> u8 {
        options::number(Name::FreeFillByte) as u8
    }

    pub(super) fn lead(&self) -> usize {
        if self.is_guarded() { block::LEAD } else { 0 }
    }

    pub(super) fn plan(&self, size: usize, align: usize) -> Option<Layout> {
        if self.is_guarded() {
            return block::plan(size, align);
        }
        Some(Layout { size, align: align.max(16), lead: 0 })
    }

    fn quarantine_limit(&self) -> usize {
        let most = options::number(Name::QuarantineSizeMb) << 20;
        let eighth = self.live.load(Ordering::Relaxed) as usize / 8;
        eighth.max(LEAST_QUARANTINE).min(most)
    }

    /// The stack of a finding that the program's current call is to blame for; an eviction and the
    /// sweep at exit only happen to find it.
    pub(super) fn operation_site(&self, operation: Operation) -> SiteId {
        match operation {
            Operation::Exit => SiteId::NONE,
            _ => capture::full_site(),
        }
    }

    /// Hands a finding on. No lock of ours is held.
    pub(super) fn deliver(&self, finding: &Finding) {
        let _work = thread::ToolWork::begin();
        (self.on_finding)(finding);
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

/// The part of a release that a deferred free keeps.
fn code_of(operation: Operation) -> usize {
    match operation {
        Operation::Delete(kind) => 1 + kind as usize,
        _ => 0,
    }
}

fn operation_of(code: usize) -> Operation {
    match code {
        0 => Operation::Free,
        code => Operation::Delete(Kind::from_code((code - 1) as u8)),
    }
}
