//! Source files, as far as they are there.

use std::fs::File;
use std::io::{BufRead, BufReader};

use crate::model::stack::Frame;
use crate::sys::seccomp;

/// The source line of a frame, if its file is there.
pub(crate) fn line_of(frame: &Frame) -> Option<String> {
    let file = frame.file.as_deref().filter(|_| frame.line != 0 && !seccomp::is_installed())?;
    let metadata = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    if metadata.len() > 16 << 20 {
        return None;
    }
    let lines = BufReader::new(File::open(file).ok()?).lines();
    lines.map_while(Result::ok).nth(frame.line as usize - 1)
}
