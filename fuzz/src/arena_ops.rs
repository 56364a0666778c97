//! Target: many threads' arenas, driven by one script in one thread, so that each script repeats.
//!
//! Demanded: a payload lies in its own arena's memory, overlaps none that lives and keeps its contents,
//! whoever frees its neighbours and wherever; each heap's invariants hold whenever they are walked; a
//! refused request for memory is an answer, and the script goes on. In the end every arena is adopted
//! and emptied, and then not a chunk is in use: none was lost in a cache, a lane, an inbox or a stock.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::arena_player::ArenaPlayer;
use crate::arena_script::Script;
use crate::script::listed;
use crate::tally::Tally;

/// Plays the script that `data` makes.
///
/// # Errors
/// If it makes none.
///
/// # Panics
/// If a demand is broken.
pub fn body(data: &[u8]) -> Result<Tally> {
    let script = Script::arbitrary(&mut Unstructured::new(data))?;
    let mut player = ArenaPlayer::new(script.key);
    for (step, &op) in script.ops.iter().enumerate() {
        player.play(op);
        if step % script.check_every == 0 {
            player.check();
        }
    }
    player.end_all();
    Ok(std::mem::take(&mut player.tally))
}

/// The script as text.
///
/// # Errors
/// As [`body`].
pub fn show(data: &[u8]) -> Result<String> {
    let script = Script::arbitrary(&mut Unstructured::new(data))?;
    let head = format!("key {:#x}, check every {}", script.key, script.check_every);
    Ok(listed(head, &script.ops))
}
