//! What a reader sees: findings and the summary as text, and the way it leaves the process.

pub mod leaks;
mod place;
pub mod record;
pub mod stacks;
pub mod summary;
mod suppressed;
pub mod text;

use crate::sys::output;

/// Puts text where the reader looks: under `mallocop run` the tree file, from which the command
/// prints; without one, or when it is full, the standard error that the process was started with.
pub fn emit(text: &str) {
    if !record::append(text.as_bytes()) {
        output::write_stderr(text.as_bytes());
    }
}
