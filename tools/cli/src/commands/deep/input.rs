//! The program's standard input, for several runs.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsRawFd as _;

use crate::failure::Failure;

/// All that comes, in a file that has no name and that nobody else can read.
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

/// It from its start, apart from what others read of it.
pub(super) fn again(file: &File) -> Result<File, Failure> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(Failure::step("read the standard input again"))
}
