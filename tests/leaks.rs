//! Leaks at exit: every kind of root keeps its block, and without it the block is lost; exact bytes
//! and objects, the exact lines, the exit status, the program's output complete.

mod harness;

use std::process::Command;

use harness::leaks::{direct, keeps, leaks, loses};
use harness::{MALLOCOP, Ran, compile, finish, scratch, skeleton, victims, watched};

const ROOTS: [&str; 33] = [
    "global",
    "tls",
    "interior",
    "end",
    "tagged",
    "module",
    "module-tls",
    "specific",
    "late-specific",
    "mapping",
    "shared-mapping",
    "short-file",
    "region",
    "epoll",
    "timer",
    "coroutine",
    "below-coroutine",
    "dead-stack",
    "freed-block",
    "exit-stack",
    "exit-register",
    "thread-read",
    "thread-poll",
    "thread-sleep",
    "thread-futex",
    "thread-loop",
    "thread-tls",
    "thread-register",
    "thread-ending",
    "thread-alternate",
    "thread-below-sp",
    "thread-own-stack",
    "thread-new",
];

fn root(kind: &str, mode: &str, flags: &[&str]) -> Ran {
    let module = compile("leak_roots_lib.c", "leak_roots_lib.so", &["-shared", "-fPIC"]);
    let program = compile("leak_roots.c", "leak_roots", &[]);
    let flags = match kind {
        "region" => [flags, &["--use-mappings=0"]].concat(),
        _ => flags.to_vec(),
    };
    finish(watched(&flags, program).args([kind, mode]).env("MODULE", module))
}

#[test]
fn every_kind_of_root_keeps_its_block() {
    for kind in ROOTS {
        println!("{kind}");
        keeps(&root(kind, "keep", &[]), "leak_roots: end\n");
    }
}

/// Where the kernel puts the coroutines' stacks is chance: in one of three runs they are one
/// mapping with the first thread's descriptor, and were taken for its stack.
#[test]
fn a_coroutine_below_another_keeps_its_block_wherever_they_lie() {
    for _ in 0..10 {
        keeps(&root("below-coroutine", "keep", &[]), "leak_roots: end\n");
    }
}

#[test]
fn without_the_root_the_block_is_lost() {
    for kind in ROOTS {
        println!("{kind}");
        let ran = root(kind, "lose", &[]);
        loses(&ran, &[direct(1237, 1)], "leak_roots: end\n");
    }
}

/// Each kind of root can be left out.
#[test]
fn roots_that_are_not_wanted() {
    for (kind, flag) in [
        ("global", "--use-globals=0"),
        ("thread-poll", "--use-stacks=0"),
        ("thread-register", "--use-registers=0"),
        ("mapping", "--use-mappings=0"),
    ] {
        let found = leaks(&root(kind, "keep", &[flag]));
        assert!(found.contains(&direct(1237, 1)), "{kind} {flag}: {found:?}");
    }
}

/// The whole report, to the letter but for addresses.
#[test]
fn each_kind_of_leak() {
    let program = compile("leak_kinds.c", "leak_kinds", &[]);
    let ran = finish(&mut watched(&[], &program));
    let report = skeleton(&ran.stderr);
    let expected = "\
ERROR: mallocop: detected memory leaks

Direct leak of 300 byte(s) in 3 object(s) allocated from: leak_direct main

Direct leak of 72 byte(s) in 1 object(s) allocated from: leak_ring main

Direct leak of 64 byte(s) in 1 object(s) allocated from: leak_pair main

Direct leak of 24 byte(s) in 1 object(s) allocated from: leak_list main

Indirect leak of 72 byte(s) in 1 object(s) allocated from: leak_ring main

Indirect leak of 72 byte(s) in 1 object(s) allocated from: leak_ring main

Indirect leak of 64 byte(s) in 1 object(s) allocated from: leak_pair main

Indirect leak of 40 byte(s) in 1 object(s) allocated from: make_node leak_list main

Indirect leak of 40 byte(s) in 1 object(s) allocated from: make_node leak_list main

Indirect leak of 33 byte(s) in 1 object(s) allocated from: leak_ring main

  definitely lost: 460 bytes in 6 blocks
  indirectly lost: 321 bytes in 6 blocks
    possibly lost: 0 bytes in 0 blocks
  still reachable: 500 bytes in 1 block      (--show-reachable lists them)
       suppressed: 0 bytes in 0 blocks
            total: 13 allocations, 0 frees, 1.3 KiB allocated, peak 1.3 KiB
SUMMARY: mallocop: 781 byte(s) leaked in 12 allocation(s).";
    assert_eq!(report, expected, "{}", ran.stderr);
    assert_eq!(ran.status, 23);
    let first: Vec<_> = ran.stderr.lines().skip(3).take(4).map(str::trim_start).collect();
    assert!(first[1].starts_with("#0 leak_direct ") && first[1].ends_with("leak_kinds.c:25:24"));
    assert_eq!(first[2], "25 |     volatile char *p = malloc(100);");
    assert!(ran.stderr.contains("    suppress with: leak:make_node\n"));
}

/// What else can be asked for: the blocks one by one, what is reachable, fewer sites.
#[test]
fn more_and_less_of_a_report() {
    let program = compile("leak_kinds.c", "leak_kinds", &[]);
    let run = |flag: &str| finish(&mut watched(&[flag], &program)).stderr;
    let objects = run("--report-objects");
    let listed = objects.split("Objects leaked above:\n").nth(1).expect("a list");
    let lines: Vec<_> = listed.lines().take_while(|line| line.starts_with("0x")).collect();
    assert!(
        lines.len() == 3 && lines.iter().all(|line| line.ends_with(" (100 bytes)")),
        "{lines:?}"
    );
    assert_eq!(objects.matches("Objects leaked above:").count(), 10);
    let reachable = skeleton(&run("--show-reachable"));
    let line = "mallocop: still reachable: 500 bytes in 1 block allocated from: main";
    assert!(reachable.lines().any(|found| found == line), "{reachable}");
    let fewer = run("--max-sites=2");
    assert_eq!(fewer.matches(" leak of ").count(), 2, "{fewer}");
    assert!(
        fewer.contains("8 more with 409 byte(s) not shown (--max-sites shows more)"),
        "{fewer}"
    );
    assert!(fewer.contains("SUMMARY: mallocop: 781 byte(s) leaked in 12 allocation(s)."));
}

/// Of a million nodes nothing is lost while their head is there; without it the head is direct, all
/// others indirect.
#[test]
fn a_list_of_a_million() {
    let program = compile("leak_million.c", "leak_million", &["-O1"]);
    keeps(&finish(watched(&[], &program).arg("keep")), "leak_million: end\n");
    let ran = finish(watched(&[], &program).arg("lose"));
    let rest = ("Indirect".to_owned(), 24 * 999_999, 999_999);
    loses(&ran, &[direct(24, 1), rest], "leak_million: end\n");
}

/// Names, bytes and stacks of C++ and Rust programs.
#[test]
fn cpp_and_rust_programs() {
    let program = compile("leak_cpp.cpp", "leak_cpp", &["-O1"]);
    keeps(&finish(watched(&[], &program).arg("keep")), "leak_cpp: end\n");
    let ran = finish(watched(&[], &program).arg("lose"));
    let indirect = ("Indirect".to_owned(), 101, 1);
    loses(&ran, &[direct(808, 1), direct(248, 1), direct(64, 1), indirect], "leak_cpp: end\n");
    assert!(skeleton(&ran.stderr).contains(" make_array"), "{}", ran.stderr);
    for flags in [&["-g"][..], &["-O", "-g"]] {
        let program = scratch().join(format!("leak_rust{}", flags.len()));
        let source = victims().join("leak_rust.rs");
        let built = Command::new("rustc")
            .args(["--edition", "2024"])
            .args(flags)
            .args([source.as_os_str(), "-o".as_ref(), program.as_os_str()])
            .status();
        assert!(built.expect("rustc").success());
        keeps(&finish(watched(&[], &program).arg("keep")), "leak_rust: end\n");
        let ran = finish(watched(&[], &program).arg("lose"));
        let indirect = ("Indirect".to_owned(), 77, 1);
        loses(&ran, &[direct(1237, 1), direct(64, 1), indirect], "leak_rust: end\n");
        assert!(ran.stderr.contains("leak_rust::forget"), "{}", ran.stderr);
    }
}

/// A crate with 50 tests that run at once, with threads and panics in them: nothing of libtest's or
/// std's.
#[test]
fn fifty_parallel_tests() {
    let program = scratch().join("libtest_fifty");
    let built = Command::new("rustc")
        .args(["--edition", "2024", "-g", "--test"])
        .args([victims().join("libtest_fifty.rs").as_os_str(), "-o".as_ref(), program.as_os_str()])
        .status();
    assert!(built.expect("rustc").success());
    for _ in 0..5 {
        let ran = finish(watched(&[], &program).arg("--test-threads=16"));
        assert!(ran.stdout.contains("test result: ok. 50 passed"), "{}", ran.stdout);
        assert!(ran.status == 0 && !ran.has_report(), "{}", ran.stderr);
    }
    let ran = finish(watched(&[], &program).args(["--test-threads=16", "--include-ignored"]));
    assert_eq!((leaks(&ran), ran.status), (vec![direct(1237, 1)], 23), "{}", ran.stderr);
}

/// What Rust programs say of their blocks themselves: this one, once more, under mallocop.
#[test]
fn rust_programs_speak_for_themselves() {
    use mallocop::program;
    const CHILD: &str = "MALLOCOP_TEST_SPEAKS";
    if std::env::var_os(CHILD).is_none() {
        let this = std::env::current_exe().expect("a path");
        let mut command = watched(&[], this);
        command.args(["--exact", "rust_programs_speak_for_themselves", "--nocapture"]);
        let ran = finish(command.env(CHILD, "1"));
        assert!(ran.stdout.contains("found: false, then true, then false"), "{}", ran.stdout);
        assert_eq!(leaks(&ran), [direct(300, 1), direct(300, 1)], "{}", ran.stderr);
        return;
    }
    let lose = |size: usize| std::hint::black_box(Box::leak(vec![0u8; size].into_boxed_slice()));
    let ignored = program::ignore_leaks();
    lose(100);
    drop(ignored);
    program::ignore_leak(lose(200));
    let before = program::find_leaks();
    // Nowhere but in a number that is no pointer.
    #[inline(never)]
    fn hide(lose: impl Fn(usize) -> &'static mut [u8]) -> usize {
        std::hint::black_box(!(lose(300).as_ptr() as usize))
    }
    let hidden = hide(lose);
    let scrub = || std::hint::black_box([0u8; 16384]);
    scrub();
    let lost = program::find_leaks();
    let seen = [!hidden];
    let root = program::root(b"no pointers");
    let after = program::find_leaks();
    drop(root);
    std::hint::black_box(&seen);
    println!("found: {before}, then {lost}, then {after}");
    assert_eq!(program::verify(), 0);
}

/// Pointers into a block: all keep it, or only those that C++ programs keep alone.
#[test]
fn interior_pointers_in_strict_mode() {
    let program = compile("leak_cpp.cpp", "leak_cpp", &["-O1"]);
    keeps(&finish(watched(&["--interior=strict"], &program).arg("keep")), "leak_cpp: end\n");
    let ran = root("interior", "keep", &["--interior=strict"]);
    let possible = ("Possible".to_owned(), 1237, 1);
    loses(&ran, &[possible], "leak_roots: end\n");
    for program in ["true", "sqlite3", "python3"] {
        let ran = finish(watched(&["--interior=strict"], program).arg("--version"));
        assert!(ran.status == 0 && !ran.has_report(), "{program}: {}", ran.stderr);
    }
}

/// Each process answers for what it has allocated itself; in a child that may be said of no block
/// without checks.
#[test]
fn children_answer_for_their_own_blocks() {
    let program = compile("leak_fork.c", "leak_fork", &[]);
    let end = "leak_fork: child 0\nleak_fork: end\n";
    let ran = finish(&mut watched(&[], &program));
    let expected = [direct(333, 1), direct(222, 1), direct(111, 1)];
    assert_eq!(leaks(&ran), expected, "{}", ran.stderr);
    assert!(ran.stderr.contains("mallocop: in 2 processes of leak_fork (pid "), "{}", ran.stderr);
    assert_eq!((ran.status, ran.stdout.ends_with(end)), (23, true), "{}", ran.stdout);
    let bare = finish(&mut watched(&["--checks=none"], &program));
    // Without checks a block is as large as its chunk.
    assert_eq!(leaks(&bare), [direct(344, 1), direct(232, 1)], "{}", bare.stderr);
}

#[test]
fn the_program_has_the_first_word_on_its_status() {
    let program = compile("leak_stdin.c", "leak_stdin", &[]);
    let run = |flags: &[&str], arguments: &[&str]| {
        // A standard input that never ends.
        let line = format!(
            "sleep 100 | (MALLOCOP run {} -- {} {}; echo \" status $?\"; kill 0)",
            flags.join(" "),
            program.display(),
            arguments.join(" ")
        );
        let line = line.replace("MALLOCOP", MALLOCOP);
        finish(Command::new("setsid").args(["-w", "sh", "-c", &line]).env("NO_COLOR", "1"))
    };
    for (flags, arguments, status) in [
        (&[][..], &[][..], 23),
        (&["--exitcode=9"], &[], 9),
        (&["--exitcode=0"], &[], 0),
        (&["--detect-leaks=0"], &[], 0),
        (&[], &["7"], 7),
    ] {
        let ran = run(flags, arguments);
        let expected = format!("leak_stdin: end status {status}\n");
        assert_eq!(ran.stdout, expected, "{flags:?} {arguments:?}: {}", ran.stderr);
        let found =
            if flags.contains(&"--detect-leaks=0") { vec![] } else { vec![direct(1237, 1)] };
        assert_eq!(leaks(&ran), found, "{flags:?}: {}", ran.stderr);
    }
}

#[test]
fn the_programs_own_words() {
    let program = compile("leak_calls.c", "leak_calls", &[]);
    let run = |mode: &str| finish(watched(&[], &program).arg(mode));
    let end = "leak_calls: end\n";
    loses(&run("ignore"), &[direct(1004, 1)], end);
    let ran = run("recoverable");
    assert_eq!(ran.stdout, format!("leak_calls: start\nbefore: 0\nkept: 0\nlost: 1\n{end}"));
    assert_eq!((leaks(&ran), ran.status), (vec![direct(1000, 1); 2], 23), "{}", ran.stderr);
    let ran = run("now");
    assert_eq!((ran.stdout.as_str(), ran.status), ("leak_calls: start\n", 23));
    assert_eq!(leaks(&ran), [direct(1000, 1)], "{}", ran.stderr);
    for (mode, words) in [
        ("once", "in use at exit: "),
        ("turned-off", "did not check for leaks: the program's __lsan_is_turned_off says so"),
        ("suppressions", "1000 bytes in 1 block suppressed"),
    ] {
        let ran = run(mode);
        assert_eq!((ran.status, ran.stdout.ends_with(end)), (0, true), "{mode}: {}", ran.stderr);
        assert!(!ran.has_report() && ran.stderr.contains(words), "{mode}: {}", ran.stderr);
    }
    let program = compile("leak_options.c", "leak_options", &["-rdynamic"]);
    let ran = finish(&mut watched(&[], &program));
    assert_eq!((leaks(&ran), ran.status), (vec![direct(1000, 1)], 9), "{}", ran.stderr);
    assert!(ran.stderr.contains("unknown option `verbosity` (ignored)"), "{}", ran.stderr);
    let ran = finish(&mut watched(&["--exitcode=8"], &program));
    assert_eq!(ran.status, 8, "{}", ran.stderr);
}
