//! Leaks at exit where looking is hard: threads that cannot be stopped, filters for system calls,
//! unwinders, handlers, forks and threads that come and go meanwhile.

mod harness;

use std::path::PathBuf;
use std::process::Command;

use harness::leaks::{direct, keeps, leaks, loses};
use harness::{MALLOCOP, compile, finish, is_ready, scratch, watched};

/// A thread that cannot be stopped: a verdict that is labelled, and no status.
#[test]
fn a_thread_that_blocks_every_signal() {
    let program = compile("leak_blocked.c", "leak_blocked", &[]);
    let ran = finish(&mut watched(&[], &program));
    let possible = ("Possible".to_owned(), 1237, 1);
    assert_eq!((leaks(&ran), ran.status), (vec![possible], 0), "{}", ran.stderr);
    assert!(ran.stderr.contains("==WARNING: mallocop: possible memory leaks"), "{}", ran.stderr);
    assert!(ran.stderr.contains(" was not stopped (it blocks the signal for that)"));
    assert!(ran.stdout.ends_with("leak_blocked: end\n"));
    let twin = compile("leak_blocked.c", "leak_blocked.fixed", &["-DFIXED"]);
    keeps(&finish(&mut watched(&[], &twin)), "leak_blocked: end\n");
}

/// A thread in a wait that no signal ends.
#[test]
fn a_thread_that_is_stuck() {
    let ran = finish(&mut watched(&[], compile("leak_stuck.c", "leak_stuck", &[])));
    let possible = ("Possible".to_owned(), 1237, 1);
    assert_eq!((leaks(&ran), ran.status), (vec![possible], 0), "{}", ran.stderr);
    assert!(ran.stderr.contains(" was not stopped (it did not answer in time)"), "{}", ran.stderr);
    assert!(ran.stdout.ends_with("leak_stuck: end\n"));
}

/// Blocks that handlers got in the middle of malloc lead on.
#[test]
fn blocks_from_handlers() {
    let ran = finish(&mut watched(&[], compile("leak_handler.c", "leak_handler", &[])));
    keeps(&ran, "leak_handler: end\n");
}

/// A filter that ends the process for opening files or sending signals, and one as containers have.
#[test]
fn under_seccomp_filters() {
    let program = compile("leak_filter.c", "leak_filter", &[]);
    let end = "leak_filter: end\n";
    let deadly = finish(watched(&[], &program).arg("kill"));
    assert_eq!((deadly.status, deadly.stdout.ends_with(end)), (0, true), "{}", deadly.stderr);
    let words = "did not check for leaks: the program has installed a seccomp filter";
    assert!(deadly.stderr.contains(words), "{}", deadly.stderr);
    assert!(deadly.stderr.contains("mallocop: in use at exit: "), "{}", deadly.stderr);
    // Errors are told without files, and the command looks their names up; abort itself is what the
    // filter ends the program for.
    let error = finish(watched(&[], &program).arg("error"));
    assert!(error.stderr.contains("free(): double free detected: 0x"), "{}", error.stderr);
    assert!(error.stderr.contains("    #0 main "), "{}", error.stderr);
    assert_eq!(error.status, 128 + 31, "{}", error.stderr);
    loses(&finish(watched(&[], &program).arg("probe")), &[direct(1237, 1)], end);
    let mut launcher = Command::new(&program);
    launcher.args(["launch", MALLOCOP, "run", "--"]).arg(&program).arg("probe");
    loses(&finish(launcher.env("NO_COLOR", "1")), &[direct(1237, 1)], end);
}

/// Under another unwinder, in a user namespace, without the first three descriptors: the same
/// verdict.
#[test]
fn in_odd_places() {
    let program = compile("leak_roots.c", "leak_roots", &[]);
    let program = program.to_str().expect("a path");
    let watched = [MALLOCOP, "run", "--", program, "thread-poll", "lose"];
    let closed = format!("exec {program} thread-poll lose <&- >&- 2>&-");
    let within = |prefix: &[&str], words: &[&str]| {
        let all = [prefix, words].concat();
        finish(Command::new(all[0]).args(&all[1..]).env("NO_COLOR", "1"))
    };
    if is_ready("strace", &["strace"]) {
        let trace = scratch().join("trace");
        let trace = trace.to_str().expect("a path");
        let ran = within(&["strace", "-f", "-o", trace], &watched);
        loses(&ran, &[direct(1237, 1)], "leak_roots: end\n");
    }
    if is_ready("gdb", &["gdb"]) {
        let gdb = ["gdb", "-q", "-nx", "-batch", "-ex", "run", "-ex", "quit", "--args"];
        let ran = within(&gdb, &watched);
        assert_eq!(leaks(&ran), [direct(1237, 1)], "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("leak_roots: end\n"), "{}", ran.stdout);
        assert!(ran.stdout.contains("exited with code 027]"), "{}", ran.stdout);
        // The program itself under gdb, which sees its signals.
        let library = library();
        let set = format!("set environment LD_PRELOAD {}", library.display());
        let gdb = ["gdb", "-q", "-nx", "-batch", "-ex", &set, "-ex", "run", "--args"];
        let ran = within(&gdb, &[program, "thread-poll", "lose"]);
        assert_eq!(leaks(&ran), [direct(1237, 1)], "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("exited with code 027]"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("SIG"), "{}", ran.stdout);
    }
    if within(&["unshare", "-Ur"], &["true"]).status == 0 {
        let ran = within(&["unshare", "-Ur"], &watched);
        loses(&ran, &[direct(1237, 1)], "leak_roots: end\n");
    } else {
        println!("skipped: no user namespaces here");
    }
    let ran = within(&[MALLOCOP, "run", "--", "sh", "-c"], &[&closed]);
    assert_eq!((leaks(&ran), ran.status), (vec![direct(1237, 1)], 23), "{}", ran.stderr);
}

/// Without the command the first process's status tells; a child's parent sees the truth.
#[test]
fn by_the_library_alone() {
    let program = compile("leak_fork.c", "leak_fork", &[]);
    let ran = finish(Command::new(&program).env("LD_PRELOAD", library()));
    let end = "leak_fork: child 0\nleak_fork: end\n";
    let expected = [direct(111, 1), direct(333, 1), direct(222, 1)];
    assert_eq!((leaks(&ran), ran.status), (expected.to_vec(), 23), "{}", ran.stderr);
    assert!(ran.stdout.ends_with(end), "{}", ran.stdout);
    let line = format!("{}; echo status $?", program.display());
    let ran = finish(Command::new("bash").args(["-c", &line]).env("LD_PRELOAD", library()));
    assert_eq!((leaks(&ran), ran.status), (expected.to_vec(), 0), "{}", ran.stderr);
    assert!(ran.stdout.ends_with("status 0\n"), "{}", ran.stdout);
}

/// The library as the command has laid it out.
fn library() -> PathBuf {
    let script = "sed -n 's/.* \\(\\/.*libmallocop.so\\)$/\\1/p' /proc/self/maps | head -n 1";
    let ran = finish(watched(&["--quiet"], "sh").args(["-c", script]));
    PathBuf::from(ran.stdout.trim())
}

/// A handler that waits for another thread interrupts the one that looks: only when the others go
/// on.
#[test]
fn handlers_wait_until_the_world_goes_on() {
    let program = compile("leak_alarm.c", "leak_alarm", &[]);
    for _ in 0..10 {
        keeps(&finish(&mut watched(&[], &program)), "leak_alarm: end\n");
    }
}

/// Threads that fork all the time while the check begins: nobody waits for a lock that stands
/// still.
#[test]
fn forks_meanwhile() {
    let program = compile("leak_forks.c", "leak_forks", &[]);
    for _ in 0..10 {
        keeps(&finish(&mut watched(&["--malloc-context-size=8"], &program)), "leak_forks: end\n");
    }
}

/// Threads that come and go while the check begins: no hang, no false leak.
#[test]
fn threads_that_start_and_end_meanwhile() {
    let program = compile("leak_crowd.c", "leak_crowd", &[]);
    for _ in 0..20 {
        keeps(&finish(&mut watched(&["--malloc-context-size=8"], &program)), "leak_crowd: end\n");
    }
}

/// Where /proc/self/mem cannot be opened, globals are looked at all the same.
#[test]
fn a_process_that_must_not_be_dumped() {
    let program = compile("leak_undumpable.c", "leak_undumpable", &[]);
    keeps(&finish(&mut watched(&[], program)), "leak_undumpable: end\n");
}
