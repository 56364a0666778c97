//! Target: blocks between guard pages.
//!
//! Demanded: blocks keep what is written into them, calloc's are zero, sizes are exact; a write
//! into a canary is found, by the block's own free, and no other finding is ever made; the
//! invariants of slots hold after each step (`CheckedHeap::check_guards`), also where the kernel
//! refuses a call and behind a fork. Guards are opened as a fault opens them.
//!
//! One heap for the process. Which way makes pages fault is chosen by the environment variable
//! `MALLOCOP_GUARD_BACKEND`, a number of the option's.

use std::sync::{Mutex, OnceLock, PoisonError};

use arbitrary::{Arbitrary, Result};
use mallocop::checks::{CheckedHeap, Request};
use mallocop::model::finding::{AllocKind, Defect, Finding};
use mallocop::options::{self, Name};
use mallocop::shadow::guarded_slots;
use mallocop::sys::{guard_pages, memory};

use crate::live_block::{Block, spoil};
use crate::tally::Tally;

const MAX_OPS: usize = 1000;
const MAX_LIVE: usize = 200;

static HEAP: CheckedHeap = CheckedHeap::new(on_finding);
static FOUND: Mutex<Vec<Finding>> = Mutex::new(Vec::new());
static PLAYING: Mutex<()> = Mutex::new(());

fn on_finding(finding: &Finding) {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).push(*finding);
}

/// What happens next; numbers pick among the live blocks.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Allocate { size: u16, zeroed: bool },
    AllocateAligned { size: u16, align: u8, rust: bool },
    AllocateLarge { pages: u8 },
    Resize { block: u16, size: u16 },
    Free { block: u16 },
    Spoil { block: u16, behind: bool },
    Open { block: u16, behind: bool },
    Refuse { call: u8 },
    Fork,
    Look,
    ReallocMoves { which: u8 },
}

fn prepare() {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let options = "malloc_context_size=2:guard=all:guard_budget_mb=4";
        options::apply(options, |why| panic!("{why}"));
        let way = std::env::var("MALLOCOP_GUARD_BACKEND").ok().and_then(|way| way.parse().ok());
        options::set_number(Name::GuardBackend, way.unwrap_or(0));
        HEAP.prepare();
    });
}

struct Player {
    live: Vec<Block>,
    seed: u8,
    tally: Tally,
}

/// Plays the script that `data` makes.
///
/// # Errors
/// If it makes none.
///
/// # Panics
/// If a demand is broken.
pub fn body(data: &[u8]) -> Result<Tally> {
    let ops: Vec<Op> = crate::operations(data, MAX_OPS)?;
    prepare();
    let _alone = PLAYING.lock().unwrap_or_else(PoisonError::into_inner);
    guard_pages::refuse(0);
    let mut player = Player { live: Vec::new(), seed: 0, tally: Tally::default() };
    for op in ops {
        player.play(op);
        player.demand(&[]);
        player.walk();
    }
    guard_pages::refuse(0);
    while let Some(at) = player.live.len().checked_sub(1) {
        player.free(at);
    }
    player.demand(&[]);
    player.walk();
    options::set_number(Name::ReallocMoves, 0);
    Ok(player.tally)
}

/// The script as text.
///
/// # Errors
/// As [`body`].
pub fn show(data: &[u8]) -> Result<String> {
    let ops: Vec<Op> = crate::operations(data, MAX_OPS)?;
    Ok(ops.iter().map(|op| format!("{op:?}\n")).collect())
}

impl Player {
    fn play(&mut self, op: Op) {
        match op {
            Op::Allocate { size, zeroed } => {
                self.allocate(usize::from(size) % 9000, 16, AllocKind::Malloc, zeroed);
            }
            Op::AllocateAligned { size, align, rust } => {
                let kind = if rust { AllocKind::Rust } else { AllocKind::Memalign };
                let least = if rust { 0 } else { 4 };
                let align = 1 << (least + align % 10);
                self.allocate(usize::from(size) % 9000, align, kind, false);
            }
            Op::AllocateLarge { pages } => {
                let size = usize::from(pages) * 4096 + 17;
                self.allocate(size, 16, AllocKind::Malloc, pages % 2 == 0);
            }
            Op::Resize { block, size } => {
                self.on(block, |player, at| player.resize(at, usize::from(size) % 9000));
            }
            Op::Free { block } => self.on(block, Self::free),
            Op::Spoil { block, behind } => {
                self.on(block, |player, at| player.spoil(at, behind));
            }
            Op::Open { block, behind } => self.on(block, |player, at| player.open(at, behind)),
            Op::Refuse { call } => guard_pages::refuse(u32::from(call % 6)),
            Op::Fork => {
                let (held, _) = HEAP.hold_over_fork();
                // SAFETY: held by this thread just now.
                unsafe { HEAP.release_after_fork(held) };
                self.tally.count("held over fork");
            }
            Op::Look => {
                HEAP.check_all(mallocop::model::finding::Operation::Check);
                self.tally.count("looked");
            }
            Op::ReallocMoves { which } => {
                options::set_number(Name::ReallocMoves, usize::from(which % 3));
            }
        }
    }

    fn on(&mut self, block: u16, act: impl FnOnce(&mut Self, usize)) {
        if let Some(at) = usize::from(block).checked_rem(self.live.len()) {
            act(self, at);
        }
    }

    fn allocate(&mut self, size: usize, align: usize, kind: AllocKind, zeroed: bool) {
        if self.live.len() == MAX_LIVE {
            return;
        }
        let user = HEAP.allocate(Request { size, align, kind, zeroed }) as usize;
        assert!(user != 0 && user.is_multiple_of(align), "{user:#x}");
        self.seed = self.seed.wrapping_add(29);
        let block = Block { user, size, align, kind, seed: self.seed };
        if zeroed {
            assert!(block.bytes().iter().all(|&byte| byte == 0), "not zero: {size} bytes");
        }
        assert_eq!(HEAP.usable_size(user), size);
        block.fill();
        let guarded = guarded_slots::contains(user);
        self.tally.count(if guarded { "guarded" } else { "unguarded" });
        self.live.push(block);
    }

    fn free(&mut self, at: usize) {
        let block = self.live.swap_remove(at);
        block.verify(block.user, block.size);
        HEAP.free(block.user, &block.release());
        self.tally.count("freed");
    }

    fn resize(&mut self, at: usize, size: usize) {
        let old = self.live.swap_remove(at);
        let request = Request { size, align: old.align, kind: old.kind, zeroed: false };
        let user = HEAP.resize(old.user, request, &old.resized()) as usize;
        assert!(user != 0);
        old.verify(user, size.min(old.size));
        assert_eq!(HEAP.usable_size(user), size);
        let block = Block { user, size, ..old };
        block.fill();
        self.live.push(block);
        self.tally.count("resized");
    }

    /// Writes into a canary, if there is one on that side: the free finds it.
    fn spoil(&mut self, at: usize, behind: bool) {
        let block = &self.live[at];
        let (user, size) = (block.user, block.size);
        let Some(slot) = guarded_slots::Slot::of(user) else { return };
        let place = if behind { user + size } else { user - 1 };
        if place < slot.start() || place >= slot.end() {
            return;
        }
        spoil(place, 1);
        let defect = if behind { Defect::Overflow } else { Defect::Underflow };
        self.free(at);
        self.demand(&[(defect, user)]);
        self.tally.count("spoiled");
    }

    /// A guard beside a block is opened, as by a fault.
    fn open(&mut self, at: usize, behind: bool) {
        let Some(slot) = guarded_slots::Slot::of(self.live[at].user) else { return };
        let page = if behind { slot.end() } else { slot.start() - 4096 };
        if HEAP.open_guarded(page) {
            assert!(memory::is_readable(page, page + 1));
            self.tally.count("opened");
        }
    }

    fn demand(&self, wanted: &[(Defect, usize)]) {
        let found = std::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner));
        let found: Vec<_> =
            found.iter().map(|f| (f.defect, f.block.map_or(0, |block| block.user))).collect();
        assert_eq!(found, wanted);
    }

    fn walk(&self) {
        let live = self.live.iter().filter(|block| guarded_slots::contains(block.user)).count();
        assert_eq!(HEAP.check_guards(), Ok(live));
    }
}
