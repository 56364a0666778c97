//! Target: the checked heap with errors planted in it.
//!
//! One heap for the process, without stacks. Demanded of it: blocks have their size and alignment, keep
//! their contents and overlap none; calloc's are zero; and of each planted error exactly this finding,
//! about exactly that block, and none besides:
//!
//! | planted | found as | when |
//! |---|---|---|
//! | bytes changed directly behind a block, or in the 6 in front | overflow, underflow; the bytes | at each check, and once when it is freed or resized |
//! | a byte changed in a freed block that waits | write after free; the byte | once: at the check, or as it leaves |
//! | a waiting block freed again | double free | at once |
//! | an address inside a block, of a variable, or none | bad free | at once |
//! | freed by a call of another kind | mismatch | at once |
//! | freed with a wrong size or for another alignment | delete mismatch | at once |
//!
//! One block at a time has damage round it: then no other can be blamed. Only blocks are taken for
//! waiting that were among the last few KiB freed, far less than what may wait.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::checked_player::CheckedPlayer;
use crate::checked_script::Script;
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
    let mut player = CheckedPlayer::new();
    script.steps.iter().for_each(|&step| player.play(step));
    player.end();
    Ok(std::mem::take(&mut player.tally))
}

/// The script as text.
///
/// # Errors
/// As [`body`].
pub fn show(data: &[u8]) -> Result<String> {
    let script = Script::arbitrary(&mut Unstructured::new(data))?;
    Ok(listed(String::new(), &script.steps))
}
