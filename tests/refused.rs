//! Refused requests: the option `fail`, and `mallocop sweep`.

mod harness;

use std::process::Command;

use harness::{MALLOCOP, Ran, compile, finish};

fn mallocop(words: &[&str], program: &std::path::Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(MALLOCOP);
    command.args(words).arg("--").arg(program).args(arguments).current_dir(harness::victims());
    finish(command.env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1"))
}

fn victim() -> std::path::PathBuf {
    compile("refused.c", "refused", &[])
}

#[test]
fn a_refused_request_is_told_with_its_stack() {
    let ran = mallocop(&["run", "--quiet", "--fail", "nth:2"], &victim(), &[]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let note = "NOTE: mallocop: request no. 2, of 501 bytes, was refused (option fail)\n  asked for by thread T0 \"main\" here:\n    #0 handled refused.c:";
    assert!(ran.stderr.contains(note), "{}", ran.stderr);
}

#[test]
fn plans_choose_by_number_size_and_place() {
    for (plan, status, texts) in [
        ("every:3", 3, &["no. 3,"][..]),
        ("size>=503", 3, &["of 503 bytes"]),
        ("size>=504", 0, &[]),
        ("site:leaks", 4, &["of 200 bytes"]),
        ("site:no_such_function", 0, &[]),
        ("prob:0", 0, &[]),
        ("prob:1,seed=3", 3, &["no. 1,"]),
        ("nth:1000", 0, &[]),
    ] {
        let ran = mallocop(&["run", "--quiet", "--fail", plan], &victim(), &[]);
        assert_eq!(ran.status, status, "{plan}: {}", ran.stderr);
        for text in texts {
            assert!(ran.stderr.contains(text), "{plan}: {}", ran.stderr);
        }
        assert_eq!(texts.is_empty(), ran.stderr.is_empty(), "{plan}: {}", ran.stderr);
    }
    let wrong = mallocop(&["run", "--fail", "first:1"], &victim(), &[]);
    assert_eq!(wrong.status, 2, "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("it takes nth:N, every:N, prob:P[,seed=S], size>=N or site:PATTERN")
    );
}

#[test]
fn operator_new_throws_bad_alloc() {
    let program = compile("refused_new.cpp", "refused_new", &[]);
    let ran = mallocop(&["run", "--quiet", "--fail", "site:ask"], &program, &[]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "bad_alloc\nnull\n"), "{}", ran.stderr);
}

#[test]
fn a_sweep_finds_the_three_planted_faults_and_no_other() {
    let ran = mallocop(&["sweep"], &victim(), &[]);
    assert_eq!(ran.status, 23, "{}", ran.stderr);
    let faults: Vec<_> = ran.stderr.lines().filter(|line| line.starts_with("FAULT")).collect();
    assert_eq!(
        faults,
        [
            "FAULT: the program crashed (SIGSEGV): request no. 5, of 100 bytes, was refused here:",
            "FAULT: the program leaked: request no. 7, of 300 bytes, was refused here:",
            "FAULT: the program returned success with wrong output: request no. 8, of 17 bytes, was refused here:",
        ]
    );
    for text in [
        "    #0 crashes refused.c:",
        "  lost was what was allocated here:\n    #0 leaks refused.c:",
        "    #0 copy refused.c:",
        "SUMMARY: mallocop: 3 faults in 5 runs with a refused request each\n",
    ] {
        assert!(ran.stderr.contains(text), "{text}: {}", ran.stderr);
    }
}

#[test]
fn a_sweep_of_every_request_ends_with_a_judge_of_its_own() {
    let ran = mallocop(&["sweep", "--every", "--check", "grep -q answer"], &victim(), &[]);
    // The judge likes "no answer", too.
    let faults = ran.stderr.lines().filter(|line| line.starts_with("FAULT")).count();
    assert_eq!((faults, ran.status), (2, 23), "{}", ran.stderr);
    assert!(ran.stderr.contains("in 8 runs"), "{}", ran.stderr);
}

#[test]
fn what_waits_for_memory_for_ever_hangs() {
    let ran = mallocop(&["sweep", "--timeout", "5"], &victim(), &["wait"]);
    assert!(ran.stderr.contains("FAULT: the program hung after this:\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("of 400 bytes, was refused"), "{}", ran.stderr);
    assert_eq!(ran.status, 23);
}

#[test]
fn programs_that_handle_it_are_silent() {
    if !harness::is_ready("a sweep of sqlite3", &["sqlite3"]) {
        return;
    }
    let words = ["sweep", "--max", "60"];
    let query = "create table t(a, b); insert into t values (1, 'x'), (2, 'y'); select * from t order by b desc;";
    let ran = mallocop(&words, std::path::Path::new("sqlite3"), &[":memory:", query]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the program stands each of 60 refused requests"),
        "{}",
        ran.stderr
    );
}
