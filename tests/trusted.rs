//! What lets nobody in, and is not led astray: the library's file, names that hold control
//! characters, a record that the program has written over.

mod harness;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{MALLOCOP, compile, finish, scratch, watched};

fn library_in(home: &Path, umask: &str) -> PathBuf {
    let line = format!("umask {umask}; exec \"$0\" library");
    let mut command = Command::new("sh");
    command.args(["-c", &line, MALLOCOP]).env("HOME", home).env_remove("XDG_CACHE_HOME");
    let ran = finish(&mut command);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    PathBuf::from(ran.stdout.trim_end())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

/// Children may run as other users, and nobody else may put anything there.
#[test]
fn all_can_read_the_library_and_only_its_owner_can_change_it() {
    for umask in ["000", "077"] {
        let home = scratch().join(format!("home{umask}"));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir(&home).expect("a directory");
        let library = library_in(&home, umask);
        let folder = library.parent().expect("a directory");
        assert_eq!((mode(&library), mode(folder)), (0o644, 0o755), "{}", library.display());
    }
}

#[test]
fn a_directory_of_somebody_elses_is_not_used() {
    let home = scratch().join("open_home");
    let cache = home.join(".cache/mallocop");
    fs::create_dir_all(&cache).expect("a directory");
    for place in [&home, &home.join(".cache"), &cache] {
        fs::set_permissions(place, Permissions::from_mode(0o777)).expect("permissions");
    }
    let library = library_in(&home, "022");
    assert!(!library.starts_with(&home), "{}", library.display());
}

/// As in bubblewrap's containers: there root's directories belong to nobody.
#[test]
fn where_root_is_not_mapped_programs_run() {
    let mut inside = Command::new("setpriv");
    inside.args(["--reuid", "12345", "--clear-groups", "unshare", "-U", "-c"]);
    inside.env_remove("HOME").env_remove("XDG_CACHE_HOME").env("NO_COLOR", "1");
    let can = Command::new(inside.get_program()).args(inside.get_args()).arg("true").status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no user namespace can be had");
        return;
    }
    let ran = finish(inside.args([MALLOCOP, "run", "--", "/bin/true"]));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("no leaks"), "{}", ran.stderr);
}

/// A function's name comes from the program's file, which may hold anything.
#[test]
fn control_characters_in_names_are_written_out() {
    let program = compile("odd_names.c", "odd_names", &["-g0"]);
    let odd = "odd\x1b[31m\n==9==ERROR: mallocop: forged";
    let renamed = Command::new("objcopy")
        .arg(format!("--redefine-sym=odd={odd}"))
        .arg(&program)
        .status()
        .expect("objcopy");
    assert!(renamed.success());
    let library = finish(Command::new(MALLOCOP).arg("library")).stdout;
    let mut preloaded = Command::new(&program);
    preloaded.env("LD_PRELOAD", library.trim_end()).env("NO_COLOR", "1");
    for mut command in [watched(&[], &program), preloaded] {
        let ran = finish(&mut command);
        assert!(
            ran.stderr.contains("odd\\x1b[31m\\x0a==9==ERROR: mallocop: forged"),
            "{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains('\x1b') && !ran.stderr.contains("\n==9=="), "{}", ran.stderr);
    }
    let named = program.with_file_name("a\n==9==ERROR: mallocop: forged");
    fs::copy(&program, &named).expect("a copy");
    let ran = finish(&mut watched(&[], &named));
    assert!(!ran.stderr.contains("\n==9=="), "{}", ran.stderr);
}

/// The file's header is in the program's memory, where a stray write may reach it.
#[test]
fn a_record_that_is_written_over_changes_no_status() {
    let program = compile("record_smashed.c", "record_smashed", &[]);
    for what in ["header", "root", "nodes"] {
        let ran = finish(watched(&[], &program).arg(what));
        assert_eq!((ran.status, ran.stdout.as_str()), (0, "end\n"), "{what}: {}", ran.stderr);
    }
    let log = scratch().join("smashed.log");
    let ran = finish(watched(&[&format!("--log-path={}", log.display())], &program).arg("circle"));
    assert_eq!((ran.status, ran.stdout.as_str()), (23, "end\n"), "{}", ran.stderr);
}
