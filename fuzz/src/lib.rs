//! Fuzzing of mallocop: scripts of operations, played on a piece of it and on a model beside it.
//!
//! - **Generators** make a script out of a fuzzer's bytes: [`script`] (operations on a heap),
//!   [`smash`] (writes over its words). They know nothing of verdicts.
//! - **Models** say what a correct allocator must do: [`model`] (which payloads live, what they
//!   hold), [`source`] (which memory was handed out). They panic where that does not hold.
//! - A **target** is a body, `fn(&[u8])`, in a module of its own: bytes in, a panic if a demand
//!   is broken, else a [`Tally`] of what was done, or an error if the bytes make no script.
//!   `fuzz_targets/` holds nothing but libFuzzer's way into the bodies, and the root package's
//!   `tests/fuzz_scripts.rs` runs the same bodies over seeded bytes.

pub mod arena_ops;
pub mod arena_pages;
pub mod bare_ops;
pub mod checked_ops;
mod checked_player;
pub mod guard_ops;
pub mod heap_ops;
pub mod heap_player;
pub mod heap_refused_pages;
pub mod heap_smashed;
mod live_block;
pub mod model;
pub mod options;
mod planted_errors;
pub mod random;
mod record_model;
pub mod record_ops;
pub mod recording;
pub mod script;
pub mod simulated;
pub mod smash;
pub mod smashed_player;
mod smashed_writes;
pub mod source;
pub mod suppressions;
pub mod tally;
mod tree;
pub mod unwind_rules;

use arbitrary::{Arbitrary, Unstructured};
use random::Random;
use tally::Tally;

/// A body with the name that cargo-fuzz knows it by.
pub struct Target {
    /// Name of the file in `fuzz_targets/`.
    pub name: &'static str,
    /// Plays the script that the bytes make.
    pub body: fn(&[u8]) -> arbitrary::Result<Tally>,
    /// That script as text, for a person.
    pub show: fn(&[u8]) -> arbitrary::Result<String>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "arena_ops", body: arena_ops::body, show: arena_ops::show },
    Target { name: "bare_ops", body: bare_ops::body, show: bare_ops::show },
    Target { name: "checked_ops", body: checked_ops::body, show: checked_ops::show },
    Target { name: "guard_ops", body: guard_ops::body, show: guard_ops::show },
    Target { name: "heap_ops", body: heap_ops::body, show: heap_ops::show },
    Target {
        name: "heap_refused_pages",
        body: heap_refused_pages::body,
        show: heap_refused_pages::show,
    },
    Target { name: "heap_smashed", body: heap_smashed::body, show: heap_smashed::show },
    Target { name: "options", body: options::body, show: options::show },
    Target { name: "record_ops", body: record_ops::body, show: record_ops::show },
    Target { name: "recording", body: recording::body, show: recording::show },
    Target { name: "suppressions", body: suppressions::body, show: suppressions::show },
    Target { name: "unwind_rules", body: unwind_rules::body, show: unwind_rules::show },
];

/// The operations that the bytes make, `most` at most; one at least, and not all bytes for that.
fn operations<'a, T: Arbitrary<'a>>(data: &'a [u8], most: usize) -> arbitrary::Result<Vec<T>> {
    let mut u = Unstructured::new(data);
    let mut operations = vec![T::arbitrary(&mut u)?];
    if u.is_empty() {
        return Err(arbitrary::Error::NotEnoughData);
    }
    while operations.len() < most && !u.is_empty() {
        operations.push(T::arbitrary(&mut u)?);
    }
    Ok(operations)
}

/// The target called `name`.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs `body` over `wanted` scripts made of seeded bytes, `len` for each, and sums up what they
/// did.
///
/// # Panics
/// If a demand is broken, or if more inputs are rejected than accepted: a generator that turns
/// nearly everything down tests nearly nothing.
pub fn play_seeded(
    body: fn(&[u8]) -> arbitrary::Result<Tally>,
    first_seed: u64,
    wanted: usize,
    len: usize,
) -> Tally {
    let mut sum = Tally::default();
    let mut accepted = 0;
    for seed in (first_seed..).take(2 * wanted) {
        if let Ok(tally) = body(&Random::new(seed).bytes(len)) {
            sum += tally;
            accepted += 1;
        }
        if accepted == wanted {
            return sum;
        }
    }
    panic!("only {accepted} of {} inputs made a script", 2 * wanted);
}
