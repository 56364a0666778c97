//! A program's printed text is not lost with it: a heap error that ends it writes out the buffers
//! of libc's streams.

mod harness;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Ran, compile, finish, watched};

fn run(how: &str) -> Ran {
    finish(watched(&[], compile("last_words.c", "last_words", &[])).arg(how))
}

fn lines(count: usize) -> String {
    (0..count).map(|line| format!("line {line}\n")).collect()
}

#[test]
fn what_is_buffered_is_written() {
    for (how, count) in [("plain", 10), ("large", 5000)] {
        let ran = run(how);
        assert_eq!((ran.status, ran.stdout), (134, lines(count)), "{how}: {}", ran.stderr);
    }
}

/// The child's buffer is its parent's, who writes it.
#[test]
fn a_forked_child_writes_nothing() {
    let ran = run("forked");
    assert_eq!(ran.stdout, lines(10), "{}", ran.stderr);
    assert!(ran.stderr.contains("free(): double free detected"), "{}", ran.stderr);
}

/// Nobody is waited for: neither for a stream that is in use nor for a reader.
#[test]
fn nothing_is_waited_for() {
    let ran = run("locked");
    assert_eq!((ran.status, ran.stdout.as_str()), (134, ""), "{}", ran.stderr);
    let program = compile("last_words.c", "last_words", &[]);
    let mut command: Command = watched(&[], program);
    let mut child = command
        .arg("large")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a program");
    // The pipe takes 64 KiB, the program has more to say, and nobody reads.
    let mut end = None;
    for _ in 0..200 {
        end = child.try_wait().expect("a state");
        if end.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(end.is_some(), "it waits for a reader");
    let mut said = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert!(lines(5000).starts_with(&said) && said.len() >= 40_000, "{} bytes", said.len());
}
