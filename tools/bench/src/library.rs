//! The library under measurement, and the command.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds libmallocop.so as the command carries it, and says where it is.
pub(crate) fn build() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new("cargo")
        .current_dir(&root)
        .args(["build", "--quiet", "--package", "mallocop-preload", "--profile", "library-fat"])
        .args(["--target-dir", "target/library"])
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let library = root.join("target/library/library-fat/libmallocop.so");
    if !status.success() || !library.is_file() {
        return Err("libmallocop.so was not built".to_owned());
    }
    library.canonicalize().map_err(|error| error.to_string())
}

/// Builds the command, and says where it is.
pub(crate) fn command() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new("cargo")
        .current_dir(&root)
        .args(["build", "--quiet", "--package", "mallocop-cli", "--release"])
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let command = root.join("target/release/mallocop");
    if !status.success() || !command.is_file() {
        return Err("the command was not built".to_owned());
    }
    command.canonicalize().map_err(|error| error.to_string())
}
