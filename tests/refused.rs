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
    let note = "NOTE: mallocop: request no. 2, of 501 bytes, was refused (option fail)\n  asked \
                for by thread T0 \"main\" here:\n    #0 handled refused.c:";
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
fn each_form_of_operator_new_can_be_refused_by_its_number() {
    let program = compile("refused_new.cpp", "refused_new_by_number", &[]);
    // The second request is for the standard output's buffer.
    for (plan, said) in [("nth:1", "bad_alloc\nmemory\n"), ("nth:3", "memory\nnull\n")] {
        let ran = mallocop(&["run", "--quiet", "--fail", plan], &program, &[]);
        assert_eq!((ran.status, ran.stdout.as_str()), (0, said), "{plan}: {}", ran.stderr);
    }
}

/// Neither a status above 128 nor an error that is there without a refusal is a fault.
#[test]
fn a_sweep_holds_against_the_program_only_what_a_refusal_changes() {
    let program = compile("refused_status.c", "refused_status", &[]);
    for (words, arguments) in
        [(&["sweep"][..], &[][..]), (&["sweep", "--halt-on-error=0"], &["wrong"])]
    {
        let ran = mallocop(words, &program, arguments);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains("survives each of 2 refused requests"), "{}", ran.stderr);
    }
}

#[test]
fn a_first_run_that_takes_longer_than_a_run_may_is_said() {
    let mut sweep = Command::new(MALLOCOP);
    sweep.args(["sweep", "--timeout", "1", "--", "sleep", "10"]).env("NO_COLOR", "1");
    let ran = finish(&mut sweep);
    let words = "mallocop: error: the first run, in which nothing is refused, did not end within \
        1 s: --timeout has to be longer than that\n";
    assert_eq!((ran.status, ran.stderr.as_str()), (2, words));
}

/// Ctrl-C goes to the whole group; what a sweep has started is in groups of its own.
#[test]
fn an_interrupted_sweep_leaves_nothing_behind() {
    let folder = harness::scratch().join("interrupted");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let program = compile("refused.c", "refused_waits", &[]);
    let is_running = || {
        std::fs::read_dir("/proc").expect("/proc").flatten().any(|process| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            line.starts_with(program.as_os_str().as_encoded_bytes())
        })
    };
    let mut sweep = Command::new(MALLOCOP);
    sweep.args(["sweep", "--timeout", "300", "--"]).arg(&program).arg("wait");
    sweep.env("TMPDIR", &folder).env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1");
    sweep.stderr(std::process::Stdio::piped());
    let sweep = sweep.spawn().expect("a sweep");
    let group = || {
        let first = std::fs::read_dir(&folder).expect("the folder").flatten().next();
        first.is_some_and(|made| made.path().join("1.err").exists())
    };
    while !(group() && is_running()) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let signalled = Command::new("kill").args(["-INT", &sweep.id().to_string()]).status();
    assert!(signalled.expect("kill").success());
    let ended = sweep.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(125), "{said}");
    assert!(said.contains("a signal came"), "{said}");
    assert!(!is_running(), "a program that was swept runs on");
    assert_eq!(std::fs::read_dir(&folder).expect("the folder").count(), 0);
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
            "FAULT: the program returned success with wrong output: request no. 8, of 17 bytes, \
             was refused here:",
        ]
    );
    for text in [
        "    #0 crashes refused.c:",
        "  the lost blocks were allocated here:\n    #0 leaks refused.c:",
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
    assert!(ran.stderr.contains("FAULT: the program hung: request no. "), "{}", ran.stderr);
    assert!(ran.stderr.contains("of 400 bytes, was refused here:\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("waits"), "{}", ran.stderr);
    assert_eq!(ran.status, 23);
}

#[test]
fn programs_that_handle_it_are_silent() {
    if !harness::is_ready("a sweep of sqlite3", &["sqlite3"]) {
        return;
    }
    let words = ["sweep", "--max", "60"];
    let query = "create table t(a, b); insert into t values (1, 'x'), (2, 'y'); select * from t \
                 order by b desc;";
    let ran = mallocop(&words, std::path::Path::new("sqlite3"), &[":memory:", query]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the program survives each of 60 refused requests"),
        "{}",
        ran.stderr
    );
}
