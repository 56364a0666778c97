//! One tiny program per defect: exact text, functions of its stacks, exit status, its own output
//! complete. Its corrected twin stays silent and prints the same as without us.
//!
//! What is expected stands beside each program as NAME.expected: the exit status, what it prints,
//! and the report's [`skeleton`](harness::skeleton). `BLESS=1` writes the files anew; read them
//! before committing.

mod harness;

use std::fs;
use std::process::Command;

use harness::{LISTS, compile, finish, victim, victims, watched};

/// What the checks find without guard pages, later than at the access.
const LATE: &str = "--guard=off";

macro_rules! victims {
    ($($name:ident: $source:literal $(, $flag:literal)*;)*) => {
        $(#[test] fn $name() { victim::check($source, &[LATE, "--detect-leaks=0", $($flag),*]); })*
    };
}

victims! {
    overflow_by_one: "overflow_by_one.c";
    overflow_16: "overflow_16.c";
    overflow_64: "overflow_64.c";
    overflow_4096: "overflow_4096.c";
    overflow_1mib: "overflow_1mib.c";
    overflow_never_freed: "overflow_never_freed.c";
    overflow_realloc: "overflow_realloc.c";
    underflow_1: "underflow_1.c";
    underflow_16: "underflow_16.c";
    underflow_64: "underflow_64.c";
    underflow_4096: "underflow_4096.c";
    underflow_1mib: "underflow_1mib.c";
    write_after_free: "write_after_free.c";
    write_after_free_check: "write_after_free_check.c", "--halt-on-error=0";
    write_after_free_evicted: "write_after_free_evicted.c";
    double_free: "double_free.c";
    double_free_late: "double_free_late.c";
    free_interior: "free_interior.c";
    free_interior_odd: "free_interior_odd.c";
    free_before: "free_before.c";
    free_after: "free_after.c";
    free_stack: "free_stack.c";
    free_other_stack: "free_other_stack.c";
    free_global: "free_global.c";
    free_code: "free_code.c";
    free_mapped: "free_mapped.c";
    free_file_mapping: "free_file_mapping.c";
    free_unmapped: "free_unmapped.c";
    free_misaligned_wild: "free_misaligned_wild.c";
    free_noncanonical: "free_noncanonical.c";
    free_text: "free_text.c";
    realloc_interior: "realloc_interior.c";
    realloc_stack: "realloc_stack.c";
    realloc_freed: "realloc_freed.c";
    usable_size_wild: "usable_size_wild.c";
    mismatch_new_free: "mismatch_new_free.cpp";
    mismatch_malloc_delete: "mismatch_malloc_delete.cpp";
    mismatch_new_array_delete: "mismatch_new_array_delete.cpp";
    mismatch_new_delete_array: "mismatch_new_delete_array.cpp";
    mismatch_memalign_delete: "mismatch_memalign_delete.cpp";
    mismatch_aligned_new_free: "mismatch_aligned_new_free.cpp";
    sized_delete_wrong: "sized_delete_wrong.cpp";
    aligned_delete_wrong: "aligned_delete_wrong.cpp";
    aligned_new_plain_delete: "aligned_new_plain_delete.cpp";
    free_sized_wrong: "free_sized_wrong.c";
    calloc_overflow: "calloc_overflow.c";
    malloc_absurd: "malloc_absurd.c";
    bad_alignment: "bad_alignment.c";
}

/// Writes through stale pointers into memory that has been given out anew: what is met first
/// depends on where the new blocks lie, but it is met, named, and the program comes to its end.
#[test]
fn stale_write_reused() {
    let program = compile("stale_write_reused.c", "stale_write_reused", &[]);
    let ran = finish(&mut watched(&["--halt-on-error=0"], program));
    assert_eq!(ran.status, 23, "{}", ran.stderr);
    assert!(ran.stdout.ends_with("stale_write_reused: end\n"));
    assert!(ran.stderr.contains("ERROR: mallocop: heap-"), "{}", ran.stderr);
    victim::check_twin("stale_write_reused.c", &[]);
}

/// free() of any 64-bit value ends in a report, never in a fault.
#[test]
fn free_of_any_value_is_survived() {
    let program = compile("free_anything.c", "free_anything", &[]);
    for flags in [&["--halt-on-error=0"][..], &["--halt-on-error=0", "--checks=none"]] {
        let ran = finish(&mut watched(flags, &program));
        assert_eq!(ran.status, 23, "{}", ran.stderr.get(..4000).unwrap_or(&ran.stderr));
        assert!(ran.stdout.ends_with("free_anything: end\n"), "{}", ran.stdout);
        assert!(ran.stderr.matches("free(): invalid pointer").count() > 400);
    }
}

/// The functions of the stack under a heading.
fn stack_under(report: &str, heading: &str) -> Vec<String> {
    report
        .lines()
        .skip_while(|line| !line.contains(heading))
        .skip(1)
        .take_while(|line| line.starts_with("    "))
        .filter_map(|line| line.trim_start().strip_prefix('#')?.split_once(' '))
        .map(|(_, frame)| frame.to_owned())
        .collect()
}

/// Names as people write them, inlined calls among them.
#[test]
fn cpp_names_are_demangled() {
    let ran = finish(&mut watched(LISTS, compile("names.cpp", "names", &["-O1"])));
    let stack = stack_under(&ran.stderr, "in use at exit: 3108 bytes in 1 block allocated from:");
    let starts = ["shop::Cart<int>::make_block(unsigned int) ", "fill() ", "main "];
    assert_eq!(stack.len(), starts.len(), "{stack:?}");
    for (frame, start) in stack.iter().zip(starts) {
        assert!(
            frame.starts_with(start) || frame.starts_with(start.trim_end_matches("() ")),
            "{frame}"
        );
        assert!(frame.contains("names.cpp:"), "{frame}");
    }
}

#[test]
fn rust_names_are_demangled() {
    // The compiler's default, and the other one.
    for (mangling, flags) in [("default", &[][..]), ("v0", &["-C", "symbol-mangling-version=v0"])] {
        let program = harness::scratch().join(format!("rust_leak.{mangling}"));
        let built = Command::new("rustc")
            .args(["-g", "-O"])
            .args(flags)
            .arg("-o")
            .args([program.as_os_str(), victims().join("rust_leak.rs").as_os_str()])
            .status();
        assert!(built.expect("rustc").success());
        let ran = finish(&mut watched(LISTS, &program));
        let stack =
            stack_under(&ran.stderr, "in use at exit: 12345 bytes in 1 block allocated from:");
        let own: Vec<_> = stack.iter().filter(|frame| frame.contains("rust_leak.rs:")).collect();
        let names = ["rust_leak::make_inlined", "rust_leak::make_generic", "rust_leak::main"];
        assert_eq!(own.len(), names.len(), "{mangling}: {stack:?}");
        for (frame, name) in own.iter().zip(names) {
            // No hash behind the name.
            assert!(
                frame.starts_with(&format!("{name} ")) || frame.starts_with(&format!("{name}::<")),
                "{frame}"
            );
        }
    }
}

/// Every defect again without stopping at the first error and with the checks off: whatever is
/// found, nothing of ours crashes or hangs.
#[test]
fn damage_never_brings_us_down() {
    let sources = fs::read_dir(victims()).expect("the victims");
    let mut ran = 0;
    for source in sources.flatten() {
        let source = source.file_name().into_string().expect("a plain name");
        if victims().join(&source).is_dir() {
            continue;
        }
        let text = fs::read_to_string(victims().join(&source)).expect("readable");
        if source.ends_with(".expected") || source.ends_with(".h") || !text.contains("break_it") {
            continue;
        }
        let program = compile(&source, &format!("{source}.going-on"), &[]);
        for flags in [&["--halt-on-error=0"][..], &["--halt-on-error=0", "--malloc-context-size=0"]]
        {
            let outcome = finish(&mut watched(flags, &program));
            assert!(
                matches!(outcome.status, 0 | 23),
                "{source} {flags:?}: status {}\n{}",
                outcome.status,
                outcome.stderr
            );
            assert!(outcome.has_report(), "{source}: {}", outcome.stderr);
            assert!(outcome.stdout.ends_with(": end\n"), "{source} did not come to its end");
        }
        let bare = finish(&mut watched(&["--checks=none"], &program));
        assert!(matches!(bare.status, 0 | 134), "{source}: {}\n{}", bare.status, bare.stderr);
        assert!(bare.status == 0 || bare.has_report(), "{source} died silently: {}", bare.stderr);
        ran += 1;
    }
    assert!(ran >= 48, "only {ran} victims were run");
}
