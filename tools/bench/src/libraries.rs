//! Where the peers' libraries are, and which versions they have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library that the linker's cache knows under a name beginning so, for x86-64.
pub(crate) fn in_cache(name: &str) -> Option<PathBuf> {
    let listing = ["ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"]
        .iter()
        .find_map(|program| output(program, &["-p"]))?;
    find_in_cache(&listing, name)
}

/// Looks for `NAME[.NUMBER] (libc6,x86-64) => PATH`.
fn find_in_cache(listing: &str, name: &str) -> Option<PathBuf> {
    listing.lines().find_map(|line| {
        let (entry, path) = line.trim().split_once(" => ")?;
        let (this, kind) = entry.split_once(' ')?;
        let suffix = this.strip_prefix(name)?;
        let same = suffix.is_empty() || suffix.starts_with('.');
        (same && kind.contains("x86-64")).then(|| PathBuf::from(path))
    })
}

/// The last file, versions in numerical order, of those a pattern means whose parts may hold a `*`.
pub(crate) fn matching(pattern: &str) -> Option<PathBuf> {
    let parts = pattern.split('/').filter(|part| !part.is_empty());
    let found = parts.fold(vec![PathBuf::from("/")], |folders, part| match part.split_once('*') {
        None => folders.into_iter().map(|folder| folder.join(part)).collect(),
        Some((start, end)) => {
            folders.iter().flat_map(|folder| entries(folder, start, end)).collect()
        }
    });
    let found = found.into_iter().filter(|path| path.is_file());
    // Of two numbers the longer is the larger.
    found.max_by_key(|path| (path.as_os_str().len(), path.clone()))
}

/// What a folder holds under names that start and end so.
fn entries(folder: &Path, start: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let fits = |name: &str| {
        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    };
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(fits))
        .map(|entry| entry.path())
        .collect()
}

/// A program of the PATH.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The package's version of a file, or what its name says, or nothing.
pub(crate) fn version(file: &Path) -> String {
    let resolved = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let named = || Some(format!("({})", resolved.file_name()?.to_string_lossy()));
    package_version(&resolved).or_else(named).unwrap_or_default()
}

/// Asks dpkg, which may know the file by the path it had before /lib became a link to /usr/lib.
fn package_version(file: &Path) -> Option<String> {
    let file = file.to_str()?;
    let owner = [Some(file), file.strip_prefix("/usr")]
        .into_iter()
        .flatten()
        .find_map(|path| output("dpkg-query", &["-S", path]))?;
    let (package, _) = owner.split_once(": ")?;
    output("dpkg-query", &["-W", "-f", "${Version}", package])
}

/// What a program prints, trimmed; none when it fails.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "2 libs found in cache `/etc/ld.so.cache'
\tlibmalloc_debug.so.4 (libc6,x86-64) => /lib/libmalloc_debug.so.4
\tlibmalloc.so.4 (libc6) => /lib32/libmalloc.so.4
\tlibmalloc.so.4 (libc6,x86-64) => /lib/libmalloc.so.4
";

    #[test]
    fn the_cache_is_asked_for_the_very_name_and_machine() {
        let found = |name| find_in_cache(LISTING, name);
        assert_eq!(found("libmalloc.so"), Some(PathBuf::from("/lib/libmalloc.so.4")));
        assert_eq!(found("libmalloc.so.5"), None);
        assert_eq!(found("libmal"), None);
    }

    #[test]
    fn a_pattern_finds_the_highest_version() {
        let folder = std::env::temp_dir().join(format!("bench-pattern-{}", std::process::id()));
        for version in ["9", "14"] {
            fs::create_dir_all(folder.join(format!("llvm-{version}"))).unwrap();
            fs::write(folder.join(format!("llvm-{version}/a.so")), "").unwrap();
        }
        let pattern = format!("{}/llvm-*/a.so", folder.display());
        assert_eq!(matching(&pattern), Some(folder.join("llvm-14/a.so")));
        assert_eq!(matching(&format!("{}/gcc-*/a.so", folder.display())), None);
        fs::remove_dir_all(folder).unwrap();
    }
}
