//! What the library itself takes of a program's memory.

mod harness;

use std::process::Command;

use harness::{MALLOCOP, compile, finish, watched};

/// KiB of the library's code that are resident in a program that allocates in the usual ways.
fn resident_code(flags: &[&str]) -> u64 {
    let program = compile("own_memory.c", "own_memory", &[]);
    let ran = finish(&mut watched(&[flags, &["--detect-leaks=0"]].concat(), program));
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let code = ran.stdout.strip_prefix("code ").expect("a line");
    code.trim().parse().expect("a number")
}

/// Is the library laid out by tools/preload/near.ld? Not every linker can.
fn is_laid_out() -> bool {
    let library = finish(Command::new(MALLOCOP).arg("library")).stdout;
    let bytes = std::fs::read(library.trim()).expect("the library");
    bytes.windows(11).any(|name| name == b".text.near\0")
}

/// The library has 1250 KiB of code. The kernel maps what lies around a page that is used, if it is
/// in memory: no bound from below.
#[test]
fn code_that_runs_everywhere_lies_together() {
    if env!("MALLOCOP_LIBRARY_PROFILE") != "fat" {
        eprintln!("not tested: the library that is installed is MALLOCOP_LIBRARY=fat");
        return;
    }
    if !is_laid_out() {
        assert!(std::env::var_os("CI").is_none(), "the gate's linker takes tools/preload/near.ld");
        eprintln!("not tested: the linker in use took no tools/preload/near.ld");
        return;
    }
    for checks in
        [&["--checks=none", "--malloc-context-size=0"][..], &["--malloc-context-size=0"], &[]]
    {
        for (quiet, most) in [("--quiet=1", 464), ("--quiet=0", 576)] {
            let resident = resident_code(&[checks, &[quiet]].concat());
            assert!(resident > 0, "the library's code was not found in /proc/self/smaps");
            assert!(
                resident <= most,
                "{checks:?} {quiet}: {resident} KiB; see tools/preload/near.ld"
            );
        }
    }
}
