//! Target: the heap without checks (`checks=none`), and what is still found of it.
//!
//! Demanded: blocks keep what is written into them, calloc's are zero, aligned ones are; sizes are
//! at least what was asked for; frees of what is no live block are found, and nothing else is.
//!
//! The same player as that of `checked_ops`, in a process of its own: it has one heap.

use arbitrary::{Arbitrary, Result};
use mallocop::model::finding::AllocKind;
use mallocop::options::{self, Name};

use crate::checked_player::{Checks, HEAP, Player};
use crate::tally::Tally;

/// Most operations of one script.
const MAX_OPS: usize = 1000;

/// What happens next; numbers pick among the live blocks.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Allocate { size: u16, zeroed: bool },
    AllocateQuickly { size: u16, zeroed: bool },
    AllocateAligned { size: u16, align: u8 },
    AllocateLarge { size: u16, zeroed: bool },
    AllocateRust { size: u16, align: u8 },
    Free { block: u16 },
    FreeQuickly { block: u16 },
    Resize { block: u16, size: u32 },
    ResizeQuickly { block: u16, size: u16 },
    ResizeNear { block: u16, by: u8 },
    AskSize { block: u16 },
    Attend { size: u16 },
    InHandler { block: u16, size: u16 },
    OnThread { size: u16, count: u8 },
    FreeTwice { block: u16 },
    FreeInside { block: u16, offset: u16 },
    FreeWild { which: u8 },
    AskWildly { which: u8 },
    Survey { block: u16 },
    Count,
    Trim,
    Fork,
    Tune { mmap: u8, trim: u8 },
    ReallocMoves { which: u8 },
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
    let mut player = Player::begin(Checks::None);
    for &op in &ops {
        player.play_bare(op);
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
    fn play_bare(&mut self, op: Op) {
        match op {
            Op::Allocate { size, zeroed } => self.allocate(usize::from(size) % 2000, 16, zeroed),
            Op::AllocateQuickly { size, zeroed } => {
                self.allocate_quickly(usize::from(size) % 3000, zeroed);
            }
            Op::AllocateAligned { size, align } => {
                self.allocate(usize::from(size), 16 << (align % 9), false);
            }
            Op::AllocateLarge { size, zeroed } => self.allocate(4 * usize::from(size), 16, zeroed),
            Op::AllocateRust { size, align } => {
                self.allocate_as(AllocKind::Rust, usize::from(size), 1 << (align % 12), false);
            }
            Op::Free { block } => self.on(block, Self::free),
            Op::FreeQuickly { block } => self.on(block, Self::free_quickly),
            Op::Resize { block, size } => {
                self.on(block, |p, at| p.resize(at, size as usize % (1 << 19)));
            }
            Op::ResizeQuickly { block, size } => {
                self.on(block, |p, at| p.resize_quickly(at, usize::from(size) % 3000));
            }
            Op::ResizeNear { block, by } => self.on(block, |p, at| {
                let size = (p.live[at].size + 128).saturating_sub(usize::from(by));
                p.resize(at, size);
            }),
            Op::AskSize { block } => self.on(block, Self::ask_size),
            Op::Attend { size } => self.hook(usize::from(size)),
            Op::InHandler { block, size } => {
                self.on(block, |p, at| p.in_handler(at, usize::from(size)));
            }
            Op::OnThread { size, count } => self.on_thread(usize::from(size), count),
            Op::Survey { block } => self.on(block, Self::survey),
            Op::Count => self.count(),
            _ => self.play_bare_rarer(op),
        }
    }

    fn play_bare_rarer(&mut self, op: Op) {
        match op {
            Op::FreeTwice { block } => self.on(block, Self::free_twice),
            Op::FreeInside { block, offset } => self.on(block, |p, at| p.free_inside(at, offset)),
            Op::FreeWild { which } => self.free_wild(which),
            Op::AskWildly { which } => self.ask_wildly(which),
            Op::Trim => {
                HEAP.trim(0);
                self.tally.count("trimmed");
            }
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
            _ => {}
        }
    }
}
