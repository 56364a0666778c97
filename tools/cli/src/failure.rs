//! Why the command could not do what it was asked: one line each.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::status;

/// A failure of the command itself.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An option's value, or a list in `MALLOCOP_OPTIONS`, is wrong.
    Usage(String),
    /// There is no such program.
    NotFound(PathBuf),
    /// The program is there but cannot be run.
    CannotRun(PathBuf, String),
    /// The program runs, but not with a library preloaded.
    CannotWatch(PathBuf, String),
    /// A file is no recording that can be read.
    Recording(PathBuf, String),
    /// A step of our own failed.
    Step(String, io::Error),
}

impl Failure {
    /// The exit status it leads to.
    pub(crate) const fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => status::USAGE,
            Self::NotFound(_) => status::NOT_FOUND,
            Self::CannotRun(..) => status::CANNOT_RUN,
            Self::CannotWatch(..) | Self::Recording(..) | Self::Step(..) => status::FAILED,
        }
    }

    /// A step that failed, as a `map_err`.
    pub(crate) fn step(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Step(what, error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) => f.write_str(why),
            Self::NotFound(program) => write!(f, "{}: there is no such program", program.display()),
            Self::CannotRun(program, why) => write!(f, "{}: {why}", program.display()),
            Self::CannotWatch(program, why) => {
                write!(f, "{} {why}; nothing was run", program.display())
            }
            Self::Recording(path, why) => {
                write!(f, "{} is no recording that can be read: {why}", path.display())
            }
            Self::Step(what, error) => write!(f, "cannot {what}: {error}"),
        }
    }
}
