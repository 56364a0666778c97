//! Target: a heap whose words are written over while it is used.
//!
//! # What is demanded, and why it can be
//!
//! A chunk word carries a keyed checksum of 24 bits over its contents and its address. Links carry
//! none, but are followed only to addresses where word, footer and the word behind verify as a
//! free chunk, and only if that chunk links back. So a write is one of three things:
//!
//! 1. **It leaves no new word that verifies**: flips, random bytes, overruns, words copied from
//!    elsewhere, any link, all that a freed payload held once (links and footer, but not the word
//!    in front of it). The heap must behave as if it had noticed, and no payload may ever be
//!    handed out twice:
//!    - each call ends in `Ok` or `Err(Corrupt)`;
//!    - `release` and `resize` that end in `Err` have changed nothing that is counted as in use;
//!    - `allocate` that ends in `Err` can be repeated and ends in `Ok` after as many tries as there
//!      are lists to lose;
//!    - a payload lies in memory that the source handed out and overlaps none that lives, not even
//!      one whose own words are smashed (a chunk in use with a bad word is never given up);
//!    - the heap writes into no live payload, and gives nothing back that it was not given.
//! 2. **A new word verifies by chance**: 1 in 2^24 for each write, by design. The fuzzer's many
//!    writes would meet that (and libFuzzer learns from comparisons), so such a write is undone,
//!    told by asking the heap itself. Words copied from elsewhere may verify only by chance,
//!    though: two of them in a script are a defect.
//! 3. **A word that was valid at this address once is put back** ([`Smash::Replay`]). Nothing in
//!    the word says when it was written, so the checksum cannot tell, and an old size of a chunk in
//!    use frees what lies behind it today: payloads may overlap from then on, and an old mapping
//!    may be given back instead of today's. What is still demanded: no fault (nothing is mapped
//!    round the simulated memory), no panic, no work without bound, and no payload outside of what
//!    the source handed out, since sizes and addresses are held against the table of segments,
//!    which lies outside of the heap.
//!
//! Work is bounded by the number of requests to the source for each call, by the number of
//! repetitions, and by the time of the script; a call that never ends is left to libFuzzer's
//! `-timeout`.

use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::script::{Op, listed};
use crate::smash::{SmashedScript, Step};
use crate::smashed_player::SmashedPlayer;
use crate::tally::Tally;

#[cfg(doc)]
use crate::smash::Smash;

const MEMORY: usize = 4 << 20;
/// Far more than any script takes (milliseconds), even on a busy machine.
const TIME: Duration = Duration::from_secs(20);

/// Plays the script that `data` makes.
///
/// # Errors
/// If it makes none.
///
/// # Panics
/// If a demand is broken.
pub fn body(data: &[u8]) -> Result<Tally> {
    let script = SmashedScript::arbitrary(&mut Unstructured::new(data))?;
    let started = Instant::now();
    let mut player = SmashedPlayer::new(MEMORY, script.key);
    for (number, &step) in script.steps.iter().enumerate() {
        match step {
            Step::Op(op) => player.play(op),
            Step::Smash(smash) => player.smash(smash),
        }
        if number % 32 == 0 {
            player.check();
        }
    }
    // Everything out and in once more: what the last writes left must be met.
    for _ in 0..player.model.live().len() {
        player.play(Op::Release(0));
    }
    player.fill_up(script.steps.len().min(300));
    player.check();
    assert!(started.elapsed() < TIME, "{:?} for a script", started.elapsed());
    Ok(player.tally)
}

/// The script as text.
///
/// # Errors
/// As [`body`].
pub fn show(data: &[u8]) -> Result<String> {
    let script = SmashedScript::arbitrary(&mut Unstructured::new(data))?;
    let head = format!("key {:#x}", script.key);
    Ok(listed(head, &script.steps))
}
