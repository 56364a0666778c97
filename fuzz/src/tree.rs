//! The tree file that a process writes to and reads.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

use mallocop::trace;
use mallocop::trace::reader::{ByteSource, TreeReader};
use mallocop::trace::{EXTENT, LogEntry, fresh_header};

/// Extents of the file: two windows of 4 MiB.
pub(crate) const EXTENTS: u32 = 512;
/// The file, by which it is emptied and read.
pub(crate) struct Tree(File);

impl Tree {
    /// The process's, mapped by the record.
    pub(crate) fn get() -> &'static Self {
        static TREE: OnceLock<Tree> = OnceLock::new();
        TREE.get_or_init(|| {
            // SAFETY: memfd_create(2) with a C string; the descriptor is nobody else's.
            let file = unsafe { File::from_raw_fd(libc::memfd_create(c"tree".as_ptr(), 0)) };
            let tree = Self(file);
            tree.empty();
            let other = CString::new(format!("/proc/self/fd/{}", tree.0.as_raw_fd()));
            assert!(trace::enter(c"/dev/null").is_none() && trace::slot().is_none());
            assert!(!trace::append(LogEntry::Text, b"nowhere"));
            assert!(trace::enter(&other.expect("a path")).is_some());
            tree
        })
    }

    /// As the command makes it.
    pub(crate) fn empty(&self) {
        let bytes = u64::from(EXTENTS) * EXTENT as u64;
        self.0.set_len(bytes).expect("a length");
        let all = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: fallocate(2) on the descriptor; what is mapped of the file is the record's, and
        // reads as zero then.
        let punched = unsafe { libc::fallocate(self.0.as_raw_fd(), all, 0, bytes as i64) };
        assert_eq!(punched, 0);
        self.0.write_all_at(&fresh_header(EXTENTS), 0).expect("a header");
    }

    pub(crate) fn reader(&self) -> TreeReader<&Self> {
        TreeReader::new(self)
    }
}

impl ByteSource for &Tree {
    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        self.0.read_exact_at(into, at).is_ok()
    }
}
