//! Keeps the standard input, so that each run of the program can read all of it.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsRawFd as _;

use crate::failure::Failure;

/// Copies standard input, up to its end, to an unlinked file with mode 0600.
pub(super) fn spool() -> Result<File, Failure> {
    let step = || Failure::step("keep the standard input");
    let input = io::stdin();
    if input.is_terminal() {
        let why = "--deep runs the program several times: its standard input cannot be a terminal; \
                   give it a file, or < /dev/null";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut file = tempfile::tempfile().map_err(step())?;
    io::copy(&mut input.lock(), &mut file).map_err(step())?;
    Ok(file)
}

/// Opens that file once more, with an offset of its own.
pub(super) fn again(file: &File) -> Result<File, Failure> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(Failure::step("read the standard input again"))
}
