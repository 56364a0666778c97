//! Lays the library's code out by near.ld, if the linker in use takes such a script: LLD and GNU ld
//! do.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=near.ld");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let script = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("near.ld");
    let argument = format!("-Wl,-T,{}", script.display());
    if links_with(&argument, Path::new(&env::var("OUT_DIR")?))? {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    } else {
        println!(
            "cargo::warning=the linker takes no near.ld: libmallocop.so will use 0.5 MiB more \
             memory"
        );
    }
    Ok(())
}

/// Does an empty library link with this argument? The linker is the one that cargo is told to use.
fn links_with(argument: &str, folder: &Path) -> Result<bool, Box<dyn Error>> {
    let source = folder.join("empty.rs");
    fs::write(&source, "")?;
    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc.args(["--crate-type", "cdylib", "--crate-name", "empty", "--out-dir"]);
    rustc.arg(folder).arg(&source).args(["-C", &format!("link-arg={argument}")]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    Ok(rustc.output()?.status.success())
}
