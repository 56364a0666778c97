//! Target: the whole checked heap, with planted errors.
//!
//! Planted: writes past the end and in front of a live block (into its canaries), writes into freed
//! blocks that wait (into their poison), second frees, frees of addresses inside blocks, of a stack's and
//! of none, and sizes told wrong. Demanded: exactly the planted finding, of the planted block, by the
//! call that must meet it, and never another one; blocks keep what is written into them, calloc's are
//! zero, sizes are exact. An overrun is met by a look at everything as often as one is asked for, and
//! by the block's own free for the last time.
//!
//! One heap for the process, beside glibc's, without stacks: scripts leave it as they found it but for
//! what waits in the quarantine.

use std::sync::{Mutex, Once, PoisonError};

use arbitrary::{Arbitrary, Result, Unstructured};
use mallocop::debug::{CheckedHeap, Release, Request};
use mallocop::finding::{Defect, Finding, Kind, Operation};
use mallocop::options;

use crate::tally::Tally;

/// Most operations of one script, and live blocks.
const MAX_OPS: usize = 1000;
const MAX_LIVE: usize = 400;
/// Freed blocks up to this wait in the quarantine.
const MAX_WAITING: usize = 4096;

static HEAP: CheckedHeap = CheckedHeap::new(on_finding);
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

/// What happens next; numbers pick among the live blocks.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Allocate { size: u8, zeroed: bool },
    AllocateMedium { size: u16, align: u8 },
    AllocateMapped { size: u16 },
    Resize { block: u16, size: u16 },
    Free { block: u16 },
    FreeSized { block: u16 },
    UsableSize { block: u16 },
    Look,
    Trim,
    Overrun { block: u16, len: u8, look: bool },
    Underrun { block: u16, len: u8, look: bool },
    WriteLate { block: u16, offset: u8 },
    FreeTwice { block: u16 },
    FreeInside { block: u16, offset: u16 },
    FreeWild { which: u8 },
    TellWrongSize { block: u16, by: u8 },
}

struct Block {
    user: usize,
    size: usize,
    seed: u8,
}

#[derive(Default)]
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
    let ops = script(data)?;
    prepare();
    let _alone = PLAYING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut player = Player::default();
    for &op in &ops {
        player.play(op);
        player.demand(&[]);
    }
    while let Some(block) = player.live.len().checked_sub(1) {
        player.free(block);
    }
    player.look(&[]);
    Ok(player.tally)
}

/// The script as text.
///
/// # Errors
/// As [`body`].
pub fn show(data: &[u8]) -> Result<String> {
    Ok(script(data)?.iter().map(|op| format!("{op:?}\n")).collect())
}

fn script(data: &[u8]) -> Result<Vec<Op>> {
    let mut u = Unstructured::new(data);
    let mut ops = vec![Op::arbitrary(&mut u)?];
    if u.is_empty() {
        return Err(arbitrary::Error::NotEnoughData);
    }
    while ops.len() < MAX_OPS && !u.is_empty() {
        ops.push(Op::arbitrary(&mut u)?);
    }
    Ok(ops)
}

impl Player {
    fn pick(&self, block: u16) -> Option<usize> {
        usize::from(block).checked_rem(self.live.len())
    }

    fn play(&mut self, op: Op) {
        match op {
            Op::Allocate { size, zeroed } => self.allocate(usize::from(size), 16, zeroed),
            Op::AllocateMedium { size, align } => {
                self.allocate(usize::from(size), 16 << (align % 9), false);
            }
            Op::AllocateMapped { size } => {
                self.allocate((128 << 10) + 4 * usize::from(size), 16, false);
            }
            Op::Resize { block, size } => self.on(block, |p, at| p.resize(at, usize::from(size))),
            Op::Free { block } => self.on(block, Self::free),
            Op::FreeSized { block } => self.on(block, |p, at| p.free_sized(at, 0)),
            Op::UsableSize { block } => self.on(block, |p, at| {
                let Block { user, size, .. } = p.live[at];
                assert_eq!(HEAP.usable_size(user), size);
                p.tally.count("sized");
            }),
            Op::Look => self.look(&[]),
            Op::Trim => {
                HEAP.trim(0);
                self.tally.count("trimmed");
            }
            Op::Overrun { block, len, look } => self.on(block, |p, at| p.overrun(at, len, look)),
            Op::Underrun { block, len, look } => self.on(block, |p, at| p.underrun(at, len, look)),
            Op::WriteLate { block, offset } => self.on(block, |p, at| p.write_late(at, offset)),
            Op::FreeTwice { block } => self.on(block, Self::free_twice),
            Op::FreeInside { block, offset } => self.on(block, |p, at| p.free_inside(at, offset)),
            Op::FreeWild { which } => self.free_wild(which),
            Op::TellWrongSize { block, by } => {
                self.on(block, |p, at| p.free_sized(at, 1 + usize::from(by)));
            }
        }
    }

    fn on(&mut self, block: u16, act: impl FnOnce(&mut Self, usize)) {
        if let Some(at) = self.pick(block) {
            act(self, at);
        }
    }

    /// # Panics
    /// If what was found since is not exactly this: a defect and a block each.
    fn demand(&self, wanted: &[(Defect, usize)]) {
        let found: Vec<_> = {
            let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *found)
        };
        let found: Vec<_> =
            found.iter().map(|f| (f.defect, f.block.map_or(0, |block| block.user))).collect();
        assert_eq!(found, wanted);
    }

    fn allocate(&mut self, size: usize, align: usize, zeroed: bool) {
        if self.live.len() == MAX_LIVE {
            return;
        }
        let user = HEAP.allocate(Request { size, align, kind: Kind::Malloc, zeroed }) as usize;
        assert!(user != 0 && user.is_multiple_of(align), "{user:#x} of {size} bytes");
        let apart = |other: &Block| user + size <= other.user || other.user + other.size <= user;
        assert!(self.live.iter().all(apart), "{user:#x} overlaps a live block");
        self.seed = self.seed.wrapping_add(37);
        let block = Block { user, size, seed: self.seed };
        if zeroed {
            assert!(block.bytes().iter().all(|&byte| byte == 0), "calloc's block is not zero");
        }
        block.fill();
        self.live.push(block);
        self.tally.count("allocated");
    }

    fn take(&mut self, at: usize) -> Block {
        let block = self.live.swap_remove(at);
        block.verify(block.user, block.size);
        block
    }

    fn free(&mut self, at: usize) {
        let block = self.take(at);
        HEAP.free(block.user, &Release::by(Operation::Free));
        self.demand(&[]);
        self.tally.count("freed");
    }

    fn free_sized(&mut self, at: usize, wrong_by: usize) {
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

    fn resize(&mut self, at: usize, size: usize) {
        let block = self.take(at);
        let user = HEAP.resize(block.user, size) as usize;
        self.demand(&[]);
        assert_ne!(user, 0);
        block.verify(user, block.size.min(size));
        let block = Block { user, size, seed: block.seed };
        block.fill();
        self.live.push(block);
        self.tally.count("resized");
    }

    /// Looks at everything.
    fn look(&mut self, wanted: &[(Defect, usize)]) {
        HEAP.freeze();
        let found = HEAP.check_all(Operation::Check);
        HEAP.thaw();
        assert_eq!(found, wanted.len());
        self.demand(wanted);
        self.tally.count("looked");
    }

    /// Frees a block with damaged canaries, after a look if that is wanted.
    fn meet(&mut self, at: usize, defect: Defect, look: bool) {
        let user = self.live[at].user;
        if look {
            self.look(&[(defect, user)]);
        }
        let block = self.take(at);
        HEAP.free(block.user, &Release::by(Operation::Free));
        self.demand(&[(defect, user)]);
        self.look(&[]);
    }

    fn overrun(&mut self, at: usize, len: u8, look: bool) {
        let block = &self.live[at];
        spoil(block.user + block.size, 1 + usize::from(len % 8));
        self.meet(at, Defect::Overflow, look);
        self.tally.count("overrun");
    }

    fn underrun(&mut self, at: usize, len: u8, look: bool) {
        let len = 1 + usize::from(len % 6);
        spoil(self.live[at].user - len, len);
        self.meet(at, Defect::Underflow, look);
        self.tally.count("underrun");
    }

    fn write_late(&mut self, at: usize, offset: u8) {
        let Block { user, size, .. } = self.live[at];
        if size == 0 || size > MAX_WAITING {
            return;
        }
        self.free(at);
        // The first 128 bytes are poisoned.
        spoil(user + usize::from(offset) % size.min(128), 1);
        self.look(&[(Defect::WriteAfterFree, user)]);
        self.look(&[]);
        self.tally.count("written late");
    }

    fn free_twice(&mut self, at: usize) {
        let user = self.live[at].user;
        self.free(at);
        HEAP.free(user, &Release::by(Operation::Free));
        self.demand(&[(Defect::DoubleFree, user)]);
        self.tally.count("freed twice");
    }

    fn free_inside(&mut self, at: usize, offset: u16) {
        let Block { user, size, .. } = self.live[at];
        if size < 2 {
            return;
        }
        HEAP.free(user + 1 + usize::from(offset) % (size - 1), &Release::by(Operation::Free));
        self.demand(&[(Defect::BadFree, user)]);
        self.tally.count("freed inside");
    }

    fn free_wild(&mut self, which: u8) {
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
