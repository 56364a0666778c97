//! Errors that a script makes, and what the checked heap must say of each.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use mallocop::checks::{Release, Request};
use mallocop::model::finding::{AllocKind, Defect, Finding, Operation};

use crate::checked_player::{HEAP, MAX_LIVE, Player};
use crate::live_block::{Block, spoil};

/// Freed blocks up to this wait in the quarantine.
const MAX_WAITING: usize = 4096;
/// Bytes of a block that no cache takes, and that has no mapping of its own as a rule.
const UNCACHED: usize = 40_000;
/// Chunks that are smashed at most in a process.
const MOST_SMASHED: usize = 64;

/// An address that no block of the heap has or had.
fn wild(which: u8) -> usize {
    static DATA: AtomicUsize = AtomicUsize::new(0);
    let local = 0u128;
    match which % 6 {
        0 => 16 << (which / 6 % 12),
        1 => 0x4141_4141_4141_4140,
        2 => std::ptr::from_ref(&local) as usize,
        3 => std::ptr::from_ref(&DATA) as usize,
        4 => wild as fn(u8) -> usize as usize,
        _ => usize::MAX - usize::from(which),
    }
}

/// Are C++'s operators judged in this process? That depends on its modules.
fn judges_operators() -> bool {
    static JUDGES: OnceLock<bool> = OnceLock::new();
    *JUDGES.get_or_init(|| {
        let request = Request { kind: AllocKind::New, ..Request::malloc(8) };
        let user = HEAP.allocate(request) as usize;
        HEAP.free(user, &Release::by(Operation::Delete(AllocKind::NewArray)));
        Player::found().iter().any(|finding| finding.defect == Defect::Mismatch)
    })
}

impl Player {
    pub(crate) fn free_wrongly(&mut self, at: usize) {
        let kind = self.live[at].kind;
        let (operation, is_judged) = match kind {
            AllocKind::Malloc | AllocKind::Memalign => (Operation::Dealloc, true),
            AllocKind::Rust => (Operation::Free, true),
            AllocKind::New | AllocKind::AlignedNew => {
                (Operation::Delete(AllocKind::NewArray), judges_operators())
            }
            _ => (Operation::Delete(AllocKind::New), judges_operators()),
        };
        let block = self.take(at);
        HEAP.free(block.user, &Release::by(operation));
        match is_judged {
            true => self.demand(&[(Defect::Mismatch, block.user)]),
            false => self.demand(&[]),
        }
        self.tally.count("freed by the wrong call");
    }

    /// By Rust's dealloc or realloc with another Layout.
    pub(crate) fn tell_wrong_layout(&mut self, at: usize, by: usize, align: bool) {
        if self.live[at].kind != AllocKind::Rust {
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

    /// Frees a block with damaged canaries, after a look if that is wanted.
    pub(crate) fn meet(&mut self, at: usize, defect: Defect, look: bool) {
        let user = self.live[at].user;
        if look {
            self.look(&[(defect, user)]);
        }
        let block = self.take(at);
        HEAP.free(block.user, &block.release());
        self.demand(&[(defect, user)]);
        self.look_sometimes();
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

    /// Writes past a block's end through all of the next live blocks that lie right behind it, and
    /// puts back what was there: a chunk whose word is gone would be lost for good.
    pub(crate) fn overrun_far(&mut self, at: usize, blocks: u8) {
        let mut all: Vec<_> = self.live.iter().map(|block| (block.user, block.size)).collect();
        all.sort_unstable();
        let first = at % all.len();
        // Behind a block's end come its tail, the next chunk's word, and 16 bytes of head.
        let is_next =
            |pair: &[(usize, usize)]| pair[1].0 == pair[0].0 + pair[0].1.next_multiple_of(16) + 32;
        let reached =
            all[first..].windows(2).take(1 + usize::from(blocks) % 4).take_while(|p| is_next(p));
        let reached = reached.count();
        if reached == 0 {
            return;
        }
        let (user, size) = all[first];
        let len = all[first + reached].0 - user - size;
        spoil(user + size, len);
        self.look(&[(Defect::Overflow, user)]);
        spoil(user + size, len);
        self.look_sometimes();
        self.tally.count("overrun far");
    }

    /// Does a freed block's memory stay, for a while?
    fn waits(&self, at: usize) -> bool {
        let Block { user, size, .. } = self.live[at];
        // A mapping of its own is no memory any more then.
        let mut is_mapped = false;
        HEAP.for_each_mapped(|start, end, _| is_mapped |= start <= user && user < end);
        size <= MAX_WAITING && !is_mapped
    }

    pub(crate) fn write_late(&mut self, at: usize, offset: u8, evict: bool) {
        let Block { user, size, .. } = self.live[at];
        if size == 0 || !self.waits(at) {
            return;
        }
        self.free(at);
        // The first 128 bytes are poisoned.
        spoil(user + usize::from(offset) % size.min(128), 1);
        if evict {
            HEAP.trim(0);
            self.demand(&[(Defect::WriteAfterFree, user)]);
            self.tally.count("met when evicted");
        } else {
            self.look(&[(Defect::WriteAfterFree, user)]);
        }
        self.look_sometimes();
        self.tally.count("written late");
    }

    /// Past the end of a block that waits.
    pub(crate) fn overrun_late(&mut self, at: usize) {
        let Block { user, size, .. } = self.live[at];
        if !self.waits(at) {
            return;
        }
        self.free(at);
        spoil(user + size, 3);
        self.look(&[(Defect::Overflow, user)]);
        spoil(user + size, 3);
        self.look_sometimes();
        self.tally.count("overrun late");
    }

    /// The word in front of a large block, which nothing of its own covers. The chunk is lost for
    /// good.
    pub(crate) fn smash_chunk(&mut self) {
        static SMASHED: AtomicUsize = AtomicUsize::new(0);
        if SMASHED.fetch_add(1, Ordering::Relaxed) >= MOST_SMASHED || self.live.len() == MAX_LIVE {
            return;
        }
        self.allocate(UNCACHED, 16, false);
        let block = self.take(self.live.len() - 1);
        let mut is_mapped = false;
        HEAP.for_each_mapped(|start, end, _| is_mapped |= start <= block.user && block.user < end);
        if is_mapped {
            return HEAP.free(block.user, &block.release());
        }
        spoil(block.user - 24, 8);
        HEAP.free(block.user, &block.release());
        HEAP.trim(0);
        let found = Self::found();
        // If a block ends right in front of the word, that block is named for it.
        let is_of_that_word = |f: &Finding| match (f.defect, f.block, f.damage) {
            (Defect::HeapCorruption, ..) => true,
            (Defect::Overflow, Some(in_front), Some(damage)) => {
                in_front.user.wrapping_add_signed(damage.first) == block.user - 24
            }
            _ => false,
        };
        assert!(
            !found.is_empty() && found.iter().all(is_of_that_word),
            "{:#x} {found:x?}",
            block.user - 24
        );
        // Whoever joins its neighbours meets it again.
        spoil(block.user - 24, 8);
        self.tally.count("smashed");
    }

    /// What is no block is neither resized nor has a size.
    pub(crate) fn ask_wildly(&mut self, which: u8) {
        let address = wild(which);
        assert_eq!(HEAP.usable_size(address), 0);
        self.demand(&[(Defect::BadFree, 0)]);
        let release = Release::by(Operation::Realloc);
        assert!(HEAP.resize(address, Request::malloc(8), &release).is_null());
        self.demand(&[(Defect::BadFree, 0)]);
        self.tally.count("asked wildly");
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
        HEAP.free(wild(which), &Release::by(Operation::Free));
        self.demand(&[(Defect::BadFree, 0)]);
        self.tally.count("freed wild");
    }
}
