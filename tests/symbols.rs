//! Names and lines, wherever the debug information is.

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Ran, compile, finish, is_ready, scratch, victims, watched};

/// A folder with the program alone in it.
fn program(name: &str, flags: &[&str]) -> PathBuf {
    let folder = scratch().join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let all = [&["-O2", "-fno-builtin"], flags].concat();
    compile("symbols.c", &format!("{name}/symbols"), &all)
}

fn tool(name: &str, folder: &Path, arguments: &[&str]) {
    let status = Command::new(name).current_dir(folder).args(arguments).status().expect("a tool");
    assert!(status.success(), "{name} {arguments:?}");
}

/// Does the leak's stack have the inlined function, the one around it, and main, with their lines?
fn has_all_lines(ran: &Ran) {
    let frames: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("    #")).collect();
    let wanted = [
        ("#0 inlined ", "symbols.c:6:"),
        ("#1 outer ", "symbols.c:11:"),
        ("#2 main ", "symbols.c:16:"),
    ];
    assert_eq!(frames.len(), wanted.len(), "{}", ran.stderr);
    for (frame, (name, line)) in frames.iter().zip(wanted) {
        assert!(frame.contains(name) && frame.contains(line), "{name}: {}", ran.stderr);
    }
    assert_eq!(ran.status, 23);
}

fn watch(program: &Path) -> Ran {
    finish(&mut watched(&[], program))
}

#[test]
fn lines_in_the_file_itself() {
    for (name, flags) in [
        ("plain", &["-gdwarf-5"][..]),
        ("old", &["-gdwarf-4"]),
        ("compressed", &["-gz=zlib"]),
        ("fixed-place", &["-no-pie"]),
    ] {
        has_all_lines(&watch(&program(name, flags)));
    }
}

#[test]
fn lines_in_split_files() {
    has_all_lines(&watch(&program("split", &["-gsplit-dwarf"])));
}

#[test]
fn lines_in_a_file_that_a_link_names() {
    let path = program("linked", &["-Wl,--build-id=none"]);
    let folder = path.parent().expect("a folder");
    tool("objcopy", folder, &["--only-keep-debug", "symbols", "symbols.debug"]);
    tool("objcopy", folder, &["--strip-all", "--add-gnu-debuglink=symbols.debug", "symbols"]);
    has_all_lines(&watch(&path));
    // One of another build is not believed.
    fs::write(folder.join("symbols.debug"), b"something else").expect("a file");
    let ran = watch(&path);
    assert!(!ran.stderr.contains("symbols.c:"), "{}", ran.stderr);
    assert!(ran.stderr.contains("    #0 (symbols+0x"), "{}", ran.stderr);
    fs::create_dir(folder.join(".debug")).expect("a folder");
    let other = program("linked-twice", &["-Wl,--build-id=none"]);
    let other = other.parent().expect("a folder");
    tool("objcopy", other, &["--only-keep-debug", "symbols", "symbols.debug"]);
    tool("objcopy", other, &["--strip-all", "--add-gnu-debuglink=symbols.debug", "symbols"]);
    fs::create_dir(other.join(".debug")).expect("a folder");
    fs::rename(other.join("symbols.debug"), other.join(".debug/symbols.debug")).expect("moved");
    has_all_lines(&watch(&other.join("symbols")));
}

/// debuginfod is asked only by who wants that; here one stands in for it that knows a single file.
#[test]
fn lines_from_debuginfod_when_asked() {
    let path = program("served", &["-Wl,--build-id=0xabcdef0123456789"]);
    let folder = path.parent().expect("a folder");
    tool("objcopy", folder, &["--only-keep-debug", "symbols", "elsewhere"]);
    tool("strip", folder, &["symbols"]);
    let finder = folder.join("debuginfod-find");
    let served = folder.join("elsewhere");
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = 'debuginfo abcdef0123456789' ] && echo {}\n",
        served.display()
    );
    fs::write(&finder, script).expect("a script");
    fs::set_permissions(&finder, fs::Permissions::from_mode(0o755)).expect("a mode");
    let places = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let silent = finish(watched(&[], &path).env("PATH", &places));
    assert!(!silent.stderr.contains("symbols.c:"), "{}", silent.stderr);
    has_all_lines(&finish(watched(&["--debuginfod"], &path).env("PATH", &places)));
}

/// What several debug files have in common, taken out by dwz.
#[test]
fn lines_with_a_common_file() {
    if !is_ready("dwz", &["dwz"]) {
        return;
    }
    let path = program("common", &["-gdwarf-4"]);
    let folder = path.parent().expect("a folder");
    fs::copy(&path, folder.join("twin")).expect("a copy");
    tool("dwz", folder, &["-m", "common.debug", "symbols", "twin"]);
    assert!(folder.join("common.debug").is_file());
    has_all_lines(&watch(&path));
}

/// Without any, functions from the symbol table; without that, module and address.
#[test]
fn without_lines() {
    let path = program("bare", &["-g0"]);
    let ran = watch(&path);
    for frame in ["    #0 outer (symbols)\n", "    #1 main  (symbols)\n"] {
        assert!(ran.stderr.contains(frame), "{}", ran.stderr);
    }
    tool("strip", path.parent().expect("a folder"), &["symbols"]);
    let stripped = watch(&path);
    assert!(stripped.stderr.contains("    #0 (symbols+0x"), "{}", stripped.stderr);
}

/// What belongs to Rust's library is one line, unless all is wanted.
#[test]
fn frames_of_common_libraries_are_folded() {
    let path = scratch().join("rust_leak");
    let status = Command::new("rustc")
        .args(["--edition=2024", "-g", "-o"])
        .arg(&path)
        .arg(victims().join("rust_leak.rs"))
        .status()
        .expect("rustc");
    assert!(status.success());
    let folded = finish(watched(&["--show-reachable"], &path).arg("x"));
    assert!(folded.stderr.contains(" frames of Rust's library)"), "{}", folded.stderr);
    let whole = finish(watched(&["--show-reachable", "--full-stacks"], &path).arg("x"));
    assert!(!whole.stderr.contains(" frames of "), "{}", whole.stderr);
    assert!(whole.stderr.contains("alloc::"), "{}", whole.stderr);
}
