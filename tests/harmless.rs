//! Correct programs that were harmed once: killed, hung, slowed down, or with more memory than they
//! need. Each keeps its output and its status, and is not reported.

mod harness;

use std::path::Path;
use std::process::Command;

use harness::leaks::{keeps, leaks};
use harness::{MALLOCOP, Ran, compile, finish, scratch, watched};

fn run(victim: &str, flags: &[&str]) -> Ran {
    let program = compile(&format!("{victim}.c"), victim, &[]);
    finish(&mut watched(flags, program))
}

/// As glibc 2.42 guards the stacks of all threads (MADV_GUARD_INSTALL), and behind a protection
/// key.
#[test]
fn pages_that_fault_do_not_end_the_program_at_its_leak_check() {
    for flags in [&[][..], &["--checks=none"], &["--interior=strict"]] {
        let ran = run("guarded_pages", flags);
        keeps(&ran, "end\n");
    }
}

/// mlockall(2), mappings put in a block's place, and a limit on data: none is a write to a block
/// that was freed, and what was freed counts against no limit.
#[test]
fn freed_mappings_are_not_written_to_by_whom_they_do_not_belong() {
    let program = compile("freed_mappings.c", "freed_mappings", &[]);
    for what in ["locked", "overlaid", "limited"] {
        let ran = finish(watched(&["--detect-leaks=0"], &program).arg(what));
        assert!(!ran.has_report(), "{what}: {}", ran.stderr);
        assert_eq!((ran.status, ran.stdout.as_str()), (0, "end\n"), "{what}: {}", ran.stderr);
    }
}

#[test]
fn a_request_in_vain_takes_no_other_threads_memory_away() {
    let ran = run("vain_requests", &["--detect-leaks=0"]);
    assert!(!ran.has_report(), "{}", ran.stderr);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "end\n"), "{}", ran.stderr);
}

#[test]
fn fork_while_streams_are_read_and_flushed_does_not_hang() {
    let file = scratch().join("big");
    std::fs::write(&file, vec![b'x'; 50_000]).expect("a file");
    let program = compile("fork_streams.c", "fork_streams", &[]);
    for flags in [&[][..], &["--checks=none"]] {
        let ran = finish(watched(flags, &program).arg(&file));
        assert!(!ran.has_report(), "{}", ran.stderr);
        assert_eq!((ran.status, ran.stdout.as_str()), (0, "end\n"), "{}", ran.stderr);
    }
}

#[test]
fn children_forked_from_handlers_inside_malloc_do_not_hang() {
    for flags in [&[][..], &["--checks=none"]] {
        let ran = run("fork_storm", flags);
        assert!(!ran.has_report(), "{}", ran.stderr);
        assert_eq!((ran.status, ran.stdout.as_str()), (0, "end\n"), "{}", ran.stderr);
    }
}

#[test]
fn a_program_that_queues_the_signal_of_the_leak_check_goes_on() {
    let ran = run("queued_signal", &[]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "end\n"), "{}", ran.stderr);
}

/// The filter ends the program at the first system call that is not its own or one of
/// docs/leaks.md.
#[test]
fn after_a_seccomp_filter_no_other_system_call_is_made() {
    let program = compile("filtered_calls.c", "filtered_calls", &[]);
    let errors = [
        ("overflow", "(heap-buffer-overflow)", 134),
        ("invalid", "free(): invalid pointer", 134),
        ("twice", "free(): double free detected", 134),
        ("late", "heap-buffer-overflow: memory clobbered past end of a 60-byte block", 23),
    ];
    for preloaded in [false, true] {
        let start = |what: &str| {
            let mut command = if preloaded { preload(&program) } else { watched(&[], &program) };
            finish(command.arg(what))
        };
        for what in ["none", "check", "leaks", "stats"] {
            let ran = start(what);
            assert_eq!(
                (ran.status, ran.stdout.ends_with("end\n")),
                (0, true),
                "{what} {}",
                ran.stderr
            );
            let why = "did not check for leaks: the program has installed a seccomp filter";
            assert!(ran.stderr.contains(why), "{what} {}", ran.stderr);
        }
        for (what, _, status) in errors {
            let ran = start(what);
            assert_eq!(ran.status, status, "{what} {}", ran.stderr);
            assert!(ran.stderr.contains("==ERROR: mallocop: "), "{what} {}", ran.stderr);
        }
    }
}

/// The program with the library preloaded, without the command.
fn preload(program: &Path) -> Command {
    let library = finish(Command::new(MALLOCOP).arg("library")).stdout;
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", library.trim_end()).env("NO_COLOR", "1");
    command.env_remove("MALLOCOP_OPTIONS");
    command
}

/// A signal's record has 11 KiB where the processor has AVX-512 and AMX.
#[test]
fn what_lies_beside_a_small_stack_stays_as_it_is() {
    let ran = run("small_coroutine", &[]);
    let expected = "small_coroutine: 0 bytes changed\nsmall_coroutine: end\n";
    assert_eq!((ran.status, ran.stdout.as_str()), (0, expected), "{}", ran.stderr);
}

/// Stacks for signal handlers take no mapping a thread, and no memory but where one was stopped.
#[test]
fn ten_thousand_threads_stand_still() {
    let program = compile("many_threads.c", "many_threads", &[]);
    let alone = finish(&mut Command::new(&program)).stdout;
    if alone.contains("only ") {
        println!("skipped: {alone}");
        return;
    }
    let ran = finish(&mut watched(&["--detect-leaks=0"], &program));
    assert!(ran.status == 0 && ran.stdout.ends_with("end\n"), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.starts_with("leaks 0\n"), "{}{}", ran.stdout, ran.stderr);
    let mappings = |text: &str| -> i64 {
        let number = text.lines().find_map(|line| line.strip_prefix("mappings "));
        number.and_then(|number| number.parse().ok()).expect("a number")
    };
    let more = mappings(&ran.stdout) - mappings(&alone);
    assert!(more < 1000, "{more} more mappings for 10,000 threads");
}

#[test]
fn malloc_stats_in_a_cancelled_thread_prints_and_goes_on() {
    let ran = run("cancelled_stats", &[]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "end\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains(" bytes in use in "), "{}", ran.stderr);
}

#[test]
fn malloc_before_libc_is_initialised_is_watched_with_its_options() {
    let ran = run("preinit", &[]);
    keeps(&ran, "end\n");
    let program = compile("preinit.c", "preinit", &[]);
    let ran = finish(watched(&["--halt-on-error=0"], program).arg("overflow"));
    assert_eq!((ran.status, ran.stdout.as_str()), (23, "end\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("past end of a 100-byte block"), "{}", ran.stderr);
}

#[test]
fn exec_of_pointers_that_cannot_be_read_fails_as_the_kernel_says() {
    let ran = run("exec_nowhere", &[]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "end\n"), "{}", ran.stderr);
}

#[test]
fn a_limit_on_file_sizes_ends_nothing() {
    let program = compile("leak.c", "leak_limited", &[]);
    for limit in ["1000000", "20000", "100", "0"] {
        let line = format!("ulimit -f {limit}; exec \"$0\" run -- \"$1\"");
        let ran = finish(
            Command::new("sh").args(["-c", &line, MALLOCOP]).arg(&program).env("NO_COLOR", "1"),
        );
        assert_eq!(ran.status, 23, "{limit} {}", ran.stderr);
        assert!(ran.stderr.contains("SUMMARY: mallocop: 300 byte(s) leaked"), "{}", ran.stderr);
    }
}

#[test]
fn three_million_blocks_are_classified() {
    let ran = run("many_blocks", &["--malloc-context-size=4"]);
    assert_eq!(leaks(&ran), [("Direct".to_owned(), 24, 1)], "{}", ran.stderr);
    assert_eq!(ran.status, 23);
}

#[test]
fn the_loader_run_by_name_is_watched() {
    let program = compile("leak.c", "leak_by_loader", &[]);
    let ran = finish(watched(&[], "/lib64/ld-linux-x86-64.so.2").arg(program));
    assert_eq!(ran.status, 23, "{}", ran.stderr);
    assert!(ran.stderr.contains("SUMMARY: mallocop: 300 byte(s) leaked"), "{}", ran.stderr);
}

/// Huge pages are for memory of which every page is used.
#[test]
fn blocks_of_which_little_is_used_do_not_become_resident() {
    let program = compile("sparse.c", "sparse", &[]);
    let mebibytes = |ran: &Ran| ran.stdout.trim().parse::<u64>().expect("a number");
    let alone = mebibytes(&finish(&mut Command::new(&program)));
    let with = mebibytes(&finish(&mut watched(&["--detect-leaks=0"], &program)));
    assert!(with < 3 * alone + 20, "{with} MiB instead of {alone}");
}

#[test]
fn a_thousand_threads_need_less_than_a_quarter_of_a_mebibyte_each() {
    let program = compile("thread_memory.c", "thread_memory", &[]);
    let flags = ["--checks=none", "--malloc-context-size=0", "--detect-leaks=0"];
    let ran = finish(&mut watched(&flags, &program));
    let mebibytes: u64 = ran.stdout.trim().parse().expect("a number");
    assert!(mebibytes < 250, "{mebibytes} MiB");
}

/// Each asks what glibc's own tests ask.
#[test]
fn the_malloc_api_behaves_as_glibcs() {
    for name in ["api_errors", "api_memory", "api_reports", "api_threads"] {
        let program = compile(&format!("{name}.c"), name, &[]);
        for flags in [&[][..], &["--checks=none"], &["--malloc-context-size=0"]] {
            let ran = finish(&mut watched(flags, &program));
            let end = format!("{name}: end\n");
            assert!(ran.stdout.ends_with(&end), "{flags:?} {} {}", ran.stdout, ran.stderr);
            assert_eq!(ran.status, 0, "{flags:?} {}", ran.stderr);
            assert!(!ran.stderr.contains("==ERROR: mallocop"), "{}", ran.stderr);
        }
    }
}
