//! A file of rules. It is read by each process of a run, so that it must be a regular one.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Most bytes that are read: of a device there is no end.
const MOST: u64 = 64 << 20;

/// The text of a file. Bytes that are no UTF-8 are replaced.
pub fn read_file(path: &Path) -> io::Result<String> {
    let facts = fs::metadata(path)?;
    if !facts.is_file() {
        return Err(io::Error::other("it is no regular file, and each process reads it"));
    }
    if facts.len() > MOST {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
