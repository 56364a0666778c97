//! What the end-to-end tests share: building the small programs, running them under the command,
//! reading what it printed.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod leaks;
pub(crate) mod trials;
pub(crate) mod victim;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The command under test; it carries the library inside itself.
pub(crate) const MALLOCOP: &str = env!("CARGO_BIN_EXE_mallocop");
/// Longest time that any program of the tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(200);

/// Flags by which what is in use is listed, whether it is lost or not.
pub(crate) const LISTS: &[&str] = &["--detect-leaks=0", "--show-reachable"];

/// The folder with the victims' sources.
pub(crate) fn victims() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/victims")
}

/// A folder of this test binary's own.
pub(crate) fn scratch() -> PathBuf {
    let name = std::env::current_exe().expect("a path");
    let name = name.file_stem().expect("a name").to_owned();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&path).expect("a scratch folder");
    path
}

/// Compiles `source` from the victims' folder with line information and no optimisation.
pub(crate) fn compile(source: &str, output: &str, flags: &[&str]) -> PathBuf {
    // Two tests may want the same program: the second takes what the first has made, and may be
    // running.
    static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let program = scratch().join(output);
    if made.contains(&program) {
        return program;
    }
    let mut command = compiler_of(source);
    // Another process may be at the same program, or run it.
    let fresh = scratch().join(format!("{output}.{}", std::process::id()));
    command.current_dir(victims()).arg("-o").arg(&fresh).arg(source).args(flags);
    if !source.ends_with(".rs") {
        command.args(["-lpthread", "-ldl"]);
    }
    let status = command.status().expect("a compiler");
    assert!(status.success(), "{source} does not compile");
    fs::rename(&fresh, &program).expect("a program in its place");
    made.push(program.clone());
    program
}

/// The compiler for a source, with its flags.
fn compiler_of(source: &str) -> Command {
    let (name, flags): (_, &[&str]) = match source.rsplit('.').next() {
        Some("rs") => ("rustc", &["-g", "--edition=2024", "-Awarnings", "-Cdebug-assertions=off"]),
        Some("cpp") => ("g++", &["-g", "-O0", "-w", "-std=c++17"]),
        _ => ("gcc", &["-g", "-O0", "-w"]),
    };
    let mut command = Command::new(name);
    command.args(flags);
    command
}

/// A finished program: what it printed and how it ended.
pub(crate) struct Ran {
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error, with what mallocop had to say.
    pub(crate) stderr: String,
    /// Exit status as a shell shows it.
    pub(crate) status: i32,
}

impl Ran {
    fn from(output: &Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let status = output.status;
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        }
    }

    /// Does mallocop report an error or a warning?
    pub(crate) fn has_report(&self) -> bool {
        ["==ERROR: mallocop", "==WARNING: mallocop"].iter().any(|word| self.stderr.contains(word))
    }

    /// Is all that mallocop reports as an error or a warning that there are leaks?
    pub(crate) fn has_only_leaks(&self) -> bool {
        self.stderr
            .lines()
            .filter(|line| {
                ["==ERROR: mallocop", "==WARNING: mallocop"].iter().any(|word| line.contains(word))
            })
            .all(|line| line.ends_with("==ERROR: mallocop: detected memory leaks"))
    }

    /// Number of allocations that the summary counts; 0 without a summary.
    pub(crate) fn allocations(&self) -> u64 {
        let starts = ["mallocop: total: ", "mallocop: no leaks: ", "            total: "];
        let counts = |line: &str| {
            starts
                .iter()
                .find_map(|start| line.strip_prefix(start)?.split(' ').next()?.parse().ok())
        };
        self.stderr.lines().find_map(counts).unwrap_or(0)
    }
}

/// Runs a command to its end; one that does not come to its end fails the test.
pub(crate) fn finish(command: &mut Command) -> Ran {
    let started = Instant::now();
    let child = command
        // A group of its own, so that a hanging one ends with all its children.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let id = child.id().to_string();
    let (sender, ended) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let late = ended.recv_timeout(PATIENCE).is_err();
        if late {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
        }
        late
    });
    let output = child.wait_with_output().expect("a child to wait for");
    let _ = sender.send(());
    let late = watchdog.join().expect("the watchdog");
    let ran = Ran::from(&output);
    assert!(!late, "{command:?} hangs after {:?}\n{}", started.elapsed(), ran.stderr);
    ran
}

/// The command that runs `program` under mallocop with the given flags.
pub(crate) fn watched<P: AsRef<OsStr>>(flags: &[&str], program: P) -> Command {
    let mut command = Command::new(MALLOCOP);
    command.arg("run").args(flags).arg("--").arg(program);
    command.env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1");
    command
}

/// A report as it is from run to run: addresses, process ids and byte dumps masked, source lines
/// left out, the functions of a stack behind its heading.
pub(crate) fn skeleton(report: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in report.lines() {
        if let Some(frame) = line.strip_prefix("    #") {
            let function = frame.split_whitespace().nth(1).unwrap_or("?");
            let function = function.split('(').next().unwrap_or(function);
            if let Some(last) = lines.last_mut() {
                last.push(' ');
                last.push_str(function);
            }
        } else if (!line.starts_with("    ") || is_sum(line)) && !line.contains("watching") {
            lines.push(mask(line));
        }
    }
    lines.join("\n")
}

/// A line of the sum under a report of leaks.
fn is_sum(line: &str) -> bool {
    ["possibly lost: ", "suppressed: ", "total: "].iter().any(|sum| line.trim().starts_with(sum))
}

fn mask(line: &str) -> String {
    let line = match line.strip_prefix("==").and_then(|rest| rest.split_once("==")) {
        Some((_, rest)) => rest,
        None => line,
    };
    let mut masked = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("0x") {
        masked.push_str(rest.get(..at).unwrap_or(""));
        masked.push_str("ADDRESS");
        let digits = rest.get(at + 2..).unwrap_or("");
        rest = digits.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    masked.push_str(rest);
    masked
}

fn is_installed(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Is everything there? In CI it has to be.
pub(crate) fn is_ready(name: &str, needs: &[&str]) -> bool {
    let missing: Vec<_> = needs.iter().filter(|program| !is_installed(program)).collect();
    assert!(
        missing.is_empty() || std::env::var_os("CI").is_none(),
        "{name}: {missing:?} is not installed, but this is CI"
    );
    if !missing.is_empty() {
        println!("skipped: {name}: {missing:?} is not installed");
    }
    missing.is_empty()
}
