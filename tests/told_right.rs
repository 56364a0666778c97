//! Reports that said something wrong once: leaks that were none, leaks that were missed,
//! suppressions that hid everything, programs that were called clean although nobody had looked.

mod harness;

use std::process::Command;

use harness::leaks::{direct, keeps, leaks};
use harness::{MALLOCOP, Ran, compile, finish, scratch, watched};

fn run(victim: &str, flags: &[&str]) -> Ran {
    let program = compile(&format!("{victim}.c"), victim, &[]);
    finish(&mut watched(flags, program))
}

#[test]
fn a_signal_stack_that_only_the_kernel_knows_is_no_leak() {
    keeps(&run("alternate_stack", &[]), "end\n");
}

#[test]
fn a_block_that_only_a_vector_register_leads_to_is_no_leak() {
    keeps(&run("vector_register", &[]), "end\n");
}

/// The ended thread's descriptor holds what it returned; nobody can ask for it any more.
#[test]
fn what_a_joined_thread_returned_and_nobody_keeps_is_a_leak() {
    let ran = run("returned_block", &[]);
    let found: Vec<_> =
        leaks(&ran).into_iter().filter(|(_, bytes, _)| [111, 222].contains(bytes)).collect();
    assert_eq!(found, [direct(222, 1), direct(111, 1)], "{}", ran.stderr);
    assert_eq!(ran.status, 23);
}

/// A leak in main has a rule of its innermost frames, which hides that one alone. Those of a loop
/// that the compiler has unrolled are one.
#[test]
fn a_leak_in_main_offers_a_rule_that_hides_no_other() {
    let program = compile("unrolled_leak.c", "unrolled_leak", &["-O2"]);
    let ran = finish(&mut watched(&[], &program));
    assert_eq!(leaks(&ran), [direct(77, 1), direct(150, 5)], "{}", ran.stderr);
    assert!(!ran.stderr.contains("leak:main\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("suppress with: leak:lose\n"), "{}", ran.stderr);
    let (_, rule) = ran.stderr.split_once("suppress with:\n").expect("a block");
    let (rule, _) = rule.split_once("    }\n").expect("its end");
    let file = scratch().join("main.supp");
    std::fs::write(&file, format!("{rule}}}\n")).expect("a file");
    let ran = finish(&mut watched(&[&format!("--suppressions={}", file.display())], &program));
    assert_eq!(leaks(&ran), [direct(150, 5)], "{}", ran.stderr);
}

#[test]
fn a_program_with_a_malloc_of_its_own_is_not_called_clean() {
    let program = compile("own_malloc.c", "own_malloc", &[]);
    let unseen = "the program defines malloc itself: its blocks were not seen";
    let ran = finish(&mut watched(&[], &program));
    assert!(ran.stderr.contains(unseen), "{}", ran.stderr);
    assert!(!ran.stderr.contains("no leaks"), "{}", ran.stderr);
    // As a child, and without the command.
    let ran = finish(watched(&[], "sh").args(["-c", "\"$0\"; true"]).arg(&program));
    let child = "own_malloc defines malloc itself, so that its blocks were not seen";
    assert!(ran.stderr.contains(child), "{}", ran.stderr);
    let library = finish(Command::new(MALLOCOP).arg("library")).stdout;
    let ran = finish(Command::new(&program).env("LD_PRELOAD", library.trim_end()));
    assert!(ran.stderr.contains(unseen), "{}", ran.stderr);
}

#[test]
fn a_pointer_of_our_own_fill_is_explained() {
    let ran = run("free_fill", &[]);
    assert!(ran.stderr.contains("free(): invalid pointer: 0x5555555555555555"), "{}", ran.stderr);
    let freed =
        "hint: freed memory is filled with these bytes: the pointer was read from a freed block";
    assert!(ran.stderr.contains(freed), "{}", ran.stderr);
    let program = compile("free_fill.c", "free_fill", &[]);
    let ran = finish(watched(&[], program).arg("fresh"));
    assert!(ran.stderr.contains("free(): invalid pointer: 0xbebebebebebebebe"), "{}", ran.stderr);
    assert!(ran.stderr.contains("the pointer was read before it was written"), "{}", ran.stderr);
    assert_eq!(ran.status, 134);
}

/// Frees of an address that stands for a state of ours were never told, and each made all others
/// slow.
#[test]
fn what_a_handler_frees_is_told_whatever_it_is() {
    let program = compile("free_in_handler.c", "free_in_handler", &[]);
    let ran = finish(&mut watched(&["--halt-on-error=0", "--max-sites=1"], program));
    assert!(ran.stderr.contains("free(): invalid pointer: 0x1 "), "{}", ran.stderr);
    assert_eq!(ran.stdout, "fast\n");
}

/// A program at a fixed address that takes malloc's address has one of its own for it.
#[test]
fn a_program_that_takes_mallocs_address_is_watched() {
    let program = compile("leak_by_address.c", "leak_by_address", &["-fno-pie", "-no-pie"]);
    let ran = finish(&mut watched(&[], program));
    assert_eq!(leaks(&ran), [direct(300, 1)], "{}", ran.stderr);
    assert!(!ran.stderr.contains("defines malloc"), "{}", ran.stderr);
}
