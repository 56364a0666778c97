//! Target: the scripts of [`heap_ops`](crate::heap_ops) while requests for memory are refused.
//!
//! Demanded beyond what holds there: a refusal is an answer, never an error; it changes nothing
//! that lives; and once nothing is refused any more and all is released, the heap serves again.

use arbitrary::{Arbitrary, Result, Unstructured};
use mallocop::heap::Layout;

use crate::heap_ops::{MEMORY, play};
use crate::heap_player::HeapPlayer;
use crate::script::{Script, listed};
use crate::source::Refusals;
use crate::tally::Tally;

/// Plays the script that `data` makes.
///
/// # Errors
/// If it makes none.
///
/// # Panics
/// If a demand is broken.
pub fn body(data: &[u8]) -> Result<Tally> {
    let (refusals, script) = <(Refusals, Script)>::arbitrary(&mut Unstructured::new(data))?;
    let mut player = HeapPlayer::new(MEMORY, script.key);
    player.memory.heap.pages().refusals = refusals;
    play(&mut player, &script);
    player.check();
    player.release_all();
    player.memory.heap.pages().refusals = Refusals::default();
    player.memory.heap.pages().move_break(0);
    assert!(player.allocate(Layout::plain(1000)), "the heap does not go on");
    player.release_all();
    for _ in 0..player.memory.heap.pages().refused {
        player.tally.count("refused");
    }
    Ok(player.tally)
}

/// The script as text.
///
/// # Errors
/// As [`body`].
pub fn show(data: &[u8]) -> Result<String> {
    let (refusals, script) = <(Refusals, Script)>::arbitrary(&mut Unstructured::new(data))?;
    let head = format!("{refusals:?}, key {:#x}, check every {}", script.key, script.check_every);
    Ok(listed(head, &script.ops))
}
