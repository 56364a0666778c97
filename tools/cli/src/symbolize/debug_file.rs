//! Where a module's debug information is: in its file, or in another that the file names.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mallocop::stack::debug_check;
use object::read::{Object, ObjectSection, ReadCache};

/// Where distributions put debug files.
const FOLDER: &str = "/usr/lib/debug";

/// Looks into an object file. `None`: it is no file, or none of that kind, or has not what is
/// wanted.
fn look<T>(
    path: &Path,
    wanted: impl FnOnce(&object::File<'_, &ReadCache<File>>) -> Option<T>,
) -> Option<T> {
    // A recording may name anything: a pipe, whose opening would wait for ever, or a file of holes.
    debug_check::has_sound_sections(path).then_some(())?;
    let cache = ReadCache::new(File::open(path).ok()?);
    wanted(&object::File::parse(&cache).ok()?)
}

/// The build id of a file, in hexadecimal digits; empty without one.
pub(crate) fn build_id(path: &Path) -> String {
    look(path, |file| file.build_id().ok().flatten().map(hex)).unwrap_or_default()
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The debug file of a build id, if it is installed; else what debuginfod has, where that may be
/// asked.
pub(crate) fn fetch(id: &str, may_ask: bool) -> Option<PathBuf> {
    by_build_id(id).or_else(|| {
        if !may_ask || id.is_empty() {
            return None;
        }
        // Knows the servers (DEBUGINFOD_URLS) and keeps what it has got.
        let found = Command::new("debuginfod-find")
            .args(["debuginfo", id])
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let path = String::from_utf8(found.stdout).ok()?;
        found.status.success().then(|| PathBuf::from(path.trim()))
    })
}

fn by_build_id(id: &str) -> Option<PathBuf> {
    let (first, rest) = id.split_at_checked(2)?;
    let path = Path::new(FOLDER).join(".build-id").join(first).join(format!("{rest}.debug"));
    (!rest.is_empty() && build_id(&path) == id).then_some(path)
}

/// The file with a module's lines: its own, or by its build id, or by its debug link. `None`: there
/// is none.
pub(crate) fn find(path: &Path) -> Option<PathBuf> {
    look(path, |file| {
        let has_lines = [".debug_line", ".debug_info"]
            .iter()
            .any(|name| file.section_by_name(name).is_some_and(|section| section.size() > 0));
        if has_lines {
            return Some(path.to_owned());
        }
        let id = file.build_id().ok().flatten().map(hex).unwrap_or_default();
        by_build_id(&id).or_else(|| {
            let (name, crc) = file.gnu_debuglink().ok().flatten()?;
            by_link(path, Path::new(OsStr::from_bytes(name)), crc, &id)
        })
    })
}

/// The file that a debug link names, in the places where gdb looks for it.
fn by_link(path: &Path, name: &Path, crc: u32, id: &str) -> Option<PathBuf> {
    let real = fs::canonicalize(path).ok()?;
    let folder = real.parent()?;
    let system = Path::new(FOLDER).join(folder.strip_prefix("/").ok()?);
    let places = [folder.join(name), folder.join(".debug").join(name), system.join(name)];
    places.into_iter().find(|place| {
        let found = build_id(place);
        match id.is_empty() || found.is_empty() {
            true => checksum(place) == Some(crc),
            false => found == id,
        }
    })
}

/// The checksum of a regular file, read piece by piece. `None`: it cannot be read.
fn checksum(path: &Path) -> Option<u32> {
    let facts = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    debug_check::is_dense(&facts, facts.len()).then_some(())?;
    let (mut file, mut piece) = (File::open(path).ok()?, vec![0; 64 << 10]);
    let mut hasher = crc32fast::Hasher::new();
    loop {
        match file.read(&mut piece).ok()? {
            0 => return Some(hasher.finalize()),
            got => hasher.update(piece.get(..got)?),
        }
    }
}

/// The file with what several debug files have in common (dwz).
pub(crate) fn find_common(debug: &Path) -> Option<PathBuf> {
    look(debug, |file| {
        let (name, id) = file.gnu_debugaltlink().ok().flatten()?;
        let id = hex(id);
        let beside = fs::canonicalize(debug).ok()?.parent()?.join(OsStr::from_bytes(name));
        Some(beside).filter(|path| build_id(path) == id).or_else(|| by_build_id(&id))
    })
}
