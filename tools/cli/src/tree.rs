//! The tree file from the command's side: made before the program starts, read while it runs.

use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;

use mallocop::report::record::{self, Counts};
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// The file of one run; removed when this goes.
pub(crate) struct TreeFile {
    file: NamedTempFile,
    read: u64,
}

impl TreeFile {
    /// Makes a fresh file, in memory where there is a place for that.
    pub(crate) fn create() -> Result<Self, Failure> {
        let file = create_in(Path::new("/dev/shm"))
            .or_else(|_| create_in(&std::env::temp_dir()))
            .map_err(Failure::step("make the file for the program's findings"))?;
        Ok(Self { file, read: 0 })
    }

    /// Its path, for the program's environment.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> Counts {
        let mut header = [0; 64];
        match self.file.as_file().read_exact_at(&mut header, 0) {
            Ok(()) => record::read_header(&header).unwrap_or_default(),
            Err(_) => Counts::default(),
        }
    }

    /// The texts that have come since the last call. `last`: no more will come.
    pub(crate) fn next_texts(&mut self, last: bool) -> Vec<String> {
        let used = self.counts().log_used.min((record::FILE_SIZE - record::LOG_OFFSET) as u64);
        let mut bytes = vec![0; (used - self.read.min(used)) as usize];
        let from = record::LOG_OFFSET as u64 + self.read;
        if bytes.is_empty() || self.file.as_file().read_exact_at(&mut bytes, from).is_err() {
            return Vec::new();
        }
        let (texts, taken) = record::read_log(&bytes, last);
        let texts = texts.into_iter().map(|text| String::from_utf8_lossy(text).into_owned());
        let texts = texts.collect();
        self.read += taken as u64;
        texts
    }
}

/// A fresh file in `place`, with all its room allocated.
fn create_in(place: &Path) -> std::io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("mallocop-").tempfile_in(place)?;
    rustix::fs::fallocate(
        file.as_file(),
        rustix::fs::FallocateFlags::empty(),
        0,
        record::FILE_SIZE as u64,
    )?;
    file.write_all(&record::fresh_header())?;
    Ok(file)
}
