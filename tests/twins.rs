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

/// Builds `NAME_lib.cpp` as a shared library in the scratch folder and `NAME.cpp` against it.
fn compile_with_library(name: &str, library_flags: &[&str], flags: &[&str]) -> std::path::PathBuf {
    let library = scratch().join(format!("lib{name}_lib.so"));
    let built = Command::new("g++")
        .current_dir(victims())
        .args(["-g", "-O0", "-std=c++17", "-shared", "-fPIC"])
        .arg(format!("{name}_lib.cpp"))
        .args(library_flags)
        .arg("-o")
        .arg(&library)
        .status()
        .expect("a C++ compiler");
    assert!(built.success());
    let path = format!("-L{}", scratch().display());
    let link = format!("-l{name}_lib");
    let with_library = [flags, &[&path, &link, "-Wl,-rpath,$ORIGIN"]].concat();
    compile(&format!("{name}.cpp"), name, &with_library)
}

#[test]
fn static_runtime_beside_a_shared_library() {
    let flags = ["-static-libstdc++", "-static-libgcc"];
    check(&compile_with_library("twin_static_libstdcxx", &[], &flags), &[]);
}

/// Found on rust-lld: LLVM's library hides an operator new of its own, whose blocks look as if they
/// came from malloc.
#[test]
fn library_with_a_hidden_runtime() {
    let flags = ["-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL"];
    check(&compile_with_library("twin_hidden_runtime", &flags, &[]), &[]);
}

#[test]
fn calls_before_main_and_after_exit_handlers() {
    check(&compile("early_calls.c", "early_calls", &[]), &[]);
}

/// The heap goes on in mappings when somebody else moves the break.
#[test]
fn break_moved_by_the_program() {
    let program = compile("foreign_sbrk.c", "foreign_sbrk", &[]);
    check(&program, &[]);
    check(&program, &["--checks=none"]);
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
    for flags in [&[][..], &["--checks=none"], &["--realloc-moves=all"], &["--realloc-moves=none"]]
    {
        let ran = finish(&mut watched(flags, &program));
        assert_eq!(ran.status, 0, "{flags:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.ends_with("api_contract: end\n"), "{}", ran.stdout);
        assert!(!ran.stderr.contains("==ERROR"), "{}", ran.stderr);
    }
}
