//! The crate in Rust programs: their global allocator, and what their tests can ask.

mod harness;

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use harness::{MALLOCOP, Ran, finish, scratch, victims};

/// cargo in the victim's folder, with a target folder of this test's.
fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(words).current_dir(victims().join("rust_program"));
    for variable in ["CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUST_BACKTRACE"]
    {
        command.env_remove(variable);
    }
    command.env("CARGO_TARGET_DIR", scratch().join("target")).env("NO_COLOR", "1");
    command
}

/// One after the other: who waits for cargo's lock on the folder would seem to hang.
fn finish_cargo(command: &mut Command) -> Ran {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    finish(command)
}

fn build(words: &[&str], flags: &str, program: &str) -> PathBuf {
    let mut command = cargo(words);
    if !flags.is_empty() {
        command.env("RUSTFLAGS", flags);
    }
    let ran = finish_cargo(&mut command);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    scratch().join("target").join(program)
}

/// The program, with debug information.
fn program() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&["build", "--quiet"], "", "debug/rust_program"))
}

fn run(program: &PathBuf, word: &str) -> Ran {
    finish(Command::new(program).arg(word).env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1"))
}

/// Each defect: what is said first, and how it ends.
const DEFECTS: [(&str, &str, i32); 8] = [
    (
        "size",
        "came from Layout { size: 24, align: 8 } and is given back with Layout \
         { size: 32, align: 8 }",
        134,
    ),
    (
        "align",
        "came from Layout { size: 24, align: 8 } and is given back with Layout \
         { size: 24, align: 4 }",
        134,
    ),
    (
        "realloc",
        "came from Layout { size: 24, align: 8 } and is resized with Layout { size: 25, align: 8 }",
        134,
    ),
    ("overflow", "heap-buffer-overflow: write of 1 byte at 0x", 134),
    // To the byte: Rust says that it needs no alignment.
    ("read_one", ", 0 bytes after a 13-byte block\n", 134),
    ("read_freed", ", 0 bytes inside a freed 24-byte block\n", 134),
    ("twice", "free(): double free detected:", 134),
    ("leak", "Direct leak of 3145728 byte(s) in 1 object(s) allocated from:", 23),
];

fn demand_defects(program: &PathBuf) {
    for (word, text, status) in DEFECTS {
        let ran = run(program, word);
        assert!(ran.stderr.contains(text), "{word}: {}", ran.stderr);
        assert_eq!(ran.status, status, "{word}: {}", ran.stderr);
    }
    for word in ["", "exit"] {
        let ran = run(program, word);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{word}");
    }
    assert_eq!(run(program, "").stdout, "1000 4000 8388608\n");
}

#[test]
fn defects_are_named_with_both_layouts_and_both_stacks() {
    demand_defects(program());
    let ran = run(program(), "size");
    let main: Vec<_> = ran.stderr.lines().filter(|line| line.contains("src/main.rs:")).collect();
    assert!(main.iter().any(|line| line.contains("rust_program::main")), "{}", ran.stderr);
    assert!(main.iter().any(|line| line.contains("rust_program::block")), "{}", ran.stderr);
    let summary = ran.stderr.lines().last().unwrap_or("");
    assert!(summary.starts_with("SUMMARY: mallocop: layout-mismatch "), "{}", ran.stderr);
    assert!(summary.contains("rust_program/src/main.rs:"), "{}", ran.stderr);
    let leak = run(program(), "leak");
    assert!(leak.stderr.contains("77 byte(s) in 1 object(s)"), "{}", leak.stderr);
    assert!(leak.stderr.contains("suppress with: leak:rust_program::lose"), "{}", leak.stderr);
}

#[test]
fn without_a_loader_it_is_the_same() {
    let words = ["build", "--quiet", "--target", "x86_64-unknown-linux-gnu"];
    let place = "x86_64-unknown-linux-gnu/debug/rust_program";
    demand_defects(&build(&words, "-C target-feature=+crt-static", place));
}

#[test]
fn with_the_library_preloaded_it_is_one_heap() {
    let watched = |word| {
        let mut command = Command::new(MALLOCOP);
        command.args(["run", "--quiet", "--"]).arg(program()).arg(word);
        finish(command.env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1"))
    };
    for (word, text) in [
        ("to_c", "was allocated with Rust's allocator and is freed with free\n"),
        ("from_c", "was allocated with malloc and is freed with Rust's dealloc\n"),
    ] {
        let ran = watched(word);
        assert!(ran.stderr.contains(text), "{word}: {}", ran.stderr);
        assert_eq!(ran.status, 134, "{word}: {}", ran.stderr);
    }
    for (word, text, status) in DEFECTS {
        let ran = watched(word);
        assert!(ran.stderr.contains(text), "{word}: {}", ran.stderr);
        assert_eq!(ran.status, status, "{word}: {}", ran.stderr);
    }
    let right = watched("");
    assert_eq!((right.status, right.stderr.as_str()), (0, ""));
}

#[test]
fn without_checks_layouts_are_kept_to_all_the_same() {
    let mut command = Command::new(program());
    let options = "checks=none:malloc_context_size=0:detect_leaks=0";
    let ran = finish(command.env("MALLOCOP_OPTIONS", options).env("NO_COLOR", "1"));
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, "1000 4000 8388608\n");
}

#[test]
fn scopes_stand_forks_and_stacks_of_the_programs_own() {
    let ran = finish_cargo(&mut cargo(&["test", "--quiet", "--test", "scopes"]));
    // What they lose on purpose is told once more at the end.
    assert!(ran.stdout.contains("4 passed; 0 failed"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn of_fifty_tests_side_by_side_those_that_leak_fail() {
    let ran = finish_cargo(&mut cargo(&[
        "test",
        "--quiet",
        "--test",
        "fifty",
        "--",
        "--test-threads",
        "8",
    ]));
    let failed: Vec<_> = ran
        .stdout
        .lines()
        .skip_while(|line| *line != "failures:")
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| !line.contains(' '))
        .collect();
    let mut wanted: Vec<String> =
        (1..50).step_by(2).map(|number| format!("t{number:02}")).collect();
    wanted.insert(0, "kept_is_wrong_if_strict".to_owned());
    assert_eq!(failed, wanted, "{}", ran.stdout);
    assert!(ran.stdout.contains("memory was lost:\n\nDirect leak of"), "{}", ran.stdout);
    assert!(ran.stdout.contains("fifty::lose"), "{}", ran.stdout);
    // A panic points to the test, not to what looks for it.
    let places = || ran.stdout.lines().filter(|line| line.contains("panicked at "));
    assert!(places().all(|line| line.contains("tests/fifty.rs:")), "{}", ran.stdout);
    assert!(places().count() >= wanted.len(), "{}", ran.stdout);
}
