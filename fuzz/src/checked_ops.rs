//! Target: the whole checked heap, with planted errors.
//!
//! Planted: writes past the end and in front of a live block (into its canaries), writes into freed
//! blocks that wait (into their poison), second frees, frees of addresses inside blocks, of a
//! stack's and of none, and sizes told wrong. Demanded: exactly the planted finding, of the planted
//! block, by the call that must meet it, and never another one; blocks keep what is written into
//! them, calloc's are zero, sizes are exact. An overrun is met by a look at everything as often as
//! one is asked for, and by the block's own free for the last time.
//!
//! Blocks come and go by the calls of C, C++ and Rust, by the short way and by the full one, from
//! signal handlers that interrupted the heap (as far as the heap can tell), and on threads that
//! end.
//!
//! One heap for the process, beside glibc's, without stacks: scripts leave it as they found it but
//! for what waits in the quarantine.

use arbitrary::{Arbitrary, Result};
use mallocop::model::finding::AllocKind;
use mallocop::options::{self, Name};

use crate::checked_player::{Checks, HEAP, KINDS, Player};
use crate::tally::Tally;

/// Most operations of one script.
const MAX_OPS: usize = 1000;

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
    WriteLate { block: u16, offset: u8, evict: bool },
    FreeTwice { block: u16 },
    FreeInside { block: u16, offset: u16 },
    FreeWild { which: u8 },
    TellWrongSize { block: u16, by: u8 },
    AllocateQuickly { size: u16, zeroed: bool },
    FreeQuickly { block: u16 },
    ResizeQuickly { block: u16, size: u16 },
    AllocateAs { kind: u8, size: u16, align: u8 },
    FreeWrongly { block: u16 },
    TellWrongLayout { block: u16, by: u8, align: bool },
    ResizeFar { block: u16, size: u32 },
    InHandler { block: u16, size: u16 },
    OnThread { size: u16, count: u8 },
    Survey { block: u16 },
    Exempt { block: u16 },
    Fork,
    Tune { mmap: u8, trim: u8 },
    ReallocMoves { which: u8 },
    OverrunFar { block: u16, blocks: u8 },
    OverrunLate { block: u16 },
    SmashChunk,
    AskWildly { which: u8 },
    Attend { size: u16 },
    Count,
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
    let mut player = Player::begin(Checks::All);
    for &op in &ops {
        player.play(op);
        player.demand(&[]);
    }
    Ok(player.end())
}

/// The script as text.
///
/// # Errors
/// As [`body`].
pub fn show(data: &[u8]) -> Result<String> {
    Ok(script(data)?.iter().map(|op| format!("{op:?}\n")).collect())
}

fn script(data: &[u8]) -> Result<Vec<Op>> {
    crate::operations(data, MAX_OPS)
}

impl Player {
    pub(crate) fn pick(&self, block: u16) -> Option<usize> {
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
            Op::UsableSize { block } => self.on(block, Self::ask_size),
            Op::Look => self.look_sometimes(),
            Op::Trim => {
                HEAP.trim(0);
                self.tally.count("trimmed");
            }
            Op::Overrun { block, len, look } => self.on(block, |p, at| p.overrun(at, len, look)),
            Op::Underrun { block, len, look } => self.on(block, |p, at| p.underrun(at, len, look)),
            Op::WriteLate { block, offset, evict } => {
                self.on(block, |p, at| p.write_late(at, offset, evict));
            }
            Op::FreeTwice { block } => self.on(block, Self::free_twice),
            Op::FreeInside { block, offset } => self.on(block, |p, at| p.free_inside(at, offset)),
            Op::FreeWild { which } => self.free_wild(which),
            Op::TellWrongSize { block, by } => {
                self.on(block, |p, at| p.free_sized(at, 1 + usize::from(by)));
            }
            _ => self.play_rarer(op),
        }
    }

    fn play_rarer(&mut self, op: Op) {
        match op {
            Op::AllocateQuickly { size, zeroed } => {
                self.allocate_quickly(usize::from(size) % 3000, zeroed);
            }
            Op::FreeQuickly { block } => self.on(block, Self::free_quickly),
            Op::ResizeQuickly { block, size } => {
                self.on(block, |p, at| p.resize_quickly(at, usize::from(size) % 3000));
            }
            Op::AllocateAs { kind, size, align } => {
                let kind = *KINDS.get(usize::from(kind) % 12).unwrap_or(&AllocKind::Rust);
                let least = if kind == AllocKind::Rust { 0 } else { 4 };
                self.allocate_as(kind, usize::from(size), 1 << (least + align % 9), false);
            }
            Op::FreeWrongly { block } => self.on(block, Self::free_wrongly),
            Op::TellWrongLayout { block, by, align } => {
                self.on(block, |p, at| p.tell_wrong_layout(at, 1 + usize::from(by), align));
            }
            Op::ResizeFar { block, size } => {
                self.on(block, |p, at| p.resize(at, size as usize % (1 << 20)));
            }
            Op::InHandler { block, size } => {
                self.on(block, |p, at| p.in_handler(at, usize::from(size)));
            }
            Op::OnThread { size, count } => self.on_thread(usize::from(size), count),
            Op::Survey { block } => self.on(block, Self::survey),
            Op::Exempt { block } => self.on(block, |p, at| {
                HEAP.exempt_allocations(true);
                let facts = HEAP.facts(p.live[at].user);
                assert_eq!(HEAP.exempt(p.live[at].user), Some(!facts.is_exempt));
                assert!(HEAP.facts(p.live[at].user).is_exempt);
                p.allocate(24, 16, false);
                HEAP.exempt_allocations(false);
                p.tally.count("exempt");
            }),
            Op::Fork => {
                let (held, _) = HEAP.hold_over_fork();
                // SAFETY: held by this thread just now.
                unsafe { HEAP.release_after_fork(held) };
                self.tally.count("held over fork");
            }
            Op::Tune { mmap, trim } => {
                let bytes = |by: u8| Some((64 << 10) + usize::from(by) * 1024);
                HEAP.tune(bytes(mmap), bytes(trim));
                self.tally.count("tuned");
            }
            Op::ReallocMoves { which } => {
                options::set_number(Name::ReallocMoves, usize::from(which % 3));
            }
            _ => self.play_rarest(op),
        }
    }

    fn play_rarest(&mut self, op: Op) {
        match op {
            Op::OverrunFar { block, blocks } => {
                self.on(block, |p, at| p.overrun_far(at, blocks));
            }
            Op::OverrunLate { block } => self.on(block, Self::overrun_late),
            Op::SmashChunk => self.smash_chunk(),
            Op::AskWildly { which } => self.ask_wildly(which),
            Op::Attend { size } => self.hook(usize::from(size)),
            Op::Count => self.count(),
            _ => {}
        }
    }

    pub(crate) fn on(&mut self, block: u16, act: impl FnOnce(&mut Self, usize)) {
        if let Some(at) = self.pick(block) {
            act(self, at);
        }
    }
}
