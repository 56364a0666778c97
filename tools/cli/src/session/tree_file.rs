//! The tree file from the command's side: made before the program starts, read while it runs.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mallocop::trace;
use mallocop::trace::reader::{ByteSource, Tag, TreeReader};
use mallocop::trace::{EXTENT, GIVEN_BACK_AT, HINT_AT, MOST_EXTENTS, TAGS, WINDOW_EXTENTS};
use rustix::fs::{FallocateFlags, MemfdFlags};
use tempfile::TempPath;

use crate::failure::Failure;

/// Extents of a file that lies in a directory, all of them allocated beforehand: a full one must
/// not become a SIGBUS in the program.
const EXTENTS_ON_DISK: u32 = 2048;

/// The file of one run. It has no name that could stay behind, where the kernel can do that.
pub(crate) struct TreeFile {
    file: File,
    /// Extents that it has.
    extents: u32,
    path: PathBuf,
    named: Option<TempPath>,
}

impl TreeFile {
    /// Makes a fresh file, in memory where that can be had.
    pub(crate) fn create() -> Result<Self, Failure> {
        create_in_memory()
            .or_else(|_| create_in(Path::new("/dev/shm")))
            .or_else(|_| create_in(&std::env::temp_dir()))
            .map_err(Failure::step("make the file for the program's findings"))
    }

    /// Its path, for the program's environment.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Extents that it has.
    pub(crate) const fn extents(&self) -> usize {
        self.extents as usize
    }

    /// Is it in memory, without a name?
    pub(crate) const fn is_in_memory(&self) -> bool {
        self.named.is_none()
    }

    /// Makes the extents with these tags free again, and gives their memory back.
    pub(crate) fn free(&self, tags: &[Tag]) {
        let (mut first, flags) = (u32::MAX, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE);
        for tag in tags {
            let at = u64::from(tag.number) * EXTENT as u64;
            // Of a file on disk the room stays allocated, so that writing to it cannot fail.
            let is_zeroed = match self.is_in_memory() {
                true => rustix::fs::fallocate(&self.file, flags, at, EXTENT as u64).is_ok(),
                false => self.file.write_all_at(&[0; EXTENT], at).is_ok(),
            };
            // Otherwise the extent stays taken.
            if is_zeroed {
                let tag_at = TAGS as u64 + u64::from(tag.number) * 8;
                let _ = self.file.write_all_at(&[0; 8], tag_at);
                first = first.min(tag.number);
            }
        }
        if first != u32::MAX {
            let _ = self.file.write_all_at(&first.to_ne_bytes(), HINT_AT);
            let mut times = [0; 4];
            let _ = self.file.read_exact_at(&mut times, GIVEN_BACK_AT);
            let times = u32::from_ne_bytes(times).wrapping_add(1);
            let _ = self.file.write_all_at(&times.to_ne_bytes(), GIVEN_BACK_AT);
        }
    }

    /// Starts to read it.
    pub(crate) fn reader(&self) -> Result<TreeReader<Source>, Failure> {
        let file = self.file.try_clone().map_err(Failure::step("read the file for findings"))?;
        Ok(TreeReader::new(Source(file)))
    }
}

/// The file as the reader wants it.
pub(crate) struct Source(File);

impl ByteSource for Source {
    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        self.0.read_exact_at(into, at).is_ok()
    }
}

/// A file of no directory: it takes memory as it is written to, cannot be full, and is gone when
/// nobody has it.
fn create_in_memory() -> std::io::Result<TreeFile> {
    let mut file = File::from(rustix::fs::memfd_create("mallocop", MemfdFlags::CLOEXEC)?);
    let extents = within_limit(MOST_EXTENTS)?;
    file.set_len(u64::from(extents) * EXTENT as u64)?;
    file.write_all(&trace::fresh_header(extents))?;
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
    // Without /proc nobody could open it.
    File::open(&path)?;
    Ok(TreeFile { file, extents, path, named: None })
}

/// As many extents of `most` as the limit on files allows (RLIMIT_FSIZE, `ulimit -f`): beyond it
/// the kernel sends SIGXFSZ.
fn within_limit(most: u32) -> std::io::Result<u32> {
    /// Windows that a file has to have at least, to be worth it.
    const LEAST: u64 = 4;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    let window = u64::from(WINDOW_EXTENTS) * EXTENT as u64;
    let windows = limit.current.unwrap_or(u64::MAX) / window;
    if windows < LEAST {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    let extents = windows.saturating_mul(u64::from(WINDOW_EXTENTS));
    Ok(u32::try_from(extents).unwrap_or(u32::MAX).min(most))
}

/// A fresh file in `place`, with all its room allocated.
fn create_in(place: &Path) -> std::io::Result<TreeFile> {
    let (mut file, path) =
        tempfile::Builder::new().prefix("mallocop-").tempfile_in(place)?.into_parts();
    let extents = within_limit(EXTENTS_ON_DISK)?;
    let bytes = u64::from(extents) * EXTENT as u64;
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    file.write_all(&trace::fresh_header(extents))?;
    Ok(TreeFile { file, extents, path: path.to_path_buf(), named: Some(path) })
}
