//! The checked heap of the process, and a model of what a script has in it.

use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use mallocop::debug::{CheckedHeap, Release, Request};
use mallocop::finding::{Defect, Finding, Kind, Operation};
use mallocop::options;
use mallocop::stack::capture::Caller;
use mallocop::sys::thread;

use crate::tally::Tally;

/// Most live blocks.
const MAX_LIVE: usize = 400;
/// Freed blocks up to this wait in the quarantine.
const MAX_WAITING: usize = 4096;

/// The heap.
pub(crate) static HEAP: CheckedHeap = CheckedHeap::new(on_finding);
static FOUND: Mutex<Vec<Finding>> = Mutex::new(Vec::new());
/// Who plays a script has the heap's findings to itself.
static PLAYING: Mutex<()> = Mutex::new(());

fn on_finding(finding: &Finding) {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).push(*finding);
}

fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        options::apply("malloc_context_size=0", |why| panic!("{why}"));
        HEAP.prepare();
    });
}

pub(crate) struct Block {
    pub(crate) user: usize,
    pub(crate) size: usize,
    align: usize,
    kind: Kind,
    seed: u8,
}

/// All kinds.
pub(crate) const KINDS: [Kind; 7] = [
    Kind::Malloc,
    Kind::Memalign,
    Kind::New,
    Kind::NewArray,
    Kind::AlignedNew,
    Kind::AlignedNewArray,
    Kind::Rust,
];

/// Without stacks nobody looks at it.
const NO_CALLER: Caller = Caller { sp: 0, fp: 0 };

/// Who plays a script.
pub(crate) struct Player {
    pub(crate) live: Vec<Block>,
    seed: u8,
    pub(crate) tally: Tally,
    /// Nobody else does meanwhile.
    _alone: MutexGuard<'static, ()>,
}

impl Player {
    /// With nothing so far.
    pub(crate) fn begin() -> Self {
        prepare();
        let _alone = PLAYING.lock().unwrap_or_else(PoisonError::into_inner);
        Self { live: Vec::new(), seed: 0, tally: Tally::default(), _alone }
    }

    /// Frees all that is left, and looks at everything once more.
    pub(crate) fn end(mut self) -> Tally {
        while let Some(block) = self.live.len().checked_sub(1) {
            self.free(block);
        }
        self.look(&[]);
        self.tally
    }

    /// # Panics
    /// If what was found since is not exactly this: a defect and a block each.
    pub(crate) fn demand(&self, wanted: &[(Defect, usize)]) {
        let found: Vec<_> = {
            let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *found)
        };
        let found: Vec<_> =
            found.iter().map(|f| (f.defect, f.block.map_or(0, |block| block.user))).collect();
        assert_eq!(found, wanted);
    }

    pub(crate) fn allocate(&mut self, size: usize, align: usize, zeroed: bool) {
        self.allocate_as(Kind::Malloc, size, align, zeroed);
    }

    pub(crate) fn allocate_as(&mut self, kind: Kind, size: usize, align: usize, zeroed: bool) {
        if self.live.len() < MAX_LIVE {
            let request = Request { size, align, kind, zeroed };
            self.add(HEAP.allocate(request) as usize, request);
        }
    }

    /// Takes a fresh block over.
    pub(crate) fn add(&mut self, user: usize, request: Request) {
        let Request { size, align, kind, zeroed } = request;
        assert!(user != 0 && user.is_multiple_of(align), "{user:#x} of {size} bytes");
        let apart = |other: &Block| user + size <= other.user || other.user + other.size <= user;
        assert!(self.live.iter().all(apart), "{user:#x} overlaps a live block");
        self.seed = self.seed.wrapping_add(37);
        let block = Block { user, size, align, kind, seed: self.seed };
        if zeroed {
            assert!(block.bytes().iter().all(|&byte| byte == 0), "calloc's block is not zero");
        }
        block.fill();
        self.live.push(block);
        self.tally.count("allocated");
    }

    pub(crate) fn allocate_quickly(&mut self, size: usize, zeroed: bool) {
        if self.live.len() == MAX_LIVE {
            return;
        }
        let request = Request { zeroed, ..Request::malloc(size) };
        // SAFETY: without stacks nobody looks at the registers.
        match unsafe { HEAP.allocate_quickly(request, NO_CALLER) } {
            Some(block) => self.add(block.as_ptr() as usize, request),
            None => self.allocate(size, 16, zeroed),
        }
    }

    pub(crate) fn take(&mut self, at: usize) -> Block {
        let block = self.live.swap_remove(at);
        block.verify(block.user, block.size);
        block
    }

    pub(crate) fn free(&mut self, at: usize) {
        let block = self.take(at);
        HEAP.free(block.user, &block.release());
        self.demand(&[]);
        self.tally.count("freed");
    }

    pub(crate) fn free_quickly(&mut self, at: usize) {
        let block = self.take(at);
        let release = block.release();
        // SAFETY: without stacks nobody looks at the registers.
        if !unsafe { HEAP.free_quickly(block.user, &release, NO_CALLER) } {
            HEAP.free(block.user, &release);
        }
        self.demand(&[]);
        self.tally.count("freed quickly");
    }

    pub(crate) fn free_wrongly(&mut self, at: usize) {
        // Of C++'s calls it depends on the modules of the process whether they are judged.
        let operation = match self.live[at].kind {
            Kind::Malloc | Kind::Memalign => Operation::Dealloc,
            Kind::Rust => Operation::Free,
            _ => return,
        };
        let block = self.take(at);
        HEAP.free(block.user, &Release::by(operation));
        self.demand(&[(Defect::Mismatch, block.user)]);
        self.tally.count("freed by the wrong call");
    }

    /// By Rust's dealloc or realloc with another Layout.
    pub(crate) fn tell_wrong_layout(&mut self, at: usize, by: usize, align: bool) {
        if self.live[at].kind != Kind::Rust {
            return;
        }
        let block = self.take(at);
        let (size, align) = match align {
            true => (block.size, block.align * 2),
            false => (block.size + by, block.align),
        };
        let release = Release::sized(Operation::Dealloc, Some(size), Some(align));
        HEAP.free(block.user, &release);
        self.demand(&[(Defect::LayoutMismatch { size, align }, block.user)]);
        self.tally.count("told a wrong layout");
    }

    /// What a handler does that came while the heap was at work: its blocks come from elsewhere, and frees are done later.
    pub(crate) fn in_handler(&mut self, at: usize, size: usize) {
        let block = self.take(at);
        thread::enter_critical();
        let other = HEAP.allocate(Request { zeroed: true, ..Request::malloc(size) }) as usize;
        HEAP.free(block.user, &block.release());
        let release = Release::by(Operation::Realloc);
        let grown = HEAP.resize(other, Request::malloc(size + 50), &release) as usize;
        thread::leave_critical();
        if grown != 0 {
            HEAP.free(grown, &Release::by(Operation::Free));
        }
        self.demand(&[]);
        self.tally.count("in handlers");
    }

    /// A thread that allocates, frees what another one has, and ends.
    pub(crate) fn on_thread(&mut self, size: usize, count: u8) {
        let handed = self.live.len().checked_sub(1).map(|at| self.take(at));
        let mut made = std::thread::scope(|scope| {
            let work = || {
                let fresh = |_| {
                    let request = Request::malloc(size);
                    // SAFETY: without stacks nobody looks at the registers.
                    let quickly = unsafe { HEAP.allocate_quickly(request, NO_CALLER) };
                    quickly.map_or_else(|| HEAP.allocate(request) as usize, |b| b.as_ptr() as usize)
                };
                let made: Vec<usize> = (0..count % 32).map(fresh).collect();
                if let Some(block) = &handed {
                    HEAP.free(block.user, &block.release());
                }
                HEAP.end_thread();
                made
            };
            scope.spawn(work).join().expect("no panic")
        });
        let kept = MAX_LIVE - self.live.len();
        for user in made.drain(kept.min(made.len())..) {
            HEAP.free(user, &Release::by(Operation::Free));
        }
        for user in made {
            self.add(user, Request::malloc(size));
        }
        self.tally.count("on threads");
    }

    /// What the leak check asks.
    pub(crate) fn survey(&mut self, at: usize) {
        let Block { user, size, .. } = self.live[at];
        assert_eq!((HEAP.extent(user), HEAP.facts(user).size), (size, size));
        let mut around = 0;
        HEAP.for_each_stretch(|start, end| around += usize::from(start <= user && user < end));
        HEAP.for_each_mapped(|start, end, _| around += usize::from(start <= user && user < end));
        assert_eq!(around, 1, "{user:#x}");
        let blocks: u64 = HEAP.in_use_by_site().iter().map(|(_, totals)| totals.blocks).sum();
        assert!(blocks >= self.live.len() as u64);
        self.tally.count("surveyed");
    }

    pub(crate) fn resize_quickly(&mut self, at: usize, size: usize) {
        let Block { user, kind, .. } = self.live[at];
        if kind != Kind::Malloc {
            return;
        }
        let release = Release::by(Operation::Realloc);
        // SAFETY: without stacks nobody looks at the registers.
        let moved = unsafe { HEAP.move_quickly(user, Request::malloc(size), &release, NO_CALLER) };
        match moved {
            Some(new) => {
                let old = self.live.swap_remove(at);
                old.verify(new.as_ptr() as usize, old.size.min(size));
                self.add(new.as_ptr() as usize, Request::malloc(size));
                self.tally.count("moved quickly");
            }
            None => self.resize(at, size),
        }
    }

    pub(crate) fn free_sized(&mut self, at: usize, wrong_by: usize) {
        if !matches!(self.live[at].kind, Kind::Malloc | Kind::Memalign) {
            return self.free(at);
        }
        let block = self.take(at);
        let size = Some(block.size + wrong_by);
        let operation = Operation::FreeSized;
        HEAP.free(block.user, &Release::sized(operation, size, None));
        match wrong_by {
            0 => self.demand(&[]),
            _ => self.demand(&[(Defect::DeleteMismatch { size, align: None }, block.user)]),
        }
        self.tally.count(if wrong_by == 0 { "freed by size" } else { "told a wrong size" });
    }

    pub(crate) fn resize(&mut self, at: usize, size: usize) {
        let kind = self.live[at].kind;
        if !matches!(kind, Kind::Malloc | Kind::Memalign | Kind::Rust) {
            return;
        }
        let block = self.take(at);
        let (release, align) = match kind {
            Kind::Rust => {
                let align = block.align;
                (Release::sized(Operation::Reallocate, Some(block.size), Some(align)), align)
            }
            _ => (Release::by(Operation::Realloc), 16),
        };
        let kind = if kind == Kind::Rust { kind } else { Kind::Malloc };
        let request = Request { size, align, kind, zeroed: false };
        let user = HEAP.resize(block.user, request, &release) as usize;
        self.demand(&[]);
        assert_ne!(user, 0);
        block.verify(user, block.size.min(size));
        let block = Block { user, size, align, kind, seed: block.seed };
        block.fill();
        self.live.push(block);
        self.tally.count("resized");
    }

    /// Looks at everything.
    pub(crate) fn look(&mut self, wanted: &[(Defect, usize)]) {
        HEAP.freeze();
        let found = HEAP.check_all(Operation::Check);
        HEAP.thaw();
        assert_eq!(found, wanted.len());
        self.demand(wanted);
        self.tally.count("looked");
    }

    /// Frees a block with damaged canaries, after a look if that is wanted.
    pub(crate) fn meet(&mut self, at: usize, defect: Defect, look: bool) {
        let user = self.live[at].user;
        if look {
            self.look(&[(defect, user)]);
        }
        let block = self.take(at);
        HEAP.free(block.user, &block.release());
        self.demand(&[(defect, user)]);
        self.look(&[]);
    }

    pub(crate) fn overrun(&mut self, at: usize, len: u8, look: bool) {
        let block = &self.live[at];
        spoil(block.user + block.size, 1 + usize::from(len % 8));
        self.meet(at, Defect::Overflow, look);
        self.tally.count("overrun");
    }

    pub(crate) fn underrun(&mut self, at: usize, len: u8, look: bool) {
        let len = 1 + usize::from(len % 6);
        spoil(self.live[at].user - len, len);
        self.meet(at, Defect::Underflow, look);
        self.tally.count("underrun");
    }

    pub(crate) fn write_late(&mut self, at: usize, offset: u8) {
        let Block { user, size, .. } = self.live[at];
        // A mapping of its own is no memory any more then.
        let mut is_mapped = false;
        HEAP.for_each_mapped(|start, end, _| is_mapped |= start <= user && user < end);
        if size == 0 || size > MAX_WAITING || is_mapped {
            return;
        }
        self.free(at);
        // The first 128 bytes are poisoned.
        spoil(user + usize::from(offset) % size.min(128), 1);
        self.look(&[(Defect::WriteAfterFree, user)]);
        self.look(&[]);
        self.tally.count("written late");
    }

    pub(crate) fn free_twice(&mut self, at: usize) {
        let user = self.live[at].user;
        self.free(at);
        HEAP.free(user, &Release::by(Operation::Free));
        self.demand(&[(Defect::DoubleFree, user)]);
        self.tally.count("freed twice");
    }

    pub(crate) fn free_inside(&mut self, at: usize, offset: u16) {
        let Block { user, size, .. } = self.live[at];
        if size < 2 {
            return;
        }
        HEAP.free(user + 1 + usize::from(offset) % (size - 1), &Release::by(Operation::Free));
        self.demand(&[(Defect::BadFree, user)]);
        self.tally.count("freed inside");
    }

    pub(crate) fn free_wild(&mut self, which: u8) {
        let local = 0u128;
        let address = match which % 4 {
            0 => 16 << (which / 4 % 12),
            1 => 0x4141_4141_4141_4140,
            2 => std::ptr::from_ref(&local) as usize,
            _ => usize::MAX - usize::from(which),
        };
        HEAP.free(address, &Release::by(Operation::Free));
        self.demand(&[(Defect::BadFree, 0)]);
        self.tally.count("freed wild");
    }
}

impl Block {
    /// The call that it goes back by.
    fn release(&self) -> Release {
        match self.kind {
            Kind::Malloc | Kind::Memalign => Release::by(Operation::Free),
            Kind::Rust => Release::sized(Operation::Dealloc, Some(self.size), Some(self.align)),
            Kind::AlignedNew | Kind::AlignedNewArray => {
                Release::sized(Operation::Delete(self.kind), Some(self.size), Some(self.align))
            }
            kind => Release::by(Operation::Delete(kind)),
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the heap gave the block out; nobody writes to it meanwhile.
        unsafe { std::slice::from_raw_parts(self.user as *const u8, self.size) }
    }

    fn fill(&self) {
        for i in edges(self.size) {
            // SAFETY: the block is the script's.
            unsafe { ((self.user + i) as *mut u8).write(self.seed.wrapping_add(i as u8)) };
        }
    }

    /// This block's bytes must be at `user`, as far as they were written and `limit` goes.
    fn verify(&self, user: usize, limit: usize) {
        for i in edges(self.size).take_while(|&i| i < limit) {
            // SAFETY: a live block of the script's, of `limit` bytes at least.
            let byte = unsafe { ((user + i) as *const u8).read() };
            assert_eq!(byte, self.seed.wrapping_add(i as u8), "byte {i} of {}", self.size);
        }
    }
}

/// The bytes of a block that are written and verified.
fn edges(size: usize) -> impl Iterator<Item = usize> {
    let head = size.min(256);
    (0..head).chain(size.saturating_sub(64).max(head)..size)
}

/// Changes `len` bytes, each to something else.
fn spoil(start: usize, len: usize) {
    for at in start..start + len {
        // SAFETY: canaries and poison of the process's own heap: mapped, and watched by nobody else.
        unsafe {
            let byte = at as *mut u8;
            byte.write(!byte.read());
        }
    }
}
