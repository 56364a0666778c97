//! The request of a sweep.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The program to sweep and its options.
pub(crate) struct Sweep {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Options from the command line, in the form of `MALLOCOP_OPTIONS`.
    pub(crate) options: String,
    /// Is every request refused once, not only the first of each stack?
    pub(crate) every: bool,
    /// Most runs.
    pub(crate) max: Option<usize>,
    /// Longest time for one.
    pub(crate) timeout: Option<Duration>,
    /// Judges the output of runs that returned what the program returns: a shell's command.
    pub(crate) check: Option<String>,
}

/// Where the recordings of a run are, and what it printed.
pub(super) fn file(files: &Path, extension: &str) -> PathBuf {
    files.with_extension(extension)
}
