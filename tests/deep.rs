//! `mallocop run --deep` reports each error once, at its access, and has one status and the
//! program's own output.

mod harness;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use harness::{MALLOCOP, Ran, compile, finish, skeleton};

fn victim(is_fixed: bool) -> PathBuf {
    match is_fixed {
        false => compile("deep.c", "deep", &["-fno-builtin"]),
        true => compile("deep.c", "deep.fixed", &["-fno-builtin", "-DFIXED"]),
    }
}

/// Runs it with a line to read.
fn run(flags: &[&str], program: &PathBuf) -> Ran {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("deep_input");
    fs::create_dir_all(&folder).expect("a folder");
    // The tests run at the same time.
    let input = folder.join(std::thread::current().name().expect("a test's name"));
    fs::write(&input, "hello\n").expect("an input");
    let mut command = Command::new("sh");
    command.args(["-c", r#"input=$1; shift; exec "$@" < "$input""#, "sh"]).arg(input);
    command.args([MALLOCOP, "run", "--deep", "--quiet"]).args(flags).arg("--").arg(program);
    finish(&mut command)
}

/// The messages of the reports, each with the innermost function of its first stack.
fn errors(ran: &Ran) -> Vec<(String, String)> {
    let text = skeleton(&ran.stderr);
    let mut lines = text.lines().peekable();
    let mut all = Vec::new();
    while let Some(line) = lines.next() {
        let Some(message) = line.split_once("ERROR: mallocop: ") else { continue };
        // Damaged bytes may be shown in front of the first stack.
        let stack = lines.by_ref().find_map(|line| line.split_once(" here: "));
        let stack = stack.map_or("", |(_, stack)| stack);
        all.push((message.1.to_owned(), stack.split(' ').next().unwrap_or("").to_owned()));
    }
    all
}

#[test]
fn each_error_is_told_of_at_the_access() {
    let ran = run(&["--halt-on-error=0", "--guard=off"], &victim(false));
    let found = errors(&ran);
    for (message, function) in [
        ("read of 1 byte at ADDRESS, 0 bytes after a 13-byte block", "read_behind"),
        ("read of 1 byte at ADDRESS, 1 byte before a 20-byte block", "read_in_front"),
        ("read of 1 byte at ADDRESS, 3 bytes inside a freed 30-byte block", "read_freed"),
        ("write of 1 byte at ADDRESS, 0 bytes after a 40-byte block", "write_behind"),
        ("0 bytes after a 50-byte block, by strlen()", "measure"),
    ] {
        let told =
            found.iter().filter(|(text, inner)| text.ends_with(message) && inner == function);
        assert_eq!(told.count(), 1, "{message}: {}", ran.stderr);
    }
    assert!(ran.stderr.ends_with("mallocop: --deep: 5 errors in all\n"), "{}", ran.stderr);
    assert_eq!((ran.status, ran.stdout.as_str()), (23, "got hello\n"), "{}", ran.stderr);
}

/// A heap error ends the first run; the passes run the whole program.
#[test]
fn a_run_that_ends_early_is_followed_by_whole_passes() {
    let ran = run(&["--guard=off"], &victim(false));
    assert_eq!((ran.status, ran.stdout.as_str()), (134, ""), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("mallocop: --deep: 5 errors in all\n"), "{}", ran.stderr);
}

#[test]
fn a_correct_program_is_silent() {
    let ran = run(&[], &victim(true));
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "got hello\n"), "{}", ran.stderr);
    assert!(errors(&ran).is_empty(), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("mallocop: --deep: 0 errors in all\n"), "{}", ran.stderr);
    let passes = ran.stderr.matches("no new error").count();
    assert_eq!(passes, 4, "{}", ran.stderr);
}

/// A program that prints something else in each run.
#[test]
fn a_pass_that_differs_is_named() {
    let differs = PathBuf::from("/bin/sh");
    let mut command = Command::new(MALLOCOP);
    command.args(["run", "--deep", "--quiet", "--"]).arg(differs).args(["-c", "echo $$"]);
    let ran = finish(&mut command);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let named = ran.stderr.matches("prints something else than in an earlier pass").count();
    assert_eq!(named, 3, "{}", ran.stderr);
}

/// Leaks of the first run set its status; the passes, which look for none, do not differ by that.
#[test]
fn leaks_do_not_make_passes_differ() {
    let program = compile("leak.c", "deep_leak", &[]);
    let ran = run(&[], &program);
    assert_eq!(ran.status, 23, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches(" s: no new error\n").count(), 4, "{}", ran.stderr);
}

/// A pass that cannot be run is named; the status stays, and so do the other passes.
#[test]
fn a_pass_that_fails_is_named() {
    let ran = run(&["--deep-prepare=exit 3"], &victim(true));
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "got hello\n"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("--deep-prepare").count(), 4, "{}", ran.stderr);
}

/// A program that was interrupted is not run again.
#[test]
fn an_interrupted_run_has_no_passes() {
    let program = PathBuf::from("/bin/sh");
    let mut command = Command::new(MALLOCOP);
    command.args(["run", "--deep", "--quiet", "--"]).arg(program).args(["-c", "kill -INT $$"]);
    let ran = finish(&mut command);
    assert_eq!(ran.status, 130, "{}", ran.stderr);
    assert!(ran.stderr.contains("mallocop: stopped before pass A\n"), "{}", ran.stderr);
}

#[test]
fn each_pass_is_prepared_for() {
    let note = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("deep_prepared");
    let _ = fs::remove_file(&note);
    let prepare = format!("--deep-prepare=echo once >> '{}'", note.display());
    let ran = run(&[&prepare], &victim(true));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&note).expect("a note"), "once\n".repeat(4));
}
