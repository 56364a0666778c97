//! Threads, forks and signals, many times over: no hang, no fault, no loss, no false report.

mod harness;

use std::path::Path;

use harness::{Ran, compile, finish, watched};

fn run(program: &Path, flags: &[&str], arguments: &[&str]) -> Ran {
    let ran = finish(watched(flags, program).args(arguments));
    assert!(!ran.has_report(), "{flags:?}: {}", ran.stderr);
    assert_eq!(ran.status, 0, "{flags:?}: {}{}", ran.stdout, ran.stderr);
    ran
}

const BOTH: [&[&str]; 2] = [&["--malloc-context-size=0"], &["--malloc-context-size=256"]];

/// Four busy threads beside 1000 children, every other one by vfork and exec.
#[test]
fn fork_and_vfork_from_a_busy_program() {
    let program = compile("fork_busy.c", "fork_busy", &[]);
    for flags in BOTH {
        let ran = run(&program, flags, &["1000"]);
        assert!(ran.stdout.contains("fork_busy: 1000 children ok\n"), "{}", ran.stdout);
        assert!(ran.allocations() > 1000);
    }
}

#[test]
fn signal_storm_with_malloc_in_the_handler() {
    let program = compile("signal_storm.c", "signal_storm", &[]);
    for flags in BOTH {
        let ran = run(&program, flags, &["4"]);
        assert!(ran.stdout.contains("signal_storm: ok"), "{}", ran.stdout);
    }
}

#[test]
fn threads_that_exit_while_others_free_their_blocks() {
    let program = compile("thread_exit.c", "thread_exit", &[]);
    for flags in BOTH {
        let ran = run(&program, flags, &["400"]);
        assert!(ran.stdout.ends_with("thread_exit: ok\nthread_exit: end\n"), "{}", ran.stdout);
    }
}

/// Eight threads go on in malloc and free while the process exits, 1000 times.
#[test]
fn exit_from_a_busy_program() {
    let program = compile("exit_busy.c", "exit_busy", &[]);
    for round in 0..1000 {
        let ran = run(&program, BOTH[round % 2], &[]);
        assert!(ran.stdout.ends_with("exit_busy: end\n"), "round {round}: {}", ran.stdout);
        assert!(ran.allocations() > 0, "round {round}: no summary: {}", ran.stderr);
    }
}
