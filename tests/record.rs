//! What outlives a process: what it held when it was killed, left by _exit, was replaced by exec or
//! became a daemon; what its forks have; reports from places where nothing can be opened any more.

mod harness;

use std::process::Command;

use harness::{MALLOCOP, Ran, compile, finish, watched};

fn hoard(how: &str) -> Ran {
    hoard_with(&[], how)
}

fn hoard_with(flags: &[&str], how: &str) -> Ran {
    let program = compile("hoard.c", "hoard", &[]);
    finish(watched(flags, program).arg(how))
}

/// Are the seven blocks named, once, with their site, and the process's way to end?
fn names_the_hoard(ran: &Ran, how: &str) {
    let line = format!(
        "mallocop: {how} before its leak check: 29694 bytes in 7 blocks allocated from:\n    #0 \
         hoard "
    );
    assert_eq!(ran.stderr.matches(&line).count(), 1, "{line}\n{}", ran.stderr);
    assert!(ran.stderr.contains("hoard.c:18:23\n"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("this site: 8 blocks, 33.1 KiB in total; peak 33.1 KiB"),
        "{}",
        ran.stderr
    );
    assert!(!ran.has_report(), "{}", ran.stderr);
}

/// Of who leaves by _exit: one line with the sum, all of it with `--show-reachable`, nothing with
/// `--quiet`.
fn is_counted_and_listed(how: &str, status: i32) {
    let line = "): ended by _exit before its leak check: 29694 bytes in 7 blocks in use \
        (--show-reachable lists them)\n";
    let ran = hoard(how);
    assert!(ran.stderr.contains(line) && !ran.stderr.contains("#0 "), "{}", ran.stderr);
    assert_eq!(ran.status, status, "{}", ran.stderr);
    let quiet = hoard_with(&["--quiet=1"], how);
    assert_eq!((quiet.status, quiet.stderr.as_str()), (status, ""));
    let all = hoard_with(&["--show-reachable=1"], how);
    assert!(all.stderr.contains("ended by _exit before its leak check: "), "{}", all.stderr);
    assert!(all.stderr.contains("hoard.c:18:23"), "{}", all.stderr);
    assert_eq!(all.status, status, "{}", all.stderr);
}

#[test]
fn what_was_held_when_it_was_killed() {
    let ran = hoard_with(&["--show-reachable=1"], "kill");
    names_the_hoard(&ran, "killed by SIGKILL");
    let line = "): killed by SIGKILL before its leak check: 29694 bytes in 7 blocks in use \
        (--show-reachable lists them)\n";
    let ran = hoard("kill");
    assert!(ran.stderr.contains(line) && !ran.stderr.contains("#0 "), "{}", ran.stderr);
    assert_eq!(ran.status, 137);
}

#[test]
fn what_was_held_at_abort() {
    let ran = hoard("abort");
    assert!(ran.stderr.contains("SIGABRT: the process has raised it (ABRT)\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("29694 bytes in 7 blocks still reachable\n"), "{}", ran.stderr);
    assert_eq!(ran.status, 134);
}

#[test]
fn what_was_held_at_underscore_exit() {
    is_counted_and_listed("_exit", 7);
}

/// libc leaves by itself there, and nobody hears of it but the command, which sees that it was not
/// killed.
#[test]
fn what_was_held_when_libc_made_a_daemon() {
    is_counted_and_listed("libc", 0);
}

/// Told where it is asked for: most programs that become others are launchers.
#[test]
fn what_was_held_at_exec() {
    let ran = hoard_with(&["--show-reachable=1"], "exec");
    let line = "): replaced by exec before its leak check: 29694 bytes in 7 blocks in use\n";
    assert!(ran.stderr.contains("hoard.c:18:23"), "{}", ran.stderr);
    assert!(ran.stderr.contains(line), "{}", ran.stderr);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(!hoard("exec").stderr.contains("replaced by exec"));
}

/// A child that no handler of ours knows of has a record of its own.
#[test]
fn what_a_raw_clone_held() {
    let ran = hoard_with(&["--show-reachable=1"], "clone");
    names_the_hoard(&ran, "killed");
    assert_eq!(ran.status, 0, "{}", ran.stderr);
}

#[test]
fn what_a_daemon_held() {
    let ran = hoard_with(&["--show-reachable=1"], "daemon");
    names_the_hoard(&ran, "killed");
    assert_eq!(ran.status, 0, "{}", ran.stderr);
}

/// The record of a fork is given back once it is gone, while its parent runs on: in a record
/// with room for a third of them each of 3000 forks finds some, and the last one is seen whole.
#[test]
fn a_server_that_forks_often_does_not_fill_the_record() {
    let program = compile("forking_server.c", "forking_server", &[]);
    let script = "ulimit -f 65536; exec \"$@\"";
    let ran = finish(
        Command::new("bash")
            .args(["-c", script, "-", MALLOCOP, "run", "--halt-on-error=0", "--"])
            .args([program.as_os_str(), "3000".as_ref()]),
    );
    assert_eq!(ran.status, 23, "{}", ran.stderr);
    assert!(ran.stderr.contains("double free detected"), "{}", ran.stderr);
    assert!(ran.stderr.contains("#3 serve "), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("3000 more processes with nothing to report: forking_server 3000"),
        "{}",
        ran.stderr
    );
}

/// What children have inherited is never theirs.
#[test]
fn forks_do_not_report_what_they_inherit() {
    let program = compile("hoard.c", "hoard", &[]);
    let ran = finish(watched(&["--show-reachable"], program).arg("forks"));
    assert_eq!(
        ran.stderr.matches("29694 bytes in 7 blocks allocated from").count(),
        1,
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("mallocop: 200 more processes with nothing to report: hoard 200"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.status, 0, "{}", ran.stderr);
}

#[test]
fn what_two_hundred_forks_have_in_common_is_reported_once() {
    let ran = hoard("forks-losing");
    let words = "Direct leak of 500000 byte(s) in 10000 object(s) allocated from:\n    #0 main ";
    assert_eq!(ran.stderr.matches(words).count(), 1, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("detected memory leaks").count(), 1, "{}", ran.stderr);
    assert!(!ran.stderr.contains("processes of"), "{}", ran.stderr);
    assert_eq!(ran.status, 23);
}
