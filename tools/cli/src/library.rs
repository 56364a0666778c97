//! The library that is preloaded: carried inside the command, written to the user's cache once.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// libmallocop.so as built with this command.
const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libmallocop.so"));

/// Path of the library on disk, written first if it is not there, and verified.
pub(crate) fn install() -> Result<PathBuf, Failure> {
    let mut last = None;
    for directory in directories() {
        // The loader takes blanks and colons in LD_PRELOAD for separators.
        if directory.to_str().is_none_or(|path| path.contains([' ', ':', '\t'])) {
            continue;
        }
        match install_in(&directory) {
            Ok(path) => return Ok(path),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
    Err(Failure::Step("write the library to the cache directory".to_owned(), error))
}

/// Where it may lie: the user's cache, else a directory for temporary files.
fn directories() -> impl Iterator<Item = PathBuf> {
    let absolute = |variable| env::var_os(variable).map(PathBuf::from).filter(|p| p.is_absolute());
    let user = rustix::process::geteuid().as_raw();
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("mallocop"))
        .into_iter()
        .chain([env::temp_dir().join(format!("mallocop-{user}"))])
}

fn install_in(cache: &Path) -> std::io::Result<PathBuf> {
    let directory = cache.join(env!("MALLOCOP_LIBRARY_HASH"));
    let path = directory.join("libmallocop.so");
    fs::create_dir_all(&directory)?;
    let mount = rustix::fs::statvfs(&directory)?;
    if mount.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC) {
        return Err(std::io::Error::other("no code can be loaded from there (noexec)"));
    }
    if fs::read(&path).is_ok_and(|bytes| bytes == LIBRARY) {
        return Ok(path);
    }
    let mut file = tempfile::NamedTempFile::new_in(&directory)?;
    file.write_all(LIBRARY)?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(path)
}
