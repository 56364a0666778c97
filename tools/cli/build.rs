//! Builds what the command carries inside itself: libmallocop.so, and the faulty programs of
//! `mallocop demo`.

use std::env;
use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The programs in demo/, one defect each.
const DEMOS: [&str; 7] =
    ["leak", "overflow", "underflow", "use_after_free", "double_free", "invalid_free", "mismatch"];

fn main() -> Outcome<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = package.join("../..").canonicalize()?;
    build_library(&root, &out)?;
    for demo in DEMOS {
        build_demo(&package.join("demo"), demo, &out)?;
    }
    for watched in ["src", "tools/preload", "Cargo.toml", "Cargo.lock", "tools/cli/demo"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-env-changed=CC");
    Ok(())
}

/// A nested cargo with a target directory of its own; the library does not depend on this package,
/// so there is no recursion.
fn build_library(root: &Path, out: &Path) -> Outcome<()> {
    let target = out.join("preload-target");
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .current_dir(root)
        .args(["build", "--package", "mallocop-preload", "--profile", "preload", "--target-dir"])
        .arg(&target)
        // What concerns this package's own build is none of the library's business.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_LINKER")
        .env_remove("CARGO_BUILD_TARGET");
    run(&mut cargo)?;
    let library = fs::read(target.join("preload/libmallocop.so"))?;
    let mut hasher = DefaultHasher::new();
    library.hash(&mut hasher);
    // Names the folder in the user's cache.
    println!("cargo::rustc-env=MALLOCOP_LIBRARY_HASH={:016x}", hasher.finish());
    fs::write(out.join("libmallocop.so"), library)?;
    Ok(())
}

fn build_demo(sources: &Path, demo: &str, out: &Path) -> Outcome<()> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut cc = Command::new(compiler);
    cc.current_dir(sources)
        .args(["-g", "-O0", "-fno-builtin", "-w"])
        .arg(format!("-ffile-prefix-map={}=.", sources.display()))
        .args(["-o".as_ref(), out.join(demo).as_os_str()])
        .arg(format!("{demo}.c"));
    run(&mut cc)
}

fn run(command: &mut Command) -> Outcome<()> {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}
