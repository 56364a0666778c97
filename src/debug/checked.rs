//! `CheckedHeap`: allocate, free, usable_size. The only place that calls heap, registry, block and
//! quarantine in their order.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::block::{self, Canaries, Head};
use super::deferred;
use super::mapped_blocks::MappedBlocks;
use super::quarantine::Quarantine;
use super::registry::{self, RegisteredPages, State};
use crate::arena::Arenas;
use crate::finding::{Finding, Kind, Operation};
use crate::heap::{Corrupt, Layout, Span, Tuning};
use crate::options::{self, Name};
use crate::own::{self, Region};
use crate::stack::capture;
use crate::stack::depot::SiteId;
use crate::sys::lock::Lock;
use crate::sys::memory::{self, BrkPages};
use crate::sys::{apart, process, thread};

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
    pub(super) key: AtomicU64,
    /// Live bytes as of the last count, for the quarantine's size; exact values are in the ledger.
    pub(super) live: AtomicU64,
    /// Looks at everything under way: while there is one, no memory goes away.
    pub(super) frozen: AtomicUsize,
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
            self.count_free(user, request.size);
            return core::ptr::null_mut();
        }
        // SAFETY: `size` bytes at `user` are in the payload; nobody else has the address yet.
        unsafe { self.fill_fresh(user as *mut u8, request, obtained.span.is_some()) };
        registry::set_live(user, site);
        user as *mut u8
    }

    /// Frees the block at `user`, any value at all: whatever is wrong with it or the block is a
    /// finding. Never changes errno.
    pub fn free(&self, user: usize, release: Release) {
        if !thread::is_critical() {
            self.do_deferred();
        }
        self.free_now(user, release);
    }

    fn free_now(&self, user: usize, release: Release) {
        if let Some(region) = own::region_of(user) {
            return self.free_apart(region, user, release);
        }
        if thread::is_critical() {
            return deferred::push(user, code_of(release.operation));
        }
        match registry::take(user, State::Quarantined) {
            Ok(site) => self.retire(user, site, release, capture::site()),
            Err(_) => self.refuse(user, release.operation),
        }
    }

    fn free_apart(&self, region: Region, user: usize, release: Release) {
        let block = user as *mut u8;
        match region {
            Region::Own if thread::is_critical() => {
                deferred::push(user, code_of(release.operation));
            }
            // SAFETY: libc gives back what it got from us; an address in the range is trusted.
            Region::Own => unsafe { own::heap::release(block) },
            // SAFETY: as above.
            Region::Emergency => unsafe { own::emergency::release(block) },
            Region::Early => {}
        }
    }

    /// Does the frees that signal handlers left.
    pub(super) fn do_deferred(&self) {
        if deferred::is_waiting() && thread::is_outside() {
            deferred::drain(|pointer, code| {
                self.free_now(pointer, Release::by(operation_of(code)));
            });
        }
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

    /// Bytes the program may use at `user`: exactly what it asked for. 0 for NULL, and after a
    /// finding.
    pub fn usable_size(&self, user: usize) -> usize {
        if user == 0 {
            return 0;
        }
        if let Some(region) = own::region_of(user) {
            let locked_out = region == Region::Own && thread::is_critical();
            return if locked_out { 0 } else { own::size_of_block(region, user as *mut u8) };
        }
        match registry::word(user).filter(|_| user.is_multiple_of(16)).map(registry::Word::state) {
            Some(State::Live | State::Busy) => self.size_of(user),
            // A handler that interrupted one of our locks gets no answer, and no report.
            _ if thread::is_critical() => 0,
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
        unsafe { self.arenas.of(user).peek().capacity(payload) }.unwrap_or(0)
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

    pub(super) fn free_byte(&self) -> u8 {
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
        apart::run(|| (self.on_finding)(finding));
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
