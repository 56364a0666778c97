//! Every way out is checked: a damaged block is told once whatever the way by which the program
//! leaves, and a whole heap is silent. The status is the program's.

mod harness;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Ran, compile, finish, watched};

/// Signals end the program even where whoever runs the tests ignores them, as nohup does.
fn leave(flags: &[&str], arguments: &[&str]) -> Ran {
    let program = compile("ways_out.c", "ways_out", &[]);
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,TERM", harness::MALLOCOP, "run"]).args(flags);
    command.env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1");
    finish(command.arg("--").arg(program).args(arguments))
}

const DAMAGE: &str = "ERROR: mallocop: heap-buffer-overflow: memory clobbered past end of a \
    40-byte block";

/// How often the damage is told.
fn told(ran: &Ran) -> usize {
    ran.stderr.matches(DAMAGE).count()
}

#[test]
fn without_exit_handlers_the_heap_is_looked_through() {
    for how in ["_exit", "_Exit", "quick_exit", "exec", "exec_in_thread"] {
        let ran = leave(&[], &[how]);
        assert_eq!((ran.status, told(&ran)), (23, 1), "{how}: {}", ran.stderr);
        assert!(ran.stderr.contains("  found at exit\n"), "{how}: {}", ran.stderr);
        assert!(ran.stderr.contains(" hoard "), "{how}: {}", ran.stderr);
        let whole = leave(&[], &[how, "whole"]);
        assert!(whole.status == 0 && !whole.has_report(), "{how}: {}", whole.stderr);
    }
}

/// Without the command the program's own status tells, as at exit.
#[test]
fn the_status_tells_without_the_command() {
    let program = compile("ways_out.c", "ways_out", &[]);
    let library = finish(Command::new(harness::MALLOCOP).arg("library")).stdout;
    let mut command = Command::new(&program);
    command.env("LD_PRELOAD", library.trim_end()).env_remove("MALLOCOP_OPTIONS");
    let ran = finish(command.arg("_exit"));
    assert_eq!((ran.status, told(&ran)), (23, 1), "{}", ran.stderr);
}

#[test]
fn damage_is_told_once_although_exec_fails() {
    let ran = leave(&["--detect-leaks=0"], &["failed_exec"]);
    assert_eq!((ran.status, told(&ran)), (23, 1), "{}", ran.stderr);
}

#[test]
fn no_time_for_it_is_an_option() {
    let ran = leave(&["--exit-check-ms=0"], &["_exit"]);
    assert_eq!((ran.status, told(&ran)), (0, 0), "{}", ran.stderr);
}

#[test]
fn abort_tells_of_damage_and_leaks() {
    let ran = leave(&[], &["abort"]);
    assert_eq!((ran.status, told(&ran)), (134, 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("Direct leak of 77 byte(s)"), "{}", ran.stderr);
}

/// A child of vfork has its parent's memory, and is not its own.
#[test]
fn a_child_of_vfork_looks_at_nothing() {
    let ran = leave(&[], &["vfork"]);
    assert_eq!((ran.status, told(&ran)), (23, 1), "{}", ran.stderr);
}

/// A forked child answers for what it has damaged of what it has inherited, and for nothing else.
#[test]
fn a_forked_child_answers_for_its_own_damage() {
    for how in ["_exit", "return", "exec", "quick_exit"] {
        let ran = leave(&["--detect-leaks=0"], &[how, "child"]);
        assert_eq!((ran.status, told(&ran)), (23, 1), "{how}: {}", ran.stderr);
    }
    let ran = leave(&["--detect-leaks=0"], &["_exit", "inherited"]);
    assert_eq!((ran.status, told(&ran)), (0, 0), "{}", ran.stderr);
}

#[test]
fn signals_that_ask_for_the_end() {
    for (how, status) in [("SIGTERM", 143), ("SIGINT", 130)] {
        let ran = leave(&[], &[how]);
        assert_eq!((ran.status, told(&ran)), (status, 1), "{how}: {}", ran.stderr);
        assert!(ran.stderr.contains("Direct leak of 77 byte(s)"), "{how}: {}", ran.stderr);
        let ran = leave(&["--leak-check-on-signal=none"], &[how]);
        assert_eq!((ran.status, told(&ran)), (status, 0), "{how}: {}", ran.stderr);
        assert!(!ran.stderr.contains("Direct leak"), "{how}: {}", ran.stderr);
    }
    let ran = leave(&[], &["SIGHUP"]);
    assert!(ran.status == 129 && !ran.has_report(), "{}", ran.stderr);
    let ran = leave(&["--leak-check-on-signal=all"], &["SIGHUP"]);
    assert_eq!((ran.status, told(&ran)), (129, 1), "{}", ran.stderr);
}

/// Blocks that only the thread's vector registers, or the kernel, lead to are not leaks.
#[test]
fn what_the_signal_has_found_in_use_is_no_leak() {
    let ran = finish(&mut watched(&[], compile("signal_roots.c", "signal_roots", &[])));
    assert!(ran.status == 143 && !ran.has_report(), "{}", ran.stderr);
    assert!(ran.stderr.contains("mallocop: no leaks: "), "{}", ran.stderr);
}

/// The look in front of exec does not swallow a signal.
#[test]
fn a_signal_in_front_of_exec() {
    let ran = leave(&["--exit-check-ms=2000"], &["late_exec", "whole"]);
    assert_eq!(ran.status, 143, "{}", ran.stderr);
}

/// Its parent's findings are not its own.
#[test]
fn a_child_of_vfork_keeps_its_status() {
    let program = compile("ways_out.c", "ways_out", &[]);
    let library = finish(Command::new(harness::MALLOCOP).arg("library")).stdout;
    let mut command = Command::new(&program);
    command.env("LD_PRELOAD", library.trim_end()).env("MALLOCOP_OPTIONS", "halt_on_error=0");
    let ran = finish(command.arg("vfork_after_finding"));
    assert_eq!((ran.status, ran.stdout.as_str()), (23, "child 0\n"), "{}", ran.stderr);
}

/// A signal that interrupts malloc waits until it is done.
#[test]
fn a_signal_in_the_middle_of_malloc() {
    for _ in 0..5 {
        let started = Instant::now();
        let ran = leave(&[], &["busy", "whole"]);
        assert_eq!(ran.status, 143, "{}", ran.stderr);
        assert!(ran.stderr.contains("Direct leak of 77 byte(s)"), "{}", ran.stderr);
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    }
}

/// A handler of the program's is the program's, and a child that has not called exec ends at once.
#[test]
fn signals_that_are_not_ours() {
    let ran = leave(&["--exit-check-ms=0"], &["handled"]);
    assert_eq!((ran.status, told(&ran)), (9, 0), "{}", ran.stderr);
    let ran = leave(&["--exit-check-ms=0"], &["child_by_signal"]);
    assert!(ran.status == 0 && !ran.has_report(), "{}", ran.stderr);
}

/// The second signal ends a program whose leak check is under way.
#[test]
fn the_second_signal_ends_the_program() {
    let mut child = watched(&[], "sh")
        .args([
            "-c",
            "exec perl -e '$| = 1; @a = map { [$_] } 1 .. 1000000; print qq(ready\\n); sleep 60'",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a program");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    for _ in 0..2 {
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
        std::thread::sleep(Duration::from_millis(100));
    }
    let started = Instant::now();
    let status = child.wait().expect("an end");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(status.code() == Some(143) || status.signal() == Some(15), "{status:?}");
}
