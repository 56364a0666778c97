//! Blocks between guard pages: a wrong access is told of where it is made, with exact text, the
//! functions of its stacks and the status; the program goes on where it is to; corrected twins stay
//! silent. tests/guard_grid.rs says what is seen, and what is not.

mod harness;

use std::path::PathBuf;
use std::process::Command;

use harness::{Ran, compile, finish, skeleton, watched};

const OVERFLOW: &str = "heap-buffer-overflow: ";
const FREED: &str = "heap-use-after-free: ";

/// A kind of wrong access, and what is said of it: class, access, place, innermost function.
type Kind = (&'static str, &'static str, &'static str, &'static str, &'static str);

static KINDS: [Kind; 21] = [
    ("read_after", OVERFLOW, "read of 1 byte", "0 bytes after a 96-byte block", "read_at"),
    ("write_after", OVERFLOW, "write of 1 byte", "0 bytes after a 96-byte block", "write_at"),
    ("read_straddling", OVERFLOW, "read of 8 bytes", "0 bytes after a 96-byte block", "read_word"),
    ("fill_after", OVERFLOW, "write of ", "0 bytes after a 96-byte block", "__memset"),
    ("read_before", OVERFLOW, "read of 1 byte", "1 byte before a 96-byte block", "read_at"),
    ("write_before", OVERFLOW, "write of 1 byte", "1 byte before a 96-byte block", "write_at"),
    ("read_freed", FREED, "read of 1 byte", "5 bytes inside a freed 96-byte block", "read_at"),
    ("write_freed", FREED, "write of 1 byte", "5 bytes inside a freed 96-byte block", "write_at"),
    ("large", OVERFLOW, "read of 1 byte", "0 bytes after a 1048576-byte block", "read_at"),
    ("thread", OVERFLOW, "read of 1 byte", "0 bytes after a 96-byte block", "read_at"),
    ("own_handler", OVERFLOW, "read of 1 byte", "0 bytes after a 96-byte block", "read_at"),
    ("call_read", OVERFLOW, "write of 200 bytes", "block, by read(), which failed", "call"),
    ("call_read_freed", FREED, "write of 96 bytes", "block, by read(), which failed", "call"),
    ("call_write", OVERFLOW, "read of 200 bytes", "block, by write(), which failed", "call"),
    ("call_readv", OVERFLOW, "write of 200 bytes", "block, by readv(), which failed", "call"),
    ("call_writev", OVERFLOW, "read of 200 bytes", "block, by writev(), which failed", "call"),
    ("call_recv", OVERFLOW, "write of 200 bytes", "block, by recv(), which failed", "call"),
    ("call_recvmsg", OVERFLOW, "write of 200 bytes", "block, by recvmsg(), which failed", "call"),
    ("call_fread", OVERFLOW, "write of 16384 bytes", "block, by fread(), which failed", "call"),
    ("call_fwrite", OVERFLOW, "read of 16384 bytes", "block, by fwrite(), which failed", "call"),
    ("call_send", OVERFLOW, "read of 200 bytes", "block, by send(), which failed", "call"),
];

/// The ways to make pages fault.
const BACKENDS: [&str; 3] =
    ["--guard-backend=madvise", "--guard-backend=userfaultfd", "--guard-backend=mprotect"];

/// All kinds with the first way, some of them with the others: tests/guard_grid.rs has all cells.
fn with_backends() -> impl Iterator<Item = (&'static str, &'static [Kind])> {
    let kinds = [&KINDS[..], &KINDS[6..13], &KINDS[6..13]];
    BACKENDS.into_iter().zip(kinds)
}

fn victim(is_fixed: bool) -> PathBuf {
    match is_fixed {
        false => compile("guard_kinds.c", "guard_kinds", &[]),
        true => compile("guard_kinds.c", "guard_kinds.fixed", &["-DFIXED"]),
    }
}

fn run(kind: &str, is_fixed: bool, flags: &[&str]) -> Ran {
    let flags = [&["--quiet", "--detect-leaks=0"], flags].concat();
    finish(watched(&flags, victim(is_fixed)).arg(kind))
}

/// The lines of a report's skeleton.
fn lines(ran: &Ran) -> Vec<String> {
    skeleton(&ran.stderr).lines().map(str::to_owned).collect()
}

#[test]
fn each_kind_of_access_ends_the_program_there() {
    for (backend, kinds) in with_backends() {
        for &(kind, class, access, place, function) in kinds {
            let ran = run(kind, false, &[backend]);
            let lines = lines(&ran);
            assert_eq!(ran.status, 134, "{kind} {backend}: {}", ran.stderr);
            let first = lines.first().map_or("", String::as_str);
            let start = format!("ERROR: mallocop: {class}{access}");
            assert!(first.starts_with(&start) && first.contains(place), "{kind}: {}", ran.stderr);
            let stack = lines.get(1).and_then(|line| line.split_once(" here: "));
            let stack = stack.map_or("", |(_, stack)| stack);
            assert!(stack.starts_with(function), "{kind} {backend}: {}", ran.stderr);
            let block = "with malloc here: make ";
            assert!(lines.iter().any(|line| line.contains(block)), "{kind}: {}", ran.stderr);
            assert!(!ran.stdout.contains("end"), "{kind}: {}", ran.stdout);
        }
    }
}

#[test]
fn the_text_of_a_read_behind_a_block() {
    let ran = run("read_after", false, &[]);
    let program = victim(false);
    let program = program.display();
    let mut lines = lines(&ran);
    let summary = lines.pop().expect("lines");
    assert!(summary.starts_with("SUMMARY: mallocop: heap-buffer-overflow "), "{summary}");
    assert!(summary.ends_with("guard_kinds.c:38:69 in read_at"), "{summary}");
    assert_eq!(
        lines,
        [
            "ERROR: mallocop: heap-buffer-overflow: read of 1 byte at ADDRESS, 0 bytes after a \
             96-byte block",
            "  read by thread T0 \"main\" here: read_at main",
            "  block [ADDRESS,ADDRESS), 96 bytes, live, allocated by thread T0 \"main\" with \
             malloc here: make main",
            "  the block was sampled: number 1 of its site, guard_seed=0; to repeat this:",
            "  to guard every block of that site:",
        ],
        "{}",
        ran.stderr
    );
    for command in ["--guard-seed=0", "--guard=all --guard-sites=make"] {
        let line = format!("    mallocop run {command} -- {program} read_after\n");
        assert!(ran.stderr.contains(&line), "{}", ran.stderr);
    }
}

/// What is told to repeat it repeats it.
#[test]
fn the_commands_of_a_report_find_it_again() {
    for flags in [&["--guard-seed=0"][..], &["--guard=all", "--guard-sites=make"]] {
        let ran = run("read_after", false, flags);
        assert_eq!(ran.status, 134, "{flags:?}: {}", ran.stderr);
    }
    let other = run("read_after", false, &["--guard=all", "--guard-sites=make_second"]);
    assert_eq!((other.status, other.has_report()), (0, false), "{}", other.stderr);
    let other = run("read_after", false, &["--guard-modules=libc.so*"]);
    assert_eq!((other.status, other.has_report()), (0, false), "{}", other.stderr);
    let own = run("read_after", false, &["--guard-modules=*guard_kinds"]);
    assert_eq!(own.status, 134, "{}", own.stderr);
    let sizes = run("read_after", false, &["--guard-sizes=97-1000"]);
    assert_eq!((sizes.status, sizes.has_report()), (0, false), "{}", sizes.stderr);
    let sizes = run("read_after", false, &["--guard-sizes=90-96"]);
    assert_eq!(sizes.status, 134, "{}", sizes.stderr);
}

/// The page opens, every thread goes on, and each access is told of once.
#[test]
fn a_program_that_is_not_to_end_goes_on() {
    for (backend, kinds) in with_backends() {
        for &(kind, class, ..) in kinds {
            let ran = run(kind, false, &[backend, "--halt-on-error=0"]);
            assert_eq!(ran.status, 23, "{kind} {backend}: {}", ran.stderr);
            assert!(ran.stdout.ends_with("guard_kinds: end\n"), "{kind}: {}", ran.stdout);
            assert_eq!(ran.stderr.matches(class).count(), 1, "{kind} {backend}: {}", ran.stderr);
            let alone = finish(Command::new(victim(false)).arg(kind));
            // Alone, fread writes over the heap.
            if kind.starts_with("call_") && kind != "call_fread" {
                assert_eq!(ran.stdout, alone.stdout, "{kind} {backend}");
            }
        }
    }
}

#[test]
fn corrected_twins_are_silent() {
    for (kind, ..) in KINDS.iter().chain(&[("call_bound", "", "", "", "")]) {
        let alone = finish(Command::new(victim(true)).arg(kind));
        for flags in [&[][..], &["--guard=all"], &BACKENDS[1..2], &BACKENDS[2..3]] {
            let ran = run(kind, true, flags);
            assert_eq!((ran.status, &ran.stdout), (0, &alone.stdout), "{kind}: {}", ran.stderr);
            assert!(!ran.has_report(), "{kind} {flags:?}: {}", ran.stderr);
        }
    }
}

/// A bound is no error where the call stops in time.
#[test]
fn a_bound_that_is_not_reached_is_silent() {
    let ran = run("call_bound", false, &[]);
    assert_eq!((ran.status, ran.has_report()), (0, false), "{}", ran.stderr);
}

/// Sixty bugs as in CWE 122, 124, 126, 127 and 416, in the first run: at the access, or later.
#[test]
fn sixty_weaknesses() {
    // Writes that a canary finds at the free of the first block, before the second has its guard in
    // front; and those that end in the slack of an alignment of 16.
    const LATER: [usize; 14] = [5, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23];
    // memcmp stops at the first difference, in the slack; a read of the slack; a read in front of
    // the only block of its site.
    const NEVER: [usize; 3] = [28, 33, 47];
    let program = compile("weaknesses.c", "weaknesses", &[]);
    let twin = compile("weaknesses.c", "weaknesses.fixed", &["-DFIXED"]);
    for number in 0..60 {
        let run = |program: &PathBuf| {
            let flags = ["--quiet", "--detect-leaks=0"];
            finish(watched(&flags, program).arg(number.to_string()))
        };
        let ran = run(&program);
        let is_at_once = [": read of ", ": write of "].iter().any(|word| ran.stderr.contains(word));
        let expected =
            (!LATER.contains(&number) && !NEVER.contains(&number), !NEVER.contains(&number));
        assert_eq!((is_at_once, ran.has_report()), expected, "{number}: {}", ran.stderr);
        let fixed = run(&twin);
        let said = (fixed.status, fixed.stdout.as_str(), fixed.has_report());
        assert_eq!(said, (0, "end\n", false), "{number}: {}", fixed.stderr);
    }
}

/// Correct programs: forks, threads, locked memory, limits, cancellation in a call whose buffer is
/// guarded, aligned requests.
#[test]
fn correct_programs_in_hard_places() {
    const PLACES: [&str; 11] = [
        "use",
        "fork",
        "threads",
        "locked_before",
        "locked_between",
        "address_space",
        "data",
        "cancelled",
        "aligned",
        "dlerror",
        "filtered",
    ];
    let program = compile("guard_places.c", "guard_places", &[]);
    for place in PLACES {
        let alone = finish(Command::new(&program).arg(place));
        for guard in ["--guard=auto", "--guard=all"] {
            for backend in BACKENDS {
                let flags = ["--quiet", guard, backend];
                let ran = finish(watched(&flags, &program).arg(place));
                let said = (ran.status, &ran.stdout);
                assert_eq!(said, (0, &alone.stdout), "{place} {guard} {backend}: {}", ran.stderr);
                assert!(!ran.has_report(), "{place} {guard} {backend}: {}", ran.stderr);
            }
        }
    }
}

/// Where blocks cannot be guarded the report says so, once, and why.
#[test]
fn what_keeps_blocks_from_being_guarded_is_told() {
    let program = compile("guard_places.c", "guard_places", &[]);
    let told = |flags: &[&str], place: &str| {
        let ran = finish(watched(flags, &program).arg(place));
        assert_eq!(ran.status, 0, "{place}: {}", ran.stderr);
        let lines = ran.stderr.lines().filter_map(|line| {
            line.split_once("blocks were not guarded: ").map(|(_, why)| why.to_owned())
        });
        lines.collect::<Vec<String>>()
    };
    let data = ["there is a limit on data (RLIMIT_DATA)"];
    let locked = ["the kernel gives no guard pages here, as in locked memory (mlockall)"];
    let filtered = ["the program has installed a seccomp filter"];
    assert_eq!(told(&[], "data"), data);
    assert_eq!(told(&["--guard-backend=madvise"], "locked_before"), locked);
    assert_eq!(told(&[], "filtered"), filtered);
    assert!(told(&["--quiet"], "data").is_empty());
    assert!(told(&["--guard=off"], "data").is_empty());
    assert!(told(&["--guard-backend=none"], "use").is_empty());
    assert!(told(&[], "use").is_empty());
}

/// The same program guards the same blocks again, another seed others.
#[test]
fn the_same_seed_guards_the_same_blocks() {
    let program = compile("guard_seeds.c", "guard_seeds", &[]);
    let found = |seed: &str| {
        let flags = ["--quiet", "--detect-leaks=0", "--halt-on-error=0", seed];
        let ran = finish(&mut watched(&flags, &program));
        let numbers = ran.stderr.lines().filter_map(|line| {
            let (_, rest) = line.split_once("the block was sampled: number ")?;
            rest.split_once(" of its site").map(|(number, _)| number.to_owned())
        });
        numbers.collect::<Vec<String>>()
    };
    let first = found("--guard-seed=0");
    assert_eq!(first, ["1", "4", "16", "64"], "the sides take turns");
    assert_eq!(found("--guard-seed=0"), first);
    assert_eq!(found("--guard-seed=1"), ["2", "8", "32"]);
    assert_eq!(found("--guard-seed=4"), ["1", "13", "61"]);
}

/// After the first 64 guards: for 1000 allocations one call and one page fault more at most.
#[test]
fn guards_cost_what_they_may() {
    let program = compile("guard_costs.c", "guard_costs", &["-O1"]);
    let faults = |guard: &str| {
        let flags = ["--quiet", "--detect-leaks=0", "--print-summary=0", guard];
        let ran = finish(&mut watched(&flags, &program));
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.stdout.trim().parse::<i64>().expect("a number of faults")
    };
    // A million allocations of a thousand sites; a table, a shadow page and a record page come with
    // some of the slots.
    let more = faults("--guard=auto") - faults("--guard=off");
    assert!(more < 64 + 1000 + 400, "{more} page faults more");
    let calls = |guard: &str| {
        let log = harness::scratch().join("guard_costs.strace");
        let flags = ["--quiet", "--detect-leaks=0", "--print-summary=0", guard];
        let mut command = Command::new("strace");
        command
            .args(["-f", "-o"])
            .arg(&log)
            .arg("-e")
            .arg("trace=madvise,process_madvise,mprotect");
        command.arg(harness::MALLOCOP).arg("run").args(flags).arg("--").arg(&program);
        assert_eq!(finish(&mut command).status, 0);
        std::fs::read_to_string(&log).expect("a log").lines().count()
    };
    let more = calls("--guard=auto") - calls("--guard=off");
    assert!(more < 64 + 1000 + 100, "{more} calls more");
}
