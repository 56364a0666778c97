//! Programs that do what is rare but allowed, or what goes well in practice: it goes well under
//! mallocop, too.

mod harness;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use harness::{MALLOCOP, Ran, compile, finish, scratch, watched};

/// Compiles a victim to a program of its name that finds the libraries beside it.
fn program(source: &str, flags: &[&str]) -> PathBuf {
    let name = source.split('.').next().expect("a name");
    compile(source, name, &[flags, &["-Wl,-rpath,$ORIGIN"]].concat())
}

/// Compiles `NAME.c` or `NAME.cpp` to `libNAME.so` and returns the flags that link with it.
fn library(source: &str) -> [String; 2] {
    let name = source.split('.').next().expect("a name");
    compile(source, &format!("lib{name}.so"), &["-shared", "-fPIC"]);
    [format!("-L{}", scratch().display()), format!("-l{name}")]
}

/// Runs a program with and without us: the same output and status, no report, and a summary.
fn same<P: AsRef<OsStr>>(program: P, arguments: &[&OsStr], status: i32) -> Ran {
    let alone = finish(Command::new(&program).args(arguments));
    assert_eq!(alone.status, status, "fails without us: {}{}", alone.stdout, alone.stderr);
    let ran = finish(watched(&[], &program).args(arguments));
    assert!(!ran.has_report(), "{}", ran.stderr);
    assert_eq!((ran.status, &ran.stdout), (status, &alone.stdout), "{}", ran.stderr);
    assert!(ran.allocations() > 0, "the checker was not there:\n{}", ran.stderr);
    ran
}

/// Runs a program that might fail without us: it comes to its end without a report.
fn well(program: &PathBuf, flags: &[&str], arguments: &[&str]) -> Ran {
    let ran = finish(watched(flags, program).args(arguments));
    assert!(!ran.has_report(), "{}", ran.stderr);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.ends_with(": end\n"), "{}", ran.stdout);
    assert!(ran.allocations() > 0, "the checker was not there:\n{}", ran.stderr);
    ran
}

/// Number of errors reported.
fn errors(ran: &Ran) -> usize {
    ran.stderr.matches("==ERROR").count()
}

#[test]
fn plugin_with_deepbind() {
    library("hazard_deepbind_plugin.c");
    same(program("hazard_deepbind.c", &[]), &[], 0);
}

#[test]
fn libcs_own_handle() {
    same(program("hazard_libc_handle.c", &[]), &[], 0);
}

/// Nothing is known of the summary: the interrupted call may hold what it takes.
#[test]
fn exit_from_a_handler_that_interrupted_malloc() {
    let program = program("hazard_exit_in_handler.c", &[]);
    for round in 0..60 {
        let after = (1000 + round * 379).to_string();
        let ran = finish(watched(&[], &program).arg(&after));
        assert_eq!(ran.status, 0, "after {after} us: {}", ran.stderr);
    }
}

#[test]
fn exit_from_a_small_stack() {
    let program = program("hazard_exit_small_stack.c", &[]);
    same(&program, &[], 3);
    same(&program, &[OsStr::new("signal")], 3);
}

#[test]
fn limits_set_by_the_program() {
    let ran = same(program("hazard_own_limit.c", &[]), &[], 0);
    assert!(ran.stdout.contains("failed 0\n"), "{}", ran.stdout);
}

#[test]
fn small_address_space() {
    let program = program("hazard_small_space.c", &[]);
    let script = OsStr::new("ulimit -v 120000; exec \"$0\"");
    let ran = same("bash", &[OsStr::new("-c"), script, program.as_os_str()], 0);
    assert!(ran.stdout.ends_with("hazard_small_space: end\n"), "{}", ran.stdout);
}

#[test]
fn mlockall_locks_no_reservation() {
    let ran = same(program("hazard_mlockall.c", &[]), &[], 0);
    assert!(ran.stdout.contains("small 1\n"), "{}", ran.stdout);
}

/// The constructor of a library that the program is linked with runs before ours.
#[test]
fn error_in_a_librarys_constructor() {
    let [folder, link] = library("hazard_constructor_lib.c");
    let ran = finish(&mut watched(&[], program("hazard_constructor.c", &[&folder, &link])));
    assert_eq!(ran.status, 134, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("free(): double free detected"), "{}", ran.stderr);
    assert_eq!(errors(&ran), 1, "{}", ran.stderr);
}

#[test]
fn operators_replaced_before_our_constructor() {
    let [folder, link] = library("hazard_early_new_lib.cpp");
    let ran = same(program("hazard_early_new.cpp", &[&folder, &link]), &[], 0);
    assert!(ran.stdout.contains("in the pool 1\n"), "{}", ran.stdout);
}

/// What cannot be met is warned of, and no more.
#[test]
fn bad_alloc_with_a_runtime_of_local_scope() {
    library("hazard_local_runtime_plugin.cpp");
    let ran = finish(&mut watched(&[], program("hazard_local_runtime.c", &[])));
    assert_eq!((ran.status, errors(&ran)), (0, 0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("caught 1\nhazard_local_runtime: null 1\n"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("hazard_local_runtime: end\n"), "{}", ran.stdout);
}

#[test]
fn warnings_are_no_cancellation_point() {
    let program = program("hazard_cancel.c", &[]);
    let alone = finish(&mut Command::new(&program));
    let ran = finish(&mut watched(&[], &program));
    assert!(alone.stdout.contains("reached 1 cancelled 1\n"), "{}", alone.stdout);
    assert_eq!((ran.status, &ran.stdout), (0, &alone.stdout), "{}", ran.stderr);
    assert!(ran.stderr.contains("==WARNING: mallocop"), "{}", ran.stderr);
    assert_eq!(errors(&ran), 0, "{}", ran.stderr);
}

#[test]
fn bad_free_keeps_errno() {
    let ran = finish(&mut watched(&["--halt-on-error=0"], program("hazard_errno.c", &[])));
    assert_eq!((ran.status, errors(&ran)), (23, 1), "{}", ran.stderr);
    assert!(ran.stdout.contains("errno 77\nhazard_errno: end\n"), "{}", ran.stdout);
}

#[test]
fn realloc_of_mapped_blocks_races() {
    let flags = ["--mmap-threshold=131072", "--malloc-context-size=0", "--realloc-moves=small"];
    let ran = well(&program("hazard_mapped_realloc.c", &[]), &flags, &["4"]);
    assert!(ran.stdout.contains("broken 0\n"), "{}", ran.stdout);
}

#[test]
fn aligned_blocks_in_a_handler() {
    let ran = well(&program("hazard_aligned_storm.c", &[]), &[], &[]);
    assert!(ran.stdout.contains("hazard_aligned_storm: ok\n"), "{}", ran.stdout);
}

#[test]
fn many_deferred_frees_on_a_small_stack() {
    let ran = well(&program("hazard_deferred_frees.c", &[]), &[], &[]);
    assert!(ran.stdout.contains("hazard_deferred_frees: ok\n"), "{}", ran.stdout);
}

#[test]
fn inherited_damage_is_the_parents() {
    let ran = finish(&mut watched(&[], program("hazard_inherited.c", &[])));
    assert_eq!((ran.status, errors(&ran)), (23, 1), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout.matches("child 0\n").count(), 3, "{}", ran.stdout);
}

/// Nobody reads what we print, and the program is none the wiser.
#[test]
fn reports_on_a_closed_pipe() {
    let ran = finish(Command::new(MALLOCOP).arg("library"));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let library = ran.stdout.trim_end();
    let program = program("hazard_small_space.c", &[]);
    // The nap gives the reader the time to go.
    let script = "{ sleep 0.3; LD_PRELOAD=$1 $0; } 2>&1 >/dev/null | true; echo ${PIPESTATUS[0]}";
    let ran = finish(Command::new("bash").args(["-c", script]).arg(program).arg(library));
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "0\n"), "{}", ran.stderr);
}

#[test]
fn mismatch_is_reported_once() {
    let program = program("hazard_realloc_of_new.cpp", &[]);
    let ran = finish(&mut watched(&["--halt-on-error=0"], program));
    assert_eq!((ran.status, errors(&ran)), (23, 1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.ends_with("hazard_realloc_of_new: end\n"), "{}", ran.stdout);
}

#[test]
fn full_shared_memory() {
    let allowed = Command::new("unshare").args(["-m", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        println!("skipped: no mount namespace of our own");
        return;
    }
    let program = program("hazard_small_space.c", &[]);
    let alone = finish(&mut Command::new(&program));
    let script = "mount -t tmpfs -o size=4k none /dev/shm && exec \"$0\" run -- \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "bash", "-c", script, MALLOCOP]).arg(&program);
    let ran = finish(command.env_remove("MALLOCOP_OPTIONS"));
    assert!(!ran.has_report(), "{}", ran.stderr);
    assert_eq!((ran.status, &ran.stdout), (0, &alone.stdout), "{}", ran.stderr);
}

#[test]
fn fork_in_a_handler() {
    let ran = well(&program("hazard_fork_in_handler.c", &[]), &[], &[]);
    assert!(ran.stdout.contains("hazard_fork_in_handler: ok\n"), "{}", ran.stdout);
}

#[test]
fn a_break_that_cannot_grow() {
    let program = program("hazard_break_taken.c", &["-O1"]);
    same(&program, &[], 0);
    well(&program, &["--checks=none"], &[]);
}
