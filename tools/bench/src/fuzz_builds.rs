//! Builds fuzz targets: C by clang with its libFuzzer, Rust by cargo-fuzz, on stable but for the
//! sanitizer.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a target is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Rust,
}

impl Language {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Rust => "Rust",
        }
    }
}

/// The target that makes so many allocations: without anything twice, since one is run with the
/// library preloaded, with the crate, and with AddressSanitizer; `None`: there is none.
pub(crate) fn build(
    language: Language,
    folder: &Path,
    allocations: usize,
) -> Result<[Option<PathBuf>; 4], String> {
    match language {
        Language::C => {
            let plain = build_c(folder, allocations, false)?;
            let sanitized = build_c(folder, allocations, true)?;
            Ok([Some(plain.clone()), Some(plain), None, Some(sanitized)])
        }
        Language::Rust => {
            let name = if allocations < 100 { "few" } else { "many" };
            let plain = build_rust(folder, name, "+stable", &["-s", "none"])?;
            let with_crate = ["-s", "none", "--features", "crate"];
            let with_crate = build_rust(folder, name, "+stable", &with_crate)?;
            // Sanitizers are there with the nightly compiler only, which need not be.
            let sanitized = build_rust(folder, name, "+nightly", &["-s", "address"]).ok();
            Ok([Some(plain.clone()), Some(plain), Some(with_crate), sanitized])
        }
    }
}

/// The compilers' own words for themselves.
pub(crate) fn compilers() -> Result<String, String> {
    let first = |program: &str, words: &[&str]| {
        let said = check(Command::new(program).args(words))?;
        Ok::<_, String>(said.lines().next().unwrap_or("").to_owned())
    };
    let nightly = first("rustc", &["+nightly", "--version"]).unwrap_or("no nightly".to_owned());
    let rust = first("rustc", &["+stable", "--version"])?;
    Ok(format!("{}, {rust}, {nightly}", first("clang++", &["--version"])?))
}

/// Not by one call with -fsanitize=fuzzer, which links hooks of its own.
fn build_c(folder: &Path, allocations: usize, sanitized: bool) -> Result<PathBuf, String> {
    let name = format!("fuzz_{allocations}_{sanitized}");
    let (object, program) = (folder.join(format!("{name}.o")), folder.join(name));
    let sanitizer =
        if sanitized { "-fsanitize=address,fuzzer-no-link" } else { "-fsanitize=fuzzer-no-link" };
    let mut compile = Command::new("clang++");
    compile
        .args(["-O1", "-g", sanitizer, "-c"])
        .arg(format!("-DALLOCATIONS={allocations}"))
        .arg(targets().join("fuzz_speed.cpp"))
        .arg("-o")
        .arg(&object);
    check(&mut compile)?;
    let mut link = Command::new("clang++");
    if sanitized {
        link.arg("-fsanitize=address");
    }
    link.arg(&object).arg(archive()?).args(["-lpthread", "-lm", "-o"]).arg(&program);
    check(&mut link)?;
    Ok(program)
}

fn archive() -> Result<String, String> {
    let mut ask = Command::new("clang++");
    let found = check(ask.arg("-print-file-name=libclang_rt.fuzzer-x86_64.a"))?;
    if found.trim().starts_with('/') {
        return Ok(found.trim().to_owned());
    }
    let folder = check(Command::new("clang++").arg("-print-runtime-dir"))?;
    Ok(format!("{}/libclang_rt.fuzzer-x86_64.a", folder.trim()))
}

fn build_rust(
    folder: &Path,
    name: &str,
    toolchain: &str,
    words: &[&str],
) -> Result<PathBuf, String> {
    // A folder for each way of building: their programs have the same names.
    let target = folder.join(words.join("").replace('-', "_"));
    let mut cargo = Command::new("cargo");
    cargo.args([toolchain, "fuzz", "build", "--fuzz-dir"]).arg(targets().join("fuzz_speed"));
    cargo.args(words).arg("--target-dir").arg(&target).arg(name);
    // Set by the cargo that runs this, and of its toolchain.
    for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTFLAGS", "CARGO_TARGET_DIR"] {
        cargo.env_remove(variable);
    }
    check(cargo.current_dir(targets().join("fuzz_speed")))?;
    Ok(target.join("x86_64-unknown-linux-gnu/release").join(name))
}

fn targets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets")
}

fn check(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
