//! `cargo mallocop` on a package of its own: its binaries are watched, its build script is not.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::{Ran, finish, scratch};

/// A package whose build script loses a block, whose program is sound, and one of whose tests loses
/// a block.
fn package() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(make_package)
}

fn make_package() -> PathBuf {
    let folder = scratch().join("package");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write("Cargo.toml", "[package]\nname = \"sample\"\nedition = \"2024\"\n\n[workspace]\n");
    let lose = "std::hint::black_box(Box::into_raw(Box::new([7u8; 1234])) as usize ^ usize::MAX);";
    write("build.rs", &format!("fn main() {{ {lose} }}\n"));
    write("src/main.rs", "fn main() { println!(\"{}\", vec![1; 100].len()); }\n");
    write("tests/sound.rs", "#[test]\nfn sound() { assert_eq!(String::from(\"a\").len(), 1); }\n");
    write("tests/loses.rs", &format!("#[test]\nfn loses_a_block() {{ {lose} }}\n"));
    folder
}

fn cargo_mallocop(words: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-mallocop"));
    command.arg("mallocop").args(words).current_dir(package());
    command.env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1").env("CARGO_NET_OFFLINE", "true");
    // What the test's own cargo has set is not the package's.
    for variable in
        ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"]
    {
        command.env_remove(variable);
    }
    finish(&mut command)
}

#[test]
fn tests_and_programs_are_watched() {
    let test = cargo_mallocop(&["test", "--no-fail-fast"]);
    assert_eq!(
        test.stderr.matches("Direct leak of 1234 byte(s) in 1 object(s)").count(),
        1,
        "{}",
        test.stderr
    );
    assert!(test.stderr.contains("loses::loses_a_block"), "{}", test.stderr);
    assert!(!test.stderr.contains("watching build-script"), "{}", test.stderr);
    // The program's own tests, and the two in files.
    assert_eq!(test.stderr.matches("mallocop 0.1.0: watching ").count(), 3, "{}", test.stderr);
    assert_eq!(test.status, 101, "{}", test.stderr);
    let run = cargo_mallocop(&["--quiet", "run"]);
    assert_eq!((run.stdout.as_str(), run.status), ("100\n", 0), "{}", run.stderr);
    assert!(run.stderr.lines().all(|line| !line.starts_with("mallocop")), "{}", run.stderr);
}

/// cargo, rustc and a build script under mallocop print what they print.
#[test]
fn a_build_prints_what_it_prints() {
    let folder = scratch().join("build");
    fs::create_dir_all(folder.join("src")).expect("a folder");
    let manifest = "[package]\nname = \"plain\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(folder.join("src/main.rs"), "fn main() { let unused = 1; }\n").expect("a source");
    let build = |mut command: Command, name: &str| {
        let line = "rm -rf target; cargo build -q --offline > $0.out 2> $0.err";
        let ran = finish(
            command.args(["-c", line, name]).current_dir(&folder).env_remove("CARGO_TARGET_DIR"),
        );
        assert!(ran.status == 0 || ran.status == 23, "{}", ran.stderr);
        let read =
            |kind: &str| fs::read_to_string(folder.join(format!("{name}.{kind}"))).expect("output");
        (read("out"), read("err"))
    };
    let alone = build(Command::new("bash"), "alone");
    assert!(alone.1.contains("unused variable: `unused`"), "{}", alone.1);
    assert_eq!(build(harness::watched(&[], "bash"), "watched"), alone);
}

#[test]
fn what_runs_no_program_is_refused() {
    let build = cargo_mallocop(&["build"]);
    assert_eq!(build.status, 2);
    assert!(build.stderr.contains("`build` runs no program"), "{}", build.stderr);
    let help = cargo_mallocop(&["--help"]);
    assert!(help.status == 0 && help.stdout.contains("Usage: cargo mallocop"), "{}", help.stdout);
}
