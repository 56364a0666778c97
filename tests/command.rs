//! The command line: bad input, exit statuses, the options table, what a new user tries first.

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{MALLOCOP, Ran, compile, finish, is_ready, scratch, watched};
use mallocop::options::TABLE;

fn mallocop(arguments: &[&str]) -> Ran {
    finish(Command::new(MALLOCOP).args(arguments).env_remove("MALLOCOP_OPTIONS"))
}

/// One clear line on stderr, nothing on stdout, the right status.
fn refuses(arguments: &[&str], status: i32, words: &str) {
    let ran = mallocop(arguments);
    assert_eq!(ran.status, status, "{arguments:?}: {}", ran.stderr);
    assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
    assert_eq!(ran.stdout, "", "{arguments:?}: something was run");
}

/// A program that leaves a mark when it runs.
fn marking_script(name: &str, mode: u32) -> PathBuf {
    let script = scratch().join(name);
    fs::write(&script, "#!/bin/bash\necho it ran\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(mode)).expect("a mode");
    script
}

#[test]
fn unknown_and_malformed_options_run_nothing() {
    let program = "echo";
    refuses(&["run", "--no-such-option=1", program, "x"], 2, "--no-such-option");
    refuses(&["run", "--halt-on-error=maybe", program, "x"], 2, "it takes 0 or 1");
    refuses(&["run", "--exitcode=256", program, "x"], 2, "from 0 to 255");
    refuses(&["run", "--checks=some", program, "x"], 2, "all, none");
    refuses(&["run"], 2, "PROGRAM");
    for (list, words) in [
        ("nonsense=1", "unknown option `nonsense`"),
        ("exitcode=many", "invalid value `many` for exitcode: expected a whole number"),
        ("quiet", "`quiet` is not of the form option=value"),
    ] {
        let ran = finish(watched(&[], "echo").env("MALLOCOP_OPTIONS", list).arg("x"));
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn programs_that_cannot_be_run_or_watched() {
    refuses(&["run", "/no/such/program"], 127, "there is no such program");
    refuses(&["run", "no-such-program-anywhere"], 127, "there is no such program");
    refuses(&["run", "/etc/passwd"], 126, "is not executable");
    refuses(&["run", "/usr"], 126, "is a directory");
    let plain = marking_script("not-executable", 0o644);
    refuses(&["run", plain.to_str().expect("a path")], 126, "is not executable");
}

#[test]
fn a_static_program_is_not_run_unwatched() {
    let program = compile("early_calls.c", "early_calls.static", &["-static"]);
    refuses(&["run", program.to_str().expect("a path")], 125, "is statically linked");
}

#[test]
fn a_setuid_program_is_not_run_unwatched() {
    let program = compile("early_calls.c", "early_calls.setuid", &[]);
    let changed = Command::new("chown").arg("nobody").arg(&program).status().expect("chown");
    if !changed.success() {
        assert!(std::env::var_os("CI").is_none(), "CI runs as root");
        println!("skipped: only root can make a setuid program of somebody else");
        return;
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).expect("a mode");
    refuses(&["run", program.to_str().expect("a path")], 125, "is setuid");
}

#[test]
fn the_programs_own_status_comes_through() {
    for status in [0, 1, 7, 125, 255] {
        let script = format!("exit {status}");
        let ran = finish(watched(&[], "bash").args(["-c", &script]));
        assert_eq!(ran.status, status, "{}", ran.stderr);
    }
    let killed = finish(watched(&[], "bash").args(["-c", "kill -KILL $$"]));
    assert_eq!(killed.status, 128 + 9);
    assert!(
        killed.stderr.contains("): killed by SIGKILL before its leak check: "),
        "{}",
        killed.stderr
    );
}

#[test]
fn findings_change_only_a_status_of_zero() {
    let program = compile("write_after_free.c", "status-of-findings", &[]);
    let late = |flag| finish(&mut watched(&["--guard=off", flag], &program)).status;
    assert_eq!(late("--exitcode=23"), 23);
    assert_eq!(late("--exitcode=42"), 42);
    assert_eq!(late("--exitcode=0"), 0);
    let line = format!("{} ; exit 7", program.display());
    assert_eq!(finish(watched(&["--guard=off"], "bash").args(["-c", &line])).status, 7);
}

/// A child's error is printed and counts; its parent sees the child's own status.
#[test]
fn children_are_followed() {
    let program = compile("write_after_free.c", "child", &[]);
    let line = format!("{} > /dev/null; echo the child ended with $?", program.display());
    let ran = finish(watched(&["--guard=off"], "bash").args(["-c", &line]));
    assert_eq!(ran.stdout, "the child ended with 0\n");
    assert_eq!(ran.status, 23);
    assert!(ran.stderr.contains("==ERROR: mallocop: heap-use-after-free"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("watching").count(), 1, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("mallocop: no leaks:").count(), 1, "{}", ran.stderr);
}

/// What a child reports is not lost with its standard error.
#[test]
fn findings_do_not_go_where_the_program_sends_its_errors() {
    let program = compile("double_free.c", "silenced", &[]);
    let line = format!("{} > /dev/null 2>&1; echo $?", program.display());
    let ran = finish(watched(&[], "bash").args(["-c", &line]));
    assert_eq!(ran.stdout, "134\n");
    assert!(ran.stderr.contains("free(): double free detected"), "{}", ran.stderr);
}

/// Without the command, by LD_PRELOAD alone: reports on stderr, 23 instead of 0, stdio flushed.
#[test]
fn the_library_works_without_the_command() {
    // Put where the command keeps it, and that is said: root's is where other users can read it.
    let cache = scratch().join("cache");
    let ran = finish(Command::new(MALLOCOP).arg("library").env("XDG_CACHE_HOME", &cache));
    let library = Path::new(ran.stdout.trim_end());
    let is_kept = library.starts_with(&cache) || library.starts_with("/var/cache/mallocop");
    assert!(ran.status == 0 && is_kept, "{}{}", ran.stdout, ran.stderr);
    let preloaded = |program: &str, options: &str| {
        let program = compile(&format!("{program}.c"), &format!("{program}.preloaded"), &[]);
        finish(Command::new(program).env("LD_PRELOAD", library).env("MALLOCOP_OPTIONS", options))
    };
    let late = preloaded("write_after_free", "guard=off");
    assert_eq!(late.status, 23, "{}", late.stderr);
    assert_eq!(late.stdout, "write_after_free: start\nwrite_after_free: end\n");
    assert!(
        late.stderr.starts_with("mallocop 0.1.0: watching write_after_free"),
        "{}",
        late.stderr
    );
    assert!(late.stderr.contains("==ERROR: mallocop: heap-use-after-free"), "{}", late.stderr);
    let early = preloaded("double_free", "quiet=1");
    assert_eq!(early.status, 134);
    assert!(early.stderr.starts_with("=="), "{}", early.stderr);
    let odd = preloaded("double_free", "nonsense=1");
    assert!(odd.stderr.contains("unknown option `nonsense` (ignored)"), "{}", odd.stderr);
}

#[test]
fn every_option_is_listed_and_taken_by_its_flag() {
    let listed = mallocop(&["options"]).stdout;
    let help = mallocop(&["run", "--help"]).stdout;
    for entry in TABLE {
        let flag = format!("--{}", entry.name.replace('_', "-"));
        let line = format!("{}={}", entry.name, entry.show(entry.default));
        assert!(listed.lines().any(|found| found.starts_with(&line)), "{line}\n{listed}");
        assert!(listed.contains(entry.help), "{}", entry.name);
        assert!(help.contains(&flag), "{flag}\n{help}");
    }
}

#[test]
fn every_demo_shows_its_defect() {
    for (demo, status, words) in [
        ("leak", 23, "Direct leak of 300 byte(s) in 3 object(s) allocated from:"),
        ("overflow", 134, "0 bytes after a 32-byte block"),
        ("underflow", 134, "memory clobbered before start of an 8-byte block"),
        ("use-after-free", 134, "0 bytes inside a freed 32-byte block"),
        ("double-free", 134, "free(): double free detected"),
        ("invalid-free", 134, "is 4 bytes inside a 64-byte block (bad-free)"),
        ("mismatch", 134, "was allocated with malloc and is freed with operator delete"),
    ] {
        let ran = mallocop(&["demo", demo]);
        assert_eq!(ran.status, status, "{demo}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{demo}: {}", ran.stderr);
        assert!(ran.stderr.contains(" | "), "{demo}: no source line: {}", ran.stderr);
    }
    let all = mallocop(&["demo"]);
    assert_eq!(all.status, 0);
    assert_eq!(all.stderr.matches("watching").count(), 7, "{}", all.stderr);
    assert!(!all.stderr.contains("\\x0a"), "{}", all.stderr);
}

/// Whatever runs on the machine besides.
#[test]
fn a_program_starts_within_300_system_calls() {
    if !is_ready("strace", &["strace"]) {
        return;
    }
    let trace = scratch().join("start.strace");
    // So that the library is in its place.
    assert_eq!(mallocop(&["library"]).status, 0);
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(&trace).args([MALLOCOP, "run", "--", "/bin/true"]);
    // Where cargo has the loader look for libraries first.
    let ran = finish(command.env_remove("LD_LIBRARY_PATH"));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let text = fs::read_to_string(&trace).expect("a trace");
    let start = "execve(\"/bin/true\"";
    let before = text.lines().take_while(|line| !line.contains(start)).count();
    assert!(text.contains(start) && before < 300, "{before} before the program's first one");
}

/// Not somewhere in the middle of a line, as libtest's.
#[test]
fn the_start_line_stands_in_front_of_what_the_program_writes() {
    let script = "printf 'test one ... ' >&2; sleep 0.2; echo ok >&2";
    let ran = finish(watched(&[], "sh").args(["-c", script]));
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(lines[0].starts_with("mallocop ") && lines[0].contains(": watching "), "{lines:?}");
    assert_eq!(lines[1], "test one ... ok");
}

#[test]
fn doctor_says_what_would_be_seen() {
    let sound = mallocop(&["doctor", "bash"]);
    assert_eq!(sound.status, 0);
    assert!(sound.stdout.contains("ok     malloc and free come to mallocop"), "{}", sound.stdout);
    let program = compile("early_calls.c", "early_calls.doctor", &["-static"]);
    let hopeless = mallocop(&["doctor", program.to_str().expect("a path")]);
    assert_eq!(hopeless.status, 125);
    assert!(hopeless.stdout.contains("fail"), "{}", hopeless.stdout);
}

#[test]
fn doctor_says_what_stacks_of_a_stripped_program_show() {
    let program = compile("early_calls.c", "early_calls.stripped", &["-s"]);
    let said = mallocop(&["doctor", program.to_str().expect("a path")]);
    assert_eq!(said.status, 0, "{}", said.stdout);
    let words = "stacks show the module and a place in it (it is stripped)";
    assert!(said.stdout.contains(words), "{}", said.stdout);
    let program = compile("early_calls.c", "early_calls.symbols", &["-g0"]);
    let said = mallocop(&["doctor", program.to_str().expect("a path")]);
    assert!(said.stdout.contains("stacks show functions, without lines"), "{}", said.stdout);
}

#[test]
fn colour_is_for_terminals_and_for_who_asks() {
    let program = compile("double_free.c", "coloured", &[]);
    let plain = finish(watched(&[], &program).env_remove("NO_COLOR"));
    assert!(!plain.stderr.contains('\u{1b}'), "{}", plain.stderr);
    let forced = finish(watched(&[], &program).env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1"));
    assert!(forced.stderr.contains("\u{1b}["), "{}", forced.stderr);
    let refused = finish(watched(&[], &program).env("CLICOLOR_FORCE", "1"));
    assert!(!refused.stderr.contains('\u{1b}'), "{}", refused.stderr);
}

#[test]
fn color_is_said_on_the_command_line() {
    let program = compile("double_free.c", "chosen_color", &[]);
    let ran = |when: &str| {
        let flag = format!("--color={when}");
        let mut command = Command::new(MALLOCOP);
        command.args([&flag, "run", "--"]).arg(&program).env_remove("MALLOCOP_OPTIONS");
        finish(&mut command)
    };
    let always = ran("always");
    assert!(always.stderr.contains("\u{1b}["), "{}", always.stderr);
    let never = ran("never");
    assert!(!never.stderr.contains('\u{1b}'), "{}", never.stderr);
    refuses(&["--color=perhaps", "run", "--", "true"], 2, "perhaps");
}

/// What is no command is a program, with its own arguments.
#[test]
fn a_program_needs_no_run() {
    let program = compile("double_free.c", "without_run", &[]);
    let ran = finish(Command::new(MALLOCOP).arg(&program).env_remove("MALLOCOP_OPTIONS"));
    assert_eq!(ran.status, 134, "{}", ran.stderr);
    assert!(ran.stderr.contains("free(): double free detected"), "{}", ran.stderr);
    let ran = mallocop(&["sh", "-c", "exit 9"]);
    assert_eq!(ran.status, 9, "{}", ran.stderr);
    refuses(&["is-neither-command-nor-program"], 127, "is-neither-command-nor-program");
}

#[test]
fn the_version_is_a_command_and_a_flag() {
    let version = format!("mallocop {}\n", env!("CARGO_PKG_VERSION"));
    for word in ["version", "--version"] {
        let ran = mallocop(&[word]);
        assert_eq!((ran.status, ran.stdout), (0, version.clone()), "{word}");
    }
}

/// Under LD_PRELOAD alone a launcher prints no summary; the program that it starts does.
#[test]
fn launchers_are_silent_without_the_command() {
    let library = mallocop(&["library"]).stdout;
    for launcher in [&["env"][..], &["timeout", "60"], &["nice", "timeout", "60"]] {
        let mut command = Command::new("env");
        command.arg(format!("LD_PRELOAD={}", library.trim_end())).args(launcher);
        let ran = finish(command.arg("true"));
        let watched: Vec<_> = ran.stderr.lines().filter(|line| line.contains("watching")).collect();
        let [line] = watched[..] else { panic!("{launcher:?}: {}", ran.stderr) };
        assert!(line.contains(": watching true (pid "), "{launcher:?}: {line}");
        assert_eq!(ran.status, 0, "{launcher:?}");
    }
}
