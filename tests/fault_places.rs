//! Deadly signals in odd places: the status is the one without us, a death is told once, and what
//! the program survives is not told at all.

mod harness;

use std::process::Command;

use harness::{Ran, compile, finish, watched};

/// Runs a place with and without us: the same status. Returns the report.
fn same(place: &str) -> Ran {
    let program = compile("fault_places.c", "fault_places", &[]);
    let alone = finish(Command::new(&program).arg(place));
    let ran = finish(watched(&["--detect-leaks=0"], &program).arg(place));
    assert_eq!((ran.status, &ran.stdout), (alone.status, &alone.stdout), "{}", ran.stderr);
    ran
}

/// A death by SIGSEGV that is told once, with these functions on its stack.
fn is_told(place: &str, functions: &[&str]) {
    let ran = same(place);
    let line = "ERROR: mallocop: SIGSEGV: write to address 0x0, which is a null pointer (SEGV)\n";
    assert_eq!(ran.stderr.matches("==ERROR").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains(line), "{}", ran.stderr);
    let (_, stack) = ran.stderr.split_once(" here:\n").expect("a stack");
    for function in functions {
        assert!(stack.contains(&format!(" {function} ")), "{function}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("before its leak check"), "{}", ran.stderr);
}

macro_rules! told {
    ($($place:ident: $($function:literal),*;)*) => {
        $(#[test] fn $place() { is_told(stringify!($place), &[$($function),*]); })*
    };
}

told! {
    hundred_threads: "fault", "fault_with_others";
    handler: "fault", "in_handler", "handler", "main";
    alternate_stack: "fault", "in_handler", "alternate_stack", "main";
    own_handler: "fault", "own_handler", "main";
    reset_handler: "fault", "reset_handler", "main";
    coroutine: "fault";
    forked: "fault", "forked", "main";
    shared: "fault", "shared", "main";
    exit_handler: "fault", "at_end", "exit_handler", "main";
    small_stack: "fault", "fault_with_others";
    filter: "fault", "filter", "main";
}

#[test]
fn before_main() {
    let program = compile("fault_places.c", "fault_places", &[]);
    let ran = finish(watched(&["--detect-leaks=0"], &program).env("FAULT_BEFORE_MAIN", "1"));
    assert_eq!(ran.status, 139, "{}", ran.stderr);
    assert!(ran.stderr.contains("SIGSEGV: write to address 0x0"), "{}", ran.stderr);
    assert!(ran.stderr.contains(" before_main "), "{}", ran.stderr);
}

#[test]
fn what_the_program_handles_is_not_told() {
    for place in ["handled", "survived"] {
        let ran = same(place);
        assert!(!ran.has_report(), "{place}: {}", ran.stderr);
    }
}

/// No handler runs then; the command says what it has seen.
#[test]
fn a_signal_that_is_blocked_or_ignored() {
    for place in ["blocked", "ignored"] {
        let ran = same(place);
        assert!(!ran.has_report(), "{place}: {}", ran.stderr);
        assert!(ran.stderr.contains("killed by SIGSEGV before its leak check"), "{}", ran.stderr);
    }
}

/// Options by AddressSanitizer's names.
#[test]
fn what_is_explained_is_an_option() {
    let program = compile("fault_places.c", "fault_places", &[]);
    let run =
        |flag: &str, place: &str| finish(watched(&["--detect-leaks=0", flag], &program).arg(place));
    let ran = run("--handle-segv=0", "forked");
    assert!(ran.status == 11 && !ran.has_report(), "{}", ran.stderr);
    let ran = run("--use-sigaltstack=0", "own_handler");
    assert!(ran.status == 139 && ran.has_report(), "{}", ran.stderr);
    // The program's handlers only seem to be there.
    let ran = run("--allow-user-segv-handler=0", "handled");
    assert!(ran.status == 139 && ran.has_report(), "{}", ran.stderr);
}

/// Children of vfork set each signal; a thousand of them leave their parent's as they were.
#[test]
fn python_with_a_thousand_children_and_its_own_handler() {
    let script = "import os, signal, subprocess\n\
        for _ in range(1000): subprocess.run(['/bin/true'])\n\
        print('end', flush=True)\n\
        os.kill(os.getpid(), signal.SIGSEGV)\n";
    let arguments = ["-X", "faulthandler", "-c", script];
    let ran = finish(watched(&["--detect-leaks=0", "--quiet"], "python3").args(arguments));
    assert_eq!((ran.status, ran.stdout.as_str()), (139, "end\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Fatal Python error: Segmentation fault"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("==ERROR: mallocop: SIGSEGV: ").count(), 1, "{}", ran.stderr);
}

#[test]
fn a_fresh_block_followed_by_the_frame_pointer() {
    let program = compile("fault_places.c", "fault_places", &[]);
    let ran = finish(watched(&["--detect-leaks=0"], program).arg("frame_pointer"));
    assert_eq!(ran.status, 135);
    let words = ", which was read from a 64-byte block where nothing was written \
        (use-of-uninitialized-value)\n";
    assert!(ran.stderr.contains("SIGBUS: read of address 0x"), "{}", ran.stderr);
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    assert!(ran.stderr.contains("  the address comes from rbp\n"), "{}", ran.stderr);
}

#[test]
fn registers_that_hold_freed_blocks_are_named() {
    let ran = same("registers");
    let held = ran.stderr.lines().find(|line| line.contains(", which is a freed 64-byte block"));
    assert!(held.is_some_and(|line| line.contains("rbx")), "{}", ran.stderr);
    assert!(ran.stderr.contains("    freed at "), "{}", ran.stderr);
}

/// A look at memory that went away costs the look, and is told.
#[test]
fn a_hole_in_the_heap_costs_the_look() {
    let program = compile("fault_places.c", "fault_places", &[]);
    for flags in [&[][..], &["--detect-leaks=0"]] {
        let ran = finish(watched(flags, &program).arg("hole"));
        assert!(ran.status == 0 && !ran.has_report(), "{}", ran.stderr);
        let line = " at memory ended by a fault: what is there is not checked\n";
        assert!(ran.stderr.contains(line), "{}", ran.stderr);
    }
}

/// gdb's word on a core dump: the signal, the registers, the stack.
fn core_dump(program: &std::path::Path, preload: Option<&str>) -> Option<String> {
    let folder = harness::scratch().join("core");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let line = format!("ulimit -c unlimited; exec {} core", program.display());
    let mut command = Command::new("bash");
    command.args(["-c", &line]).current_dir(&folder).env_remove("MALLOCOP_OPTIONS");
    preload.map(|library| command.env("LD_PRELOAD", library));
    assert_eq!(finish(&mut command).status, 139);
    let core = std::fs::read_dir(&folder).expect("a folder").flatten().next()?.path();
    let wanted = ["p $_siginfo.si_signo", "p $_siginfo.si_code", "p $_siginfo._sifields._sigfault"];
    let mut gdb = Command::new("gdb");
    gdb.arg("-batch").arg(program).arg(&core);
    for what in wanted.into_iter().chain(["p/x $r12", "x/i $rip", "bt"]) {
        gdb.args(["-ex", what]);
    }
    let said = finish(&mut gdb).stdout;
    // From the first answer on; where the program lies is another each time.
    let (_, answers) = said.split_once("$1 = ")?;
    let is_place = |word: &&str| !word.starts_with("0x") || word.len() < 10;
    let words = answers.split_whitespace().filter(is_place);
    Some(words.filter(|word| !word.starts_with("arguments=")).collect::<Vec<_>>().join(" "))
}

/// A core dump has the signal and the registers that it has without us.
#[test]
fn core_dumps_are_the_programs() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if !pattern.starts_with("core") || !harness::is_ready("core dumps", &["gdb"]) {
        println!("skipped: core dumps go elsewhere: {pattern}");
        return;
    }
    let program = compile("fault_places.c", "fault_places", &[]);
    let library = finish(Command::new(harness::MALLOCOP).arg("library")).stdout;
    let (alone, ran) = (core_dump(&program, None), core_dump(&program, Some(library.trim_end())));
    assert!(alone.as_ref().is_some_and(|said| said.contains("0x1234")), "{alone:?}");
    assert_eq!(ran, alone);
}

/// The report for programs has it, too.
#[test]
fn the_report_for_programs() {
    let program = compile("fault_places.c", "fault_places", &[]);
    let json = harness::scratch().join("fault.json");
    let flag = format!("--json={}", json.display());
    let ran = finish(watched(&[&flag], &program).arg("handler"));
    assert_eq!(ran.status, 139, "{}", ran.stderr);
    let text = std::fs::read_to_string(&json).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let fault = &report["processes"][0]["fault"];
    assert_eq!(fault["id"], "SEGV");
    assert_eq!(fault["signal"], "SIGSEGV");
    assert_eq!(fault["access"], "write");
    assert_eq!(fault["address"], 0);
    let stack = fault["stack"].as_u64().expect("a stack") as usize;
    assert_eq!(report["stacks"][stack]["frames"][0]["function"], "fault");
}

/// Handlers that are there once, and threads, end after a filter as they would.
#[test]
fn after_a_filter_everything_ends_as_it_would() {
    for (place, status) in
        [("reset_term", 143), ("reset_abort", 134), ("reset_segv", 139), ("filtered_end", 0)]
    {
        assert_eq!(same(place).status, status, "{place}");
    }
}

#[test]
fn a_call_that_a_filter_refuses() {
    let ran = same("refused_call");
    assert_eq!(ran.status, 159);
    let line = "SIGSYS: a system call that the program's filter refuses (SYS)\n";
    assert!(ran.stderr.contains(line), "{}", ran.stderr);
    assert!(ran.stderr.contains(" refused_call "), "{}", ran.stderr);
}

/// The fault is in our own code, and the program's call is named.
#[test]
fn the_heap_is_gone() {
    let program = compile("fault_places.c", "fault_places", &[]);
    let ran = finish(watched(&["--detect-leaks=0"], &program).arg("in_malloc"));
    assert_eq!(ran.status, 139, "{}", ran.stderr);
    assert!(ran.stderr.contains(", in mallocop itself: its own words"), "{}", ran.stderr);
    assert!(ran.stderr.contains(" in_malloc "), "{}", ran.stderr);
}
