//! Target: the scripts of [`heap_ops`](crate::heap_ops) while requests for memory are refused.
//!
//! Demanded beyond what holds there: a refusal is an answer, never an error; it changes nothing
//! that lives; and once nothing is refused any more and all is released, the heap serves again.

use arbitrary::{Arbitrary, Result, Unstructured};
use mallocop::heap::Layout;

use crate::heap_ops::{MEMORY, play};
use crate::heap_player::HeapPlayer;
use crate::script::Script;
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
    let mut data = Unstructured::new(data);
    let refusals = Refusals::arbitrary(&mut data)?;
    let script = Script::arbitrary(&mut data)?;
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
