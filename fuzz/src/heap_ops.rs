//! Target: scripts on a sound heap.
//!
//! Demanded of it: payloads have the size and alignment asked for, lie in memory that the source
//! handed out, do not overlap, and keep their contents over everything that happens round them and
//! over resize and remap; the invariants I1 to I9 hold whenever they are walked; in the end all is
//! released, nothing counts as in use, the source got back what it had given, and, unless somebody
//! else has moved the break, free memory has run together and goes back but for the pages that the
//! top needs.

use arbitrary::{Arbitrary, Result, Unstructured};
use mallocop::heap::size::PAGE;

use crate::heap_player::HeapPlayer;
use crate::script::{Script, listed};
use crate::tally::Tally;

/// Memory of the simulation.
pub(crate) const MEMORY: usize = 8 << 20;

/// Plays the script that `data` makes.
///
/// # Errors
/// If it makes none.
///
/// # Panics
/// If a demand is broken.
pub fn body(data: &[u8]) -> Result<Tally> {
    let script = Script::arbitrary(&mut Unstructured::new(data))?;
    let mut player = HeapPlayer::new(MEMORY, script.key);
    play(&mut player, &script);
    player.release_all();
    if player.tally.of("foreign") == 0 {
        player.memory.heap.tuning.may_trim = true;
        player.memory.heap.trim(0);
        let held = player.memory.heap.usage().held;
        assert!(held <= 2 * PAGE, "{held} bytes do not go back");
        player.check();
    }
    Ok(player.tally)
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

/// Plays the operations and walks the invariants on the way.
pub(crate) fn play(player: &mut HeapPlayer, script: &Script) {
    for (step, &op) in script.ops.iter().enumerate() {
        player.play(op);
        if step % script.check_every == 0 {
            player.check();
        }
    }
}
