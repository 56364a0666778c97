//! What the library itself takes of a program's memory.

mod harness;

use harness::{compile, finish, watched};

/// KiB of the library's code that are resident in a program that allocates in the usual ways.
fn resident_code(flags: &[&str]) -> u64 {
    let program = compile("own_memory.c", "own_memory", &[]);
    let ran = finish(&mut watched(&[flags, &["--detect-leaks=0"]].concat(), program));
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let code = ran.stdout.strip_prefix("code ").expect("a line");
    code.trim().parse().expect("a number")
}

/// The library has 1250 KiB of code. The kernel maps what lies around a page that is used, if it is in memory: no bound
/// from below.
#[test]
fn code_that_runs_everywhere_lies_together() {
    for checks in
        [&["--checks=none", "--malloc-context-size=0"][..], &["--malloc-context-size=0"], &[]]
    {
        for (quiet, most) in [("--quiet=1", 384), ("--quiet=0", 512)] {
            let resident = resident_code(&[checks, &[quiet]].concat());
            assert!(resident > 0, "the library's code was not found in /proc/self/smaps");
            assert!(
                resident <= most,
                "{checks:?} {quiet}: {resident} KiB; see tools/preload/near.ld"
            );
        }
    }
}
