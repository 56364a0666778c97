//! A folder for inputs and sockets that goes away with its owner.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// A folder of our own among the temporary files.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes it.
    pub(crate) fn create() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("mallocop-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// A folder in it for one program.
    pub(crate) fn part(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own tidying.
        let _ = fs::remove_dir_all(AsRef::<Path>::as_ref(&self.0));
    }
}
