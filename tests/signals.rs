//! Programs that have signals of their own: what they set they read back, their handlers run where
//! they would, and what they live on is not told.

mod harness;

use std::fs;
use std::process::Command;

use harness::{compile, finish, is_ready, scratch, victims, watched};

/// Runs it with and without us: the same output and status, and silence.
fn same(command: &[&str], quiet: &[&str]) {
    let (program, arguments) = command.split_first().expect("a program");
    let alone = finish(Command::new(program).args(arguments));
    let flags = [&["--detect-leaks=0", "--print-summary=0"], quiet].concat();
    let ran = finish(watched(&flags, program).args(arguments));
    assert_eq!((ran.status, ran.stdout), (alone.status, alone.stdout), "{}", ran.stderr);
    assert!(!ran.stderr.contains("==ERROR: mallocop"), "{}", ran.stderr);
}

#[test]
fn dispositions_are_what_the_program_has_set() {
    let program = compile("dispositions.c", "dispositions", &[]);
    let program = program.to_str().expect("a path");
    same(&[program], &[]);
    same(&[program], &["--leak-check-on-signal=all"]);
    same(&[program], &["--leak-check-on-signal=none", "--use-sigaltstack=0"]);
}

/// Signals that are ignored when the program starts stay so.
#[test]
fn what_is_ignored_at_the_start_stays_so() {
    let program = compile("dispositions.c", "dispositions", &[]);
    let line = format!("trap '' SEGV TERM INT ABRT; exec {} after", program.display());
    same(&["bash", "-c", &line], &[]);
}

/// V8 takes SIGSEGV for accesses out of a WebAssembly memory's bounds.
#[test]
fn webassembly_traps() {
    if is_ready("node", &["node"]) {
        let script = victims().join("wasm_traps.js");
        same(&["node", script.to_str().expect("a path")], &[]);
    }
}

/// The JVM takes it for null checks, safepoints and the ends of stacks.
#[test]
fn javas_null_checks() {
    if !is_ready("java", &["java", "javac"]) {
        return;
    }
    let folder = scratch().join("java");
    fs::create_dir_all(&folder).expect("a folder");
    let source = victims().join("NullChecks.java");
    let built = Command::new("javac").arg("-d").arg(&folder).arg(source).status();
    assert!(built.is_ok_and(|status| status.success()));
    same(&["java", "-cp", folder.to_str().expect("a path"), "NullChecks"], &[]);
}
