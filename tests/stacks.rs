//! Stacks are full: without frame pointers, through inlined calls, on small stacks; and where there
//! is no unwind information they say so.

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{LISTS, Ran, compile, finish, scratch, skeleton, victims, watched};

const OPTIMISED: &[&str] = &["-O2", "-fomit-frame-pointer"];

fn rust(source: &str) -> PathBuf {
    let program = scratch().join(source.replace('.', "_"));
    let built = Command::new("rustc")
        .args(["--edition", "2024", "-O", "-g", "-C", "force-frame-pointers=no", "-o"])
        .args([program.as_os_str(), victims().join(source).as_os_str()])
        .status();
    assert!(built.expect("rustc").success());
    program
}

/// The planted double free: its three stacks are these functions, innermost first. The twin is
/// silent.
fn shows(program: &Path, made: &[String], dropped: &[String]) {
    let ran = finish(&mut watched(&[], program));
    assert_eq!(ran.status, 134, "{}", ran.stderr);
    let report = skeleton(&ran.stderr);
    let stack = |names: &[String]| format!("here: {} main", names.join(" "));
    assert_eq!(report.matches(&stack(dropped)).count(), 2, "{report}");
    assert_eq!(report.matches(&stack(made)).count(), 1, "{report}");
    let twin = finish(watched(&[], program).arg("correct"));
    assert!(!twin.has_report() && twin.status == 0, "{}", twin.stderr);
}

fn numbered(name: &str, from: u32, to: u32) -> Vec<String> {
    (to..=from).rev().map(|number| format!("{name}{number}")).collect()
}

#[test]
fn twelve_calls_without_frame_pointers() {
    let program = compile("stack_nested.c", "stack_nested_c", OPTIMISED);
    shows(&program, &numbered("make_", 12, 1), &numbered("drop_", 12, 1));
}

#[test]
fn twelve_calls_of_a_cpp_program_with_inlined_ones() {
    let program = compile("stack_nested.cpp", "stack_nested_cpp", OPTIMISED);
    let names = |verb: &str| -> Vec<String> {
        let step = |n: u32| format!("Step<{n}>::{verb}");
        let pairs = (1..=6).flat_map(|n| [format!("{verb}_inlined<{n}>"), step(n)]);
        [step(0)].into_iter().chain(pairs).collect()
    };
    shows(&program, &names("make"), &names("drop"));
}

#[test]
fn twelve_calls_of_a_rust_program_with_inlined_ones() {
    let ran = finish(&mut watched(&[], rust("stack_nested.rs")));
    assert_eq!(ran.status, 134, "{}", ran.stderr);
    let report = skeleton(&ran.stderr);
    for (verb, count) in [("make", 1), ("drop", 2)] {
        let names = numbered(&format!("stack_nested::{verb}_"), 12, 0).join(" ");
        assert_eq!(
            report.matches(&format!("{names} stack_nested::main")).count(),
            count,
            "{report}"
        );
    }
    let twin = finish(watched(&[], rust("stack_nested.rs")).arg("correct"));
    assert!(!twin.has_report() && twin.status == 0, "{}", twin.stderr);
}

/// The stack under the heading of the site with so many bytes and blocks.
fn stack_of(ran: &Ran, bytes: u32, blocks: u32) -> Vec<&str> {
    let heading = format!("in use at exit: {bytes} bytes in {blocks} blocks allocated from:");
    let lines = ran.stderr.lines().skip_while(|line| !line.ends_with(&heading)).skip(1);
    let stack: Vec<_> = lines.take_while(|line| line.starts_with("    ")).collect();
    assert!(!stack.is_empty(), "no site of {bytes} bytes:\n{}", ran.stderr);
    stack
}

#[test]
fn code_without_unwind_information_is_guessed_or_the_end() {
    let program = compile("stack_no_rules.c", "stack_no_rules", OPTIMISED);
    let ran = finish(&mut watched(LISTS, program));
    assert!(!ran.has_report() && ran.status == 0, "{}", ran.stderr);
    assert!(ran.stdout.ends_with("stack_no_rules: end\n"), "{}", ran.stdout);
    let framed = stack_of(&ran, 3 * 1001, 3);
    assert!(framed[0].contains("#0 ") && framed[1].contains("#1 leak_framed"), "{framed:?}");
    assert!(framed[1].ends_with("(guessed by the frame pointer)"), "{framed:?}");
    assert!(framed[3].contains("#2 main") && framed.len() == 5, "{framed:?}");
    // Of the others no more is known than that they were there.
    let others = 1003 + 1004 + 1005 + 1006;
    for stack in [stack_of(&ran, 3 * 1002, 3), stack_of(&ran, 3 * others, 12)] {
        assert_eq!(stack[1], "    truncated (no unwind info in stack_no_rules)");
        assert!(stack.len() == 3 && stack[2].starts_with("    this site: "), "{stack:?}");
    }
}

/// Found by the project's own tests under the library: the rule for the frame that switches leads
/// past the end of the stack, behind which nothing can be read.
#[test]
fn stacks_that_are_switched_without_a_word_end_there() {
    let program = compile("stack_switched.c", "stack_switched", OPTIMISED);
    let plain = finish(&mut watched(&["--quiet"], &program));
    assert_eq!((plain.status, plain.stdout.as_str(), plain.stderr.as_str()), (0, "1000\n", ""));
    let ran = finish(&mut watched(LISTS, &program));
    let heading = "in use at exit: 1001 bytes in 1 block allocated from:";
    let stack: Vec<_> = ran.stderr.lines().skip_while(|line| !line.ends_with(heading)).collect();
    assert!(stack[1].contains("#0 work ") && stack[3].contains("#1 switch_to "), "{stack:?}");
    assert_eq!(stack[4], "    truncated (no unwind info in stack_switched)");
    // Where the instructions tell, the stack goes on behind them.
    let ran = finish(watched(LISTS, &program).arg("told"));
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "1000\n"), "{}", ran.stderr);
    let stack: Vec<_> = ran.stderr.lines().skip_while(|line| !line.ends_with(heading)).collect();
    assert!(stack[3].contains("#1 switch_told "), "{stack:?}");
    assert!(stack[4].contains("#2 main "), "{stack:?}");
}

#[test]
fn rules_that_lead_past_the_end_of_a_stack_end_nobody() {
    let program = compile("stack_wrong_rules.c", "stack_wrong_rules", OPTIMISED);
    for flags in [&["--quiet"][..], &["--quiet", "--malloc-context-size=1"]] {
        let ran = finish(&mut watched(flags, &program));
        assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (0, "end\n", ""));
    }
}

#[test]
fn a_filter_that_refuses_what_walks_ask_cuts_no_stack() {
    let program = compile("stack_filtered.c", "stack_filtered", &["-O1", "-pthread"]);
    let ran = finish(&mut watched(&[LISTS[0], LISTS[1], "--full-stacks"], &program));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let heading = "in use at exit: 1001 bytes in 1 block allocated from:";
    let stack: Vec<_> = ran.stderr.lines().skip_while(|line| !line.ends_with(heading)).collect();
    let depth = stack.iter().filter(|line| line.contains(" deeper ")).count();
    assert_eq!(depth, 31, "{}", ran.stderr);
    assert!(ran.stderr.contains(" work "), "{}", ran.stderr);
}

/// What is cut is said; what is walked is not cut: the report's other stack has its outermost
/// frame.
#[test]
fn as_many_frames_as_were_asked_for() {
    let program = compile("stack_nested.c", "stack_nested_c", OPTIMISED);
    let ran = finish(&mut watched(&["--malloc-context-size=3"], program));
    assert_eq!(ran.status, 134, "{}", ran.stderr);
    let report = skeleton(&ran.stderr);
    assert!(report.contains("here: make_12 make_11 make_10\n"), "{report}");
    assert!(report.contains("here: drop_12 drop_11 drop_10\n"), "{report}");
    let cut = "    (more frames are not stored: malloc_context_size)";
    assert_eq!(ran.stderr.lines().filter(|&line| line == cut).count(), 2, "{}", ran.stderr);
    // The call at fault is the finding's own, whole.
    assert!(report.contains("drop_2 drop_1 main"), "{report}");
}

#[test]
fn stacks_of_four_kib() {
    let program = compile("stack_small.c", "stack_small", OPTIMISED);
    let ran = finish(&mut watched(&[], program));
    assert!(!ran.has_report() && ran.status == 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout, "50 rounds on 4 KiB\nstack_small: end\n");
}

/// Each site says what it has allocated in all, and the most that was live at once.
#[test]
fn counts_of_sites() {
    let program = compile("stack_totals.c", "stack_totals", &["-O1"]);
    // Guarded blocks move when they are resized: both are live meanwhile.
    let ran = finish(&mut watched(&[LISTS, &["--guard=off"]].concat(), program));
    assert!(!ran.has_report() && ran.status == 0, "{}{}", ran.stdout, ran.stderr);
    let counts = |heading: &str| {
        let heading = format!("in use at exit: {heading} allocated from:");
        let lines = ran.stderr.lines().skip_while(|line| !line.ends_with(&heading));
        let found = lines.into_iter().find(|line| line.starts_with("    this site: "));
        found.unwrap_or_else(|| panic!("no {heading}:\n{}", ran.stderr)).trim()
    };
    assert_eq!(
        counts("100 bytes in 1 block"),
        "this site: 1000 blocks, 97.7 KiB in total; peak 1000 bytes"
    );
    // Freed by the first thread: its portions come back to whoever allocates next.
    let handed = counts("50 bytes in 1 block");
    assert!(handed.starts_with("this site: 50000 blocks, 2.4 MiB in total; peak "), "{handed}");
    let most: f64 = handed.split(' ').nth(9).and_then(|most| most.parse().ok()).expect("a number");
    assert!(handed.ends_with(" KiB") && (48.0..82.0).contains(&most), "{handed}");
    assert_eq!(
        counts("700000 bytes in 1 block"),
        "this site: 5 blocks, 2.4 MiB in total; peak 683.6 KiB"
    );
}
