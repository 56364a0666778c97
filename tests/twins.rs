//! Correct programs that other checkers report falsely: silence, and the same output and status as
//! without us.

mod harness;

use std::process::Command;

use harness::{compile, finish, scratch, victims, watched};

/// Runs a program with and without us.
fn check(program: &std::path::Path, flags: &[&str]) {
    let alone = finish(&mut Command::new(program));
    assert_eq!(alone.status, 0, "{} fails without us: {}", program.display(), alone.stdout);
    for context in ["--malloc-context-size=256", "--malloc-context-size=0"] {
        let ran = finish(&mut watched(&[flags, &[context]].concat(), program));
        assert!(!ran.has_report(), "{} is reported:\n{}", program.display(), ran.stderr);
        assert_eq!((ran.status, &ran.stdout), (0, &alone.stdout), "{}", ran.stderr);
        assert!(ran.allocations() > 0, "the checker was not there:\n{}", ran.stderr);
    }
}

#[test]
fn operators_replaced_by_a_pool() {
    check(&compile("twin_operator_pool.cpp", "twin_operator_pool", &[]), &[]);
}

#[test]
fn new_handler() {
    check(&compile("twin_new_handler.cpp", "twin_new_handler", &[]), &[]);
}

#[test]
fn nothrow_new() {
    check(&compile("twin_nothrow_new.cpp", "twin_nothrow_new", &[]), &[]);
}

#[test]
fn static_runtime_beside_a_shared_library() {
    let library = scratch().join("libtwin_static_libstdcxx_lib.so");
    let built = Command::new("g++")
        .current_dir(victims())
        .args(["-g", "-O0", "-std=c++17", "-shared", "-fPIC", "twin_static_libstdcxx_lib.cpp", "-o"])
        .arg(&library)
        .status()
        .expect("a C++ compiler");
    assert!(built.success());
    let path = format!("-L{}", scratch().display());
    let flags = [
        "-static-libstdc++",
        "-static-libgcc",
        &path,
        "-ltwin_static_libstdcxx_lib",
        "-Wl,-rpath,$ORIGIN",
    ];
    check(&compile("twin_static_libstdcxx.cpp", "twin_static_libstdcxx", &flags), &[]);
}

#[test]
fn calls_before_main_and_after_exit_handlers() {
    check(&compile("early_calls.c", "early_calls", &[]), &[]);
}

#[test]
fn small_stacks() {
    check(&compile("small_stack.c", "small_stack", &[]), &[]);
}

#[test]
fn deep_recursion() {
    check(&compile("deep_recursion.c", "deep_recursion", &[]), &[]);
}

/// The API as malloc(3) and posix_memalign(3) say it; its bad arguments are warned of, no more.
#[test]
fn api_contract() {
    let program = compile("api_contract.c", "api_contract", &[]);
    for flags in [&[][..], &["--checks=none"], &["--realloc-moves=all"], &["--realloc-moves=none"]] {
        let ran = finish(&mut watched(flags, &program));
        assert_eq!(ran.status, 0, "{flags:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.ends_with("api_contract: end\n"), "{}", ran.stdout);
        assert!(!ran.stderr.contains("==ERROR"), "{}", ran.stderr);
    }
}
