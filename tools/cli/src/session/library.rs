//! The libraries that are preloaded: carried inside the command, written once to a directory that
//! belongs to the user.
//!
//! What is loaded must be ours: a directory or a file in which somebody else could put a library of
//! their own is refused. Children of the program may run as other users, so that a directory which
//! all may enter is preferred.

use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A library as built with this command.
#[derive(Clone, Copy)]
struct Library {
    file: &'static str,
    bytes: &'static [u8],
}

/// libmallocop.so.
const WATCHER: Library = Library {
    file: "libmallocop.so",
    bytes: include_bytes!(concat!(env!("OUT_DIR"), "/libmallocop.so")),
};

/// libmallocop_checked.so, which is preloaded behind it.
const CHECKER: Library = Library {
    file: "libmallocop_checked.so",
    bytes: include_bytes!(concat!(env!("OUT_DIR"), "/libmallocop_checked.so")),
};

/// Permissions of what we make, whatever the umask is: all may read, only the owner may write.
const DIRECTORY: u32 = 0o755;
const FILE: u32 = 0o644;
/// Bits of a mode: the group or others may write; others may; only owners may rename and remove
/// (sticky).
const SHARED: u32 = 0o022;
const OPEN: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Path of the library on disk, written first if it is not there.
pub(crate) fn install() -> Result<PathBuf, Failure> {
    install_one(WATCHER)
}

/// The same for libmallocop_checked.so.
pub(crate) fn install_checker() -> Result<PathBuf, Failure> {
    install_one(CHECKER)
}

fn install_one(library: Library) -> Result<PathBuf, Failure> {
    let user = rustix::process::geteuid().as_raw();
    let mut last = None;
    for directory in directories(user) {
        // The loader takes blanks and colons in LD_PRELOAD for separators.
        if directory.to_str().is_none_or(|path| path.contains([' ', ':', '\t'])) {
            continue;
        }
        match install_in(&directory, user, library) {
            Ok(path) => return Ok(path),
            Err(error) => {
                last =
                    Some(io::Error::new(error.kind(), format!("{}: {error}", directory.display())));
            }
        }
    }
    let error = last.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    Err(Failure::Step("write the library to the cache directory".to_owned(), error))
}

/// Where it may lie: the system's cache for root, whose home nobody else may enter, else the user's
/// cache, else a directory for temporary files.
fn directories(user: u32) -> impl Iterator<Item = PathBuf> {
    let absolute = |variable| env::var_os(variable).map(PathBuf::from).filter(|p| p.is_absolute());
    let of_user = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("mallocop"));
    let of_system = (user == 0).then(|| PathBuf::from("/var/cache/mallocop"));
    let temporary = env::temp_dir().join(format!("mallocop-{user}"));
    of_system.into_iter().chain(of_user).chain([temporary])
}

fn install_in(cache: &Path, user: u32, library: Library) -> io::Result<PathBuf> {
    let directory = cache.join(env!("MALLOCOP_LIBRARY_HASH"));
    let path = directory.join(library.file);
    // Nearly always it is there already.
    if is_ours(&path, user, library).is_ok() {
        return Ok(path);
    }
    DirBuilder::new().recursive(true).mode(DIRECTORY).create(&directory)?;
    for made in [cache, &directory] {
        let facts = fs::symlink_metadata(made)?;
        if facts.is_dir() && facts.uid() == user && facts.mode() & 0o777 != DIRECTORY {
            fs::set_permissions(made, Permissions::from_mode(DIRECTORY))?;
        }
    }
    is_safe(&directory, user)?;
    let mount = rustix::fs::statvfs(&directory)?;
    if mount.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC) {
        return Err(io::Error::other("no code can be loaded from there (noexec)"));
    }
    let mut file = tempfile::NamedTempFile::new_in(&directory)?;
    file.write_all(library.bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(FILE))?;
    file.persist(&path).map_err(|error| error.error)?;
    is_ours(&path, user, library)?;
    Ok(path)
}

/// Is the file the library as this user has written it?
fn is_ours(path: &Path, user: u32, library: Library) -> io::Result<()> {
    let facts = fs::symlink_metadata(path)?;
    let is_sound = facts.is_file()
        && facts.uid() == user
        && facts.mode() & SHARED == 0
        && facts.len() == library.bytes.len() as u64;
    if !is_sound {
        return Err(refused("there is another file in the library's place"));
    }
    path.parent().map_or(Ok(()), |directory| is_safe(directory, user))
}

/// Can nobody but this user and root put something into the directory's place, or into it?
fn is_safe(directory: &Path, user: u32) -> io::Result<()> {
    let real = fs::canonicalize(directory)?;
    if real != directory && fs::symlink_metadata(directory)?.is_symlink() {
        return Err(refused("a symbolic link stands there"));
    }
    for (depth, place) in real.ancestors().enumerate() {
        let facts = fs::metadata(place)?;
        let (is_users, mode) = (facts.uid() == user, facts.mode());
        let is_private = is_users && mode & SHARED == 0;
        let is_roots = facts.uid() == 0 || is_unmapped_roots(place, facts.uid());
        // Above the directory and the one that it is in: others may own nothing that leads there.
        let is_guarded = (is_users || is_roots) && (mode & OPEN == 0 || mode & STICKY != 0);
        if if depth < 2 { !is_private } else { !is_guarded } {
            let who = format!("{} can be changed by others", place.display());
            return Err(refused(&who));
        }
    }
    Ok(())
}

/// Is it one of root's directories, where the user namespace does not map root
/// (user_namespaces(7))? All that is not mapped belongs to one user there: of what others may own
/// too nothing is believed.
fn is_unmapped_roots(place: &Path, owner: u32) -> bool {
    const ROOTS: [&str; 7] = ["/", "/tmp", "/var", "/var/tmp", "/home", "/dev", "/dev/shm"];
    let number = |path| fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
    let is_mapped = |map: String| map.lines().any(|line| line.trim_start().starts_with("0 "));
    ROOTS.iter().any(|known| place == Path::new(known))
        && number("/proc/sys/kernel/overflowuid") == Some(owner)
        && fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !is_mapped(map))
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("facts").mode() & 0o777
    }

    #[test]
    fn a_library_is_written_for_all_and_found_again() {
        let user = rustix::process::geteuid().as_raw();
        let scratch = tempfile::tempdir().expect("a directory");
        let cache = scratch.path().join("cache");
        let path = install_in(&cache, user, WATCHER).expect("installed");
        assert_eq!((mode(&cache), mode(&path)), (DIRECTORY, FILE));
        let written = fs::metadata(&path).expect("facts").ino();
        install_in(&cache, user, WATCHER).expect("installed");
        assert_eq!(fs::metadata(&path).expect("facts").ino(), written);
        fs::write(&path, "short").expect("written");
        install_in(&cache, user, WATCHER).expect("installed");
        assert!(fs::read(&path).is_ok_and(|bytes| bytes == WATCHER.bytes));
    }

    #[test]
    fn a_place_that_others_can_change_is_refused() {
        let user = rustix::process::geteuid().as_raw();
        let scratch = tempfile::tempdir().expect("a directory");
        let open = scratch.path().join("open");
        fs::create_dir(&open).expect("a directory");
        fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("permissions");
        assert!(install_in(&open.join("cache"), user, WATCHER).is_err());
        let (real, link) = (scratch.path().join("real"), scratch.path().join("link"));
        fs::create_dir(&real).expect("a directory");
        let hash = env!("MALLOCOP_LIBRARY_HASH");
        fs::create_dir(&link).expect("a directory");
        std::os::unix::fs::symlink(&real, link.join(hash)).expect("a link");
        assert!(install_in(&link, user, WATCHER).is_err());
        // Somebody else's file is not loaded.
        assert!(install_in(&scratch.path().join("theirs"), user.wrapping_add(1), WATCHER).is_err());
    }
}
