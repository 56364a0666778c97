//! Builds what the command carries inside itself: libmallocop.so, libmallocop_checked.so, and the
//! faulty programs of `mallocop demo`.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    for watched in
        ["src", "tools/preload", "tools/checked", "Cargo.toml", "Cargo.lock", "tools/cli/demo"]
    {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-env-changed=CC");
    Ok(())
}

/// How the library is built: `fast` takes half the time and is some percent slower, `fat` is what
/// is installed, measured and tested.
const PROFILES: [&str; 2] = ["fast", "fat"];
/// Names the profile, against the rule below.
const CHOICE: &str = "MALLOCOP_LIBRARY";

/// Debug builds of the command, as `cargo run` and `cargo test` make them, carry the fast library.
fn profile() -> Outcome<&'static str> {
    println!("cargo::rerun-if-env-changed={CHOICE}");
    match env::var(CHOICE) {
        Ok(choice) => PROFILES
            .into_iter()
            .find(|&known| known == choice)
            .ok_or_else(|| format!("{CHOICE}={choice}: it is `fast` or `fat`").into()),
        Err(_) if env::var("PROFILE").is_ok_and(|profile| profile == "debug") => Ok("fast"),
        Err(_) => Ok("fat"),
    }
}

/// The packages of the two libraries.
const PACKAGES: [&str; 2] = ["mallocop-preload", "mallocop-checked"];
const LIBRARIES: [&str; 2] = ["libmallocop.so", "libmallocop_checked.so"];

/// A nested cargo, whose target directory all builds of the command share. The library does not
/// depend on this package, so there is no recursion.
fn build_library(root: &Path, out: &Path) -> Outcome<()> {
    let profile = profile()?;
    println!("cargo::rustc-env=MALLOCOP_LIBRARY_PROFILE={profile}");
    let profile = format!("library-{profile}");
    let target = target_folder(out).unwrap_or(out).join("library");
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .current_dir(root)
        .args(["build", "--profile", &profile])
        .args(PACKAGES.map(|package| format!("--package={package}")))
        .arg("--target-dir")
        .arg(&target)
        // What concerns this package's own build is none of the library's business.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_LINKER")
        .env_remove("CARGO_BUILD_TARGET");
    run_visibly(&mut cargo)?;
    let mut hasher = DefaultHasher::new();
    for name in LIBRARIES {
        let library = fs::read(target.join(&profile).join(name))?;
        library.hash(&mut hasher);
        fs::write(out.join(name), library)?;
    }
    // Names the folder in the user's cache.
    println!("cargo::rustc-env=MALLOCOP_LIBRARY_HASH={:016x}", hasher.finish());
    Ok(())
}

/// The target directory of the build under way, of which `out` is
/// `[TRIPLE/]PROFILE/build/PACKAGE-HASH/out`.
fn target_folder(out: &Path) -> Option<&Path> {
    let mut above = out.ancestors();
    above.find(|path| path.file_name().is_some_and(|name| name == "build"))?;
    // cargo marks the directory itself.
    above.find(|path| path.join("CACHEDIR.TAG").is_file())
}

/// Runs a command whose lines are shown while it runs: cargo keeps a build script's own output to
/// itself, and this takes a minute.
fn run_visibly(command: &mut Command) -> Outcome<()> {
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stderr.take().ok_or("a pipe")?).lines();
    let mut terminal = cargos_stderr();
    let mut all = String::new();
    for line in lines.map_while(Result::ok) {
        if let Some(terminal) = &mut terminal {
            // Over cargo's own line, which it draws again.
            let clear = if terminal.is_terminal() { "\r\x1b[K" } else { "" };
            let _ = writeln!(terminal, "{clear}     Library {}", line.trim_start());
        }
        all.push_str(&line);
        all.push('\n');
    }
    match child.wait()? {
        status if status.success() => Ok(()),
        status => Err(format!("{command:?} failed: {status}\n{all}").into()),
    }
}

/// Standard error of the cargo that runs this script, if it can be had: a terminal or a pipe. In a
/// file cargo's own lines would be written over.
fn cargos_stderr() -> Option<File> {
    let path = format!("/proc/{}/fd/2", std::os::unix::process::parent_id());
    fs::metadata(&path).ok().filter(|facts| !facts.is_file())?;
    File::options().write(true).open(path).ok()
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
