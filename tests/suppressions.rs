//! Suppressions: rules of both kinds, what they may not hide, and the rules that a report offers.

mod harness;

use std::path::PathBuf;
use std::process::Command;

use harness::leaks::leaks;
use harness::{MALLOCOP, compile, finish, scratch, watched};

fn rules(name: &str, text: &str) -> PathBuf {
    let path = scratch().join(name);
    std::fs::write(&path, text).expect("a writable folder");
    path
}

/// Rules of both kinds; what a rule is not allowed to hide shows; what it hides takes with it what
/// it leads to.
#[test]
fn suppressions() {
    let program = compile("leak_kinds.c", "leak_kinds", &[]);
    let run = |name: &str, text: &str| {
        let flag = format!("--suppressions={}", rules(name, text).display());
        finish(&mut watched(&[&flag], &program))
    };
    let text = "# known\nleak:leak_direct count<=3 reason=known\nleak:^leak_ring$\nleak:leak_pair\n\
        {\n  a list\n  Memcheck:Leak\n  match-leak-kinds: definite\n\
         \x20 fun:malloc\n  fun:leak_list\n  ...\n}\n";
    let ran = run("all: of them.supp", text);
    assert_eq!((ran.status, ran.has_report()), (0, false), "{}", ran.stderr);
    assert!(ran.stderr.contains("781 bytes in 12 blocks suppressed"), "{}", ran.stderr);
    let text = "leak:leak_direct count<=2\nleak:leak_ring expires=2020-01-01\nleak:nothing like \
                it\n\
        leak:/leak_kinds$ bytes<=1\n";
    let ran = run("none.supp", text);
    assert_eq!((ran.status, leaks(&ran).len()), (23, 10), "{}", ran.stderr);
    for words in [
        "leak:leak_direct (FILE:1) is ignored: 300 bytes in 3 blocks exceed its limit",
        "leak:leak_ring (FILE:2) is ignored: it has expired",
        "leak:nothing like it (FILE:3) was not used",
        "leak:/leak_kinds$ (FILE:4) is ignored: 232 bytes in 5 blocks exceed its limit",
    ] {
        let words = words.replace("FILE", &scratch().join("none.supp").display().to_string());
        assert!(ran.stderr.contains(&words), "{words}\n{}", ran.stderr);
    }
    let ran = run("wrong.supp", "leak:a\nnonsense\n");
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("wrong.supp:2: invalid suppression `nonsense`"), "{}", ran.stderr);
    let missing = finish(&mut watched(&["--suppressions=/no/such/file"], "true"));
    assert_eq!(missing.status, 2, "{}", missing.stderr);
    let built_in = finish(Command::new(MALLOCOP).arg("suppressions"));
    assert!(built_in.stdout.starts_with("# mallocop's own suppressions, version "));
}

/// Each rule that a report offers hides what it was offered for.
#[test]
fn offered_rules_work() {
    let program = compile("leak_kinds.c", "leak_kinds", &[]);
    let ran = finish(&mut watched(&[], &program));
    let offered: String = ran
        .stderr
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("suppress with: "))
        .map(|rule| format!("{rule}\n"))
        .collect();
    let flag = format!("--suppressions={}", rules("offered.supp", &offered).display());
    let ran = finish(&mut watched(&[&flag], &program));
    assert!(ran.status == 0 && !ran.has_report(), "{}", ran.stderr);
}
