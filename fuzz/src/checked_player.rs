//! The checked heap of the process, and a model of what a script has in it.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use mallocop::arch::Caller;
use mallocop::checks::fast_path::{self, Any};
use mallocop::checks::{CheckedHeap, Release, Request};
use mallocop::model::finding::{AllocKind, Defect, Finding, Operation};
use mallocop::options;
use mallocop::shadow::lookup;
use mallocop::sys::thread;

use crate::live_block::Block;
use crate::tally::Tally;

/// Most live blocks.
pub(crate) const MAX_LIVE: usize = 400;
/// The heap.
pub(crate) static HEAP: CheckedHeap = CheckedHeap::new(on_finding);
static FOUND: Mutex<Vec<Finding>> = Mutex::new(Vec::new());
/// Who plays a script has the heap's findings to itself.
static PLAYING: Mutex<()> = Mutex::new(());

fn on_finding(finding: &Finding) {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).push(*finding);
}

/// What the process's heap does with its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    All,
    None,
}

fn prepare(checks: Checks) {
    static PREPARED: OnceLock<Checks> = OnceLock::new();
    let prepared = PREPARED.get_or_init(|| {
        let options = match checks {
            Checks::All => "malloc_context_size=0",
            Checks::None => "checks=none:malloc_context_size=0",
        };
        options::apply(options, |why| panic!("{why}"));
        HEAP.prepare();
        checks
    });
    assert_eq!(*prepared, checks, "a process has one heap");
}

/// All kinds.
pub(crate) const KINDS: [AllocKind; 7] = [
    AllocKind::Malloc,
    AllocKind::Memalign,
    AllocKind::New,
    AllocKind::NewArray,
    AllocKind::AlignedNew,
    AllocKind::AlignedNewArray,
    AllocKind::Rust,
];

/// Without stacks nobody looks at it.
const NO_CALLER: Caller = Caller { sp: 0, fp: 0 };

/// Who plays a script.
pub(crate) struct Player {
    pub(crate) live: Vec<Block>,
    checks: Checks,
    seed: u8,
    /// Looks since the last one that was made.
    skipped: u8,
    pub(crate) tally: Tally,
    /// Nobody else does meanwhile.
    _alone: MutexGuard<'static, ()>,
}

impl Player {
    /// With nothing so far.
    pub(crate) fn begin(checks: Checks) -> Self {
        prepare(checks);
        let _alone = PLAYING.lock().unwrap_or_else(PoisonError::into_inner);
        Self { live: Vec::new(), checks, seed: 0, skipped: 0, tally: Tally::default(), _alone }
    }

    /// Frees all that is left, and looks at everything once more.
    pub(crate) fn end(mut self) -> Tally {
        while let Some(block) = self.live.len().checked_sub(1) {
            self.free(block);
        }
        self.look(&[]);
        self.tally
    }

    /// What was found since this was asked last.
    pub(crate) fn found() -> Vec<Finding> {
        std::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// # Panics
    /// If what was found since is not exactly this: a defect and a block each.
    pub(crate) fn demand(&self, wanted: &[(Defect, usize)]) {
        let found: Vec<_> = Self::found()
            .iter()
            .map(|f| (f.defect, f.block.map_or(0, |block| block.user)))
            .collect();
        assert_eq!(found, wanted);
    }

    pub(crate) fn allocate(&mut self, size: usize, align: usize, zeroed: bool) {
        self.allocate_as(AllocKind::Malloc, size, align, zeroed);
    }

    pub(crate) fn allocate_as(&mut self, kind: AllocKind, size: usize, align: usize, zeroed: bool) {
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
        match unsafe { fast_path::allocate::<Any>(&HEAP, request, NO_CALLER) } {
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
        if !unsafe { fast_path::free::<Any>(&HEAP, block.user, &release, NO_CALLER) } {
            HEAP.free(block.user, &release);
        }
        self.demand(&[]);
        self.tally.count("freed quickly");
    }

    /// What a handler does that came while the heap was at work: its blocks come from elsewhere,
    /// and frees are done later.
    pub(crate) fn in_handler(&mut self, at: usize, size: usize) {
        let block = self.take(at);
        let request = Request { kind: block.kind, align: block.align, ..Request::malloc(size) };
        let release = Release::by(Operation::Realloc);
        thread::enter_critical();
        let other = HEAP.allocate(Request { zeroed: true, ..Request::malloc(size) }) as usize;
        let grown = HEAP.resize(other, Request::malloc(size + 50), &release) as usize;
        // Without checks it cannot be told how much of a live block there is to copy.
        let moved = match block.kind {
            AllocKind::Malloc | AllocKind::Rust => {
                HEAP.resize(block.user, request, &block.resized()) as usize
            }
            _ => 0,
        };
        if moved == 0 {
            HEAP.free(block.user, &block.release());
        } else {
            block.verify(moved, block.size.min(size));
        }
        thread::leave_critical();
        HEAP.settle();
        for user in [grown, moved].into_iter().filter(|&user| user != 0) {
            HEAP.free(user, &Release::by(Operation::Free));
        }
        self.demand(&[]);
        self.tally.count("in handlers");
        self.tally.add("moved in handlers", usize::from(moved != 0));
    }

    /// A thread that allocates, frees what another one has, and ends.
    pub(crate) fn on_thread(&mut self, size: usize, count: u8) {
        let handed = self.live.len().checked_sub(1).map(|at| self.take(at));
        let mut made = std::thread::scope(|scope| {
            let work = || {
                let fresh = |_| {
                    let request = Request::malloc(size);
                    // SAFETY: without stacks nobody looks at the registers.
                    let quickly = unsafe { fast_path::allocate::<Any>(&HEAP, request, NO_CALLER) };
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
        self.demand_size(HEAP.extent(user), size);
        self.demand_size(HEAP.facts(user).size, size);
        let mut around = 0;
        HEAP.for_each_stretch(|start, end| around += usize::from(start <= user && user < end));
        HEAP.for_each_mapped(|start, end, _| around += usize::from(start <= user && user < end));
        assert_eq!(around, 1, "{user:#x}");
        // It goes through all of the shadow.
        if self.tally.of("surveyed").is_multiple_of(16) {
            let blocks: u64 = HEAP.in_use_by_site().iter().map(|(_, totals)| totals.blocks).sum();
            assert!(blocks >= self.live.len() as u64);
        }
        self.tally.count("surveyed");
    }

    /// Without checks a block may be larger than it was asked for.
    fn demand_size(&self, found: usize, size: usize) {
        let fits = found == size || (self.checks == Checks::None && found > size);
        assert!(fits, "{found} bytes of a block of {size}");
    }

    pub(crate) fn ask_size(&mut self, at: usize) {
        let Block { user, size, .. } = self.live[at];
        self.demand_size(HEAP.usable_size(user), size);
        if let Some(quickly) = HEAP.usable_size_fast(user) {
            self.demand_size(quickly, size);
        }
        self.tally.count("sized");
    }

    /// A block whose calls a hook or a plan attends to.
    pub(crate) fn hook(&mut self, size: usize) {
        if self.live.len() == MAX_LIVE {
            return;
        }
        let request = Request::malloc(size);
        // SAFETY: without stacks nobody looks at the registers.
        let user = unsafe { fast_path::allocate_hooked(&HEAP, request, NO_CALLER) } as usize;
        self.add(user, request);
        let block = self.take(self.live.len() - 1);
        // SAFETY: without stacks nobody looks at the registers.
        unsafe { fast_path::free_hooked(&HEAP, block.user, &block.release(), NO_CALLER) };
        self.demand(&[]);
        self.tally.count("hooked");
    }

    /// The heap's own counts, and its shadow memory, know of each block.
    pub(crate) fn count(&mut self) {
        let (totals, usage) = HEAP.totals();
        let live = self.live.len() as u64;
        assert!(totals.allocations - totals.frees >= live && usage.held >= usage.in_use);
        let Some(last) = self.live.last().map(|block| block.user) else { return };
        let leaf =
            lookup::leaves().into_iter().find(|leaf| last.wrapping_sub(leaf.base()) < 1 << 20);
        let leaf = leaf.expect("a leaf for each block");
        let mut seen = Vec::new();
        leaf.for_each_live(|user| {
            let offset = user - leaf.base();
            assert!(leaf.is_live(offset) && leaf.last_live(0..=offset) == Some(user));
            assert_ne!(offset.checked_sub(1).and_then(|end| leaf.last_live(0..=end)), Some(user));
            seen.push(user);
        });
        let mut wanted: Vec<_> = self.live.iter().map(|block| block.user).collect();
        wanted.retain(|user| user.wrapping_sub(leaf.base()) < 1 << 20);
        wanted.sort_unstable();
        assert_eq!(seen, wanted);
        self.tally.count("counted");
    }

    pub(crate) fn resize_quickly(&mut self, at: usize, size: usize) {
        let Block { user, kind, .. } = self.live[at];
        if kind != AllocKind::Malloc {
            return;
        }
        let release = Release::by(Operation::Realloc);
        // SAFETY: without stacks nobody looks at the registers.
        let moved = unsafe {
            fast_path::reallocate::<Any>(&HEAP, user, Request::malloc(size), &release, NO_CALLER)
        };
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
        if !matches!(self.live[at].kind, AllocKind::Malloc | AllocKind::Memalign) {
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
        if !matches!(kind, AllocKind::Malloc | AllocKind::Memalign | AllocKind::Rust) {
            return;
        }
        let block = self.take(at);
        let release = block.resized();
        let align = if kind == AllocKind::Rust { block.align } else { 16 };
        let kind = if kind == AllocKind::Rust { kind } else { AllocKind::Malloc };
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

    /// Looks at everything, if this is a look of eight: it takes as long as all the rest. Nothing
    /// must be found.
    pub(crate) fn look_sometimes(&mut self) {
        self.skipped = (self.skipped + 1) % 8;
        if self.skipped == 0 {
            self.look(&[]);
        }
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
}
