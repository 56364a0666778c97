//! Every exit status of the command, in one place.
//!
//! | status | meaning |
//! |--------|---------|
//! | the program's own | it returned that and nothing was found, or it was not 0 anyway |
//! | 23 (`--exitcode`) | something was found and the program returned 0 |
//! | 128 + n | the program was ended by signal n; 134 is SIGABRT, how heap errors end it |
//! | 2 | the command line is wrong |
//! | 125 | mallocop itself failed, or the program cannot be watched |
//! | 126 | the program is there but cannot be run |
//! | 127 | there is no such program |

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// mallocop itself failed, or the program cannot be watched.
pub(crate) const FAILED: u8 = 125;
/// The program cannot be run.
pub(crate) const CANNOT_RUN: u8 = 126;
/// There is no such program.
pub(crate) const NOT_FOUND: u8 = 127;

/// The end of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// The program's own status.
    pub(crate) own: u8,
    /// The same, or `exitcode` where it is 0 and errors or leaks were found.
    pub(crate) reported: u8,
}

impl End {
    /// Of a run that was not watched to its end.
    pub(crate) const fn plain(status: u8) -> Self {
        Self { own: status, reported: status }
    }
}

/// The status of a finished run. `found`: errors were found; `exitcode`: the status for that.
pub(crate) fn of_run(program: ExitStatus, found: bool, exitcode: u8) -> u8 {
    match (program.code(), program.signal()) {
        (Some(0), _) if found => exitcode,
        (Some(code), _) => u8::try_from(code).unwrap_or(FAILED),
        (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(FAILED),
        (None, None) => FAILED,
    }
}

/// Was the program interrupted, by SIGINT or SIGTERM?
pub(crate) const fn is_interrupted(own: u8) -> bool {
    const INTERRUPTED: u8 = 128 + 2;
    const TERMINATED: u8 = 128 + 15;
    matches!(own, INTERRUPTED | TERMINATED)
}

/// Did SIGABRT end the program, as heap errors do?
pub(crate) const fn is_aborted(own: u8) -> bool {
    const ABORTED: u8 = 128 + 6;
    own == ABORTED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_has_the_first_word() {
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        assert_eq!(of_run(exited(0), false, 23), 0);
        assert_eq!(of_run(exited(0), true, 23), 23);
        assert_eq!(of_run(exited(7), true, 23), 7);
        assert_eq!(of_run(ExitStatus::from_raw(6), true, 23), 134);
        assert_eq!(of_run(ExitStatus::from_raw(9), false, 23), 137);
    }
}
