//! The tree file from the command's side: made before the program starts, read while it runs.

use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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
        let shared = PathBuf::from("/dev/shm");
        let place = if shared.is_dir() { shared } else { std::env::temp_dir() };
        let make = |place: &Path| tempfile::Builder::new().prefix("mallocop-").tempfile_in(place);
        let mut file = make(&place)
            .or_else(|_| make(&std::env::temp_dir()))
            .map_err(Failure::step("make the file for the program's findings"))?;
        file.write_all(&record::fresh_header())
            .and_then(|()| file.as_file().set_len(record::FILE_SIZE as u64))
            .map_err(Failure::step("write the file for the program's findings"))?;
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

    /// The texts that have come since the last call.
    pub(crate) fn next_texts(&mut self) -> Vec<String> {
        let used = self.counts().log_used.min((record::FILE_SIZE - record::LOG_OFFSET) as u64);
        let mut bytes = vec![0; (used - self.read.min(used)) as usize];
        let from = record::LOG_OFFSET as u64 + self.read;
        if bytes.is_empty() || self.file.as_file().read_exact_at(&mut bytes, from).is_err() {
            return Vec::new();
        }
        let (texts, taken) = record::read_log(&bytes);
        let texts = texts.into_iter().map(|text| String::from_utf8_lossy(text).into_owned());
        let texts = texts.collect();
        self.read += taken as u64;
        texts
    }
}
