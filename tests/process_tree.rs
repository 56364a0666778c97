//! A tree of processes: what is started how, who cannot be watched, whose streams stay untouched,
//! what is left behind.

mod harness;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{MALLOCOP, compile, finish, is_ready, scratch, watched};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Every form of exec and posix_spawn does what it does without us.
#[test]
fn programs_are_started_as_ever() {
    let program = compile("exec_forms.c", "exec_forms", &[]);
    let alone = finish(&mut Command::new(&program));
    let ran = finish(&mut watched(&[], &program));
    assert_eq!(ran.stdout, alone.stdout);
    assert!(alone.stdout.contains("2: a b c d e f g own\n"), "{}", alone.stdout);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("dash 7"), "{}", ran.stderr);
}

/// Of the other formats that a program can have, each runs, and it is said that it was not watched.
#[test]
fn programs_that_cannot_be_watched_run_all_the_same() {
    let fixed = compile("early_calls.c", "child.static", &["-static"]);
    let checked = compile("early_calls.c", "child.asan", &["-fsanitize=address"]);
    let mut children =
        vec![(fixed, "is statically linked"), (checked, "is built with a sanitizer")];
    if is_ready("musl", &["musl-gcc"]) {
        let musl = scratch().join("child.musl");
        let source = scratch().join("musl.c");
        fs::write(&source, "int main(void) { return 0; }\n").expect("a source");
        let made =
            Command::new("musl-gcc").arg("-o").args([&musl, &source]).status().expect("musl-gcc");
        assert!(made.success());
        children.push((musl, "uses musl's libc"));
    }
    for (child, reason) in children {
        let alone = finish(Command::new("sh").arg("-c").arg(&child));
        let line = format!("{}; echo $?", text(&child));
        let mut bash = watched(&[], "bash");
        // More variables than have room on the stack.
        bash.envs((0..200).map(|number| (format!("VARIABLE_{number}"), "value")));
        let ran = finish(bash.args(["-c", &line]));
        assert_eq!(ran.stdout, format!("{}{}\n", alone.stdout, alone.status), "{}", ran.stderr);
        let note = format!("mallocop: not watched: {} {reason}\n", text(&child));
        assert_eq!(ran.stderr.matches(&note).count(), 1, "{note}{}", ran.stderr);
        // Nothing but the command's own lines.
        assert!(ran.stderr.lines().all(|line| line.starts_with("mallocop")), "{}", ran.stderr);
        assert_eq!(ran.status, 0);
    }
}

/// What a program writes where its first descriptors were is its own.
#[test]
fn data_where_standard_error_was_stays_whole() {
    let program = compile("closes.c", "closes", &[]);
    let data = scratch().join("closes.data");
    let _ = fs::remove_file(&data);
    let ran = finish(watched(&["--halt-on-error=0"], program).arg(&data));
    assert_eq!(fs::read_to_string(&data).expect("data"), "data\nmore\n");
    assert!(
        ran.stderr.contains("heap-buffer-overflow: memory clobbered past end"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.status, 23, "{}", ran.stderr);
}

/// The program's own output, byte for byte.
#[test]
fn pipelines_print_what_they_print() {
    if !is_ready("pipelines", &["bash", "make", "gcc"]) {
        return;
    }
    let folder = scratch().join("pipeline");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("good.c"), "int main(void) { int unused; return 0; }\n")
        .expect("a source");
    fs::write(folder.join("bad.c"), "int main(void) { return x; }\n").expect("a source");
    fs::write(folder.join("Makefile"), "all: good bad\n%: %.c\n\tgcc -Wall -o $@ $<\n")
        .expect("a makefile");
    let line = "(make -k all; ls | sort | tr a-z A-Z | grep -v OUT; echo end >&2) > ../out.$0 2> \
                ../err.$0; rm -f good";
    let run = |mut command: Command, name: &str| {
        let ran = finish(command.args(["-c", line, name]).current_dir(&folder).env("LC_ALL", "C"));
        assert!(ran.status == 0 || ran.status == 23, "{}", ran.stderr);
        let read = |kind: &str| {
            fs::read_to_string(scratch().join(format!("{kind}.{name}"))).expect("output")
        };
        (read("out"), read("err"))
    };
    let alone = run(Command::new("bash"), "alone");
    assert!(alone.1.contains("'x' undeclared") && alone.0.contains("GOOD.C"), "{alone:?}");
    assert_eq!(run(watched(&[], "bash"), "watched"), alone);
}

/// A build of many processes is one report, with each program's leaks together.
#[test]
fn a_build_is_one_report() {
    if !is_ready("a build", &["make", "gcc"]) {
        return;
    }
    const FILES: usize = 40;
    let folder = scratch().join("build");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    for number in 0..FILES {
        let text = format!("int f{number}(int x) {{ return x + {number}; }}\n");
        fs::write(folder.join(format!("f{number}.c")), text).expect("a source");
    }
    let rules = "all: $(patsubst %.c,%.o,$(wildcard f*.c))\n%.o: %.c\n\t@gcc -c -o $@ $<\n";
    fs::write(folder.join("Makefile"), rules).expect("a makefile");
    let ran = finish(watched(&[], "make").arg("-j2").current_dir(&folder));
    // gcc's driver and the assembler lose blocks, each time the same ones.
    assert!(ran.status == 0 || ran.status == 23, "{}", ran.stderr);
    let reports = ran.stderr.matches("detected memory leaks").count();
    assert!((1..=3).contains(&reports), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("mallocop: in {FILES} processes of ")), "{}", ran.stderr);
    let silent =
        ran.stderr.lines().find(|line| line.contains(" more processes with nothing to report: "));
    assert!(silent.is_some_and(|line| line.contains(&format!("cc1 {FILES}"))), "{}", ran.stderr);
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 2 * FILES + 1);
}

/// A library that is gone, and another one at its address.
#[test]
fn unloaded_libraries_are_named_as_they_were() {
    let library = |size: &str, name: &str| {
        compile("reload_other_lib.c", name, &["-shared", "-fPIC", &format!("-DSIZE={size}")])
    };
    let (one, other) = (library("1111", "libone.so"), library("2222", "libtwo.so"));
    let program = compile("reload_other.c", "reload_other", &[]);
    let ran = finish(watched(&[], program).args([&one, &other, &one, &other]));
    assert_eq!(ran.stdout, "3 of 3 at the same address\n");
    for (bytes, function, line) in
        [(2222, "    #0 alpha ", "alpha.c:10:"), (4444, "    #0 beta ", "beta.c:20:")]
    {
        let words =
            format!("Direct leak of {bytes} byte(s) in 2 object(s) allocated from:\n{function}");
        let (_, behind) = ran.stderr.split_once(&words).unwrap_or_else(|| panic!("{}", ran.stderr));
        assert!(behind.lines().next().is_some_and(|frame| frame.contains(line)), "{}", ran.stderr);
    }
    assert_eq!(ran.status, 23);
}

/// Rights, root directory and descriptors given up, then a fork.
#[test]
fn a_confined_child_is_recorded() {
    let program = compile("confined.c", "confined", &[]);
    let empty = scratch().join("empty");
    fs::create_dir_all(&empty).expect("a folder");
    let ran = finish(watched(&[], program).arg(&empty));
    if ran.status == 2 && std::env::var_os("CI").is_none() {
        println!("skipped: only root can do that: {}", ran.stderr);
        return;
    }
    let words = "killed before its leak check: 29694 bytes in 7 blocks in use";
    assert_eq!(ran.stderr.matches(words).count(), 1, "{}", ran.stderr);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
}

/// Who cannot reach the record says so, and reports by itself; after the command's end it says
/// nothing of that.
#[test]
fn without_the_record_a_process_reports_by_itself() {
    let program = compile("cut_off.c", "cut_off", &[]);
    let alive = format!("/proc/{}/fd/9999", std::process::id());
    for (tree, is_said) in
        [(alive.as_str(), true), ("/nowhere", true), ("/proc/4194304/fd/3", false)]
    {
        let ran = finish(watched(&["--halt-on-error=0"], &program).args([text(&program), tree]));
        let line = format!("mallocop: {} (pid ", text(&program));
        let words = ") cannot reach the run's record and reports here\n";
        let is_there = ran.stderr.contains(&line) && ran.stderr.contains(words);
        assert_eq!(is_there, is_said, "{tree}: {}", ran.stderr);
        assert!(ran.stderr.contains("free(): double free detected: 0x"), "{tree}: {}", ran.stderr);
        assert_eq!(ran.status, 0, "{tree}: {}", ran.stderr);
    }
}

/// Limits that once were in the way of files and of memory.
#[test]
fn under_limits() {
    let program = compile("hoard.c", "hoard", &[]);
    for limit in ["ulimit -f 0", "ulimit -v 300000", "ulimit -n 10"] {
        let line = format!("{limit}; exec {} kill", text(&program));
        let ran = finish(watched(&[], "bash").args(["-c", &line]));
        let words = "killed by SIGKILL before its leak check: 29694 bytes in 7 blocks in use";
        assert_eq!(ran.stderr.matches(words).count(), 1, "{limit}: {}", ran.stderr);
        assert_eq!(ran.status, 137, "{limit}: {}", ran.stderr);
    }
}

/// Ended for its memory by the kernel; where a control group can be made for that.
#[test]
fn out_of_memory() {
    let program = compile("hoard.c", "hoard", &[]);
    let group = PathBuf::from(format!("/sys/fs/cgroup/memory/mallocop-{}", std::process::id()));
    let limit = || fs::write(group.join("memory.limit_in_bytes"), "67108864");
    if fs::create_dir(&group).and_then(|()| limit()).is_err() {
        println!("skipped: no control group can be made");
        let _ = fs::remove_dir(&group);
        return;
    }
    let line = format!("echo $$ > {}/tasks; exec {} oom", text(&group), text(&program));
    let ran = finish(watched(&[], "sh").args(["-c", &line]));
    let _ = fs::remove_dir(&group);
    let words = "killed by SIGKILL before its leak check: 29694 bytes in 7 blocks in use";
    assert_eq!(ran.stderr.matches(words).count(), 1, "{}", ran.stderr);
    assert_eq!(ran.status, 137, "{}", ran.stderr);
}

/// The library finds a place, and the record needs none.
#[test]
fn without_a_place_to_write() {
    let program = compile("hoard.c", "hoard", &[]);
    let ran = finish(watched(&[], &program).arg("kill").env("XDG_CACHE_HOME", "/proc/none"));
    assert!(ran.stderr.contains("29694 bytes in 7 blocks"), "{}", ran.stderr);
    if !is_ready("a full /dev/shm", &["unshare"]) {
        return;
    }
    let line = format!(
        "mount -t tmpfs -o size=4k none /dev/shm && head -c 8192 /dev/zero > /dev/shm/full 2> \
         /dev/null; \
         NO_COLOR=1 {MALLOCOP} run -- {} kill",
        text(&program)
    );
    let ran = finish(Command::new("unshare").args(["-rm", "sh", "-c", &line]));
    assert!(ran.stderr.contains("29694 bytes in 7 blocks"), "{}", ran.stderr);
}

/// Nothing is left behind, however it ends.
#[test]
fn nothing_is_left_after_an_interrupt() {
    let left = || {
        let all = ["/dev/shm", "/tmp"]
            .into_iter()
            .filter_map(|place| fs::read_dir(place).ok())
            .flatten()
            .flatten();
        let names = all.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with("mallocop-") && !name.ends_with("-0")).count()
    };
    let before = left();
    for signal in ["INT", "KILL"] {
        // A group of its own, as a terminal's Ctrl-C finds it. What a script has started in the
        // background ignores that signal, and hands that down.
        let mut child = Command::new("env")
            .args(["--default-signal=INT", MALLOCOP, "run", "--", "sleep", "100"])
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("the command");
        std::thread::sleep(Duration::from_millis(500));
        let group = format!("-{}", child.id());
        let killed = Command::new("kill").args([&format!("-{signal}"), "--", &group]).status();
        assert!(killed.expect("kill").success());
        let status = child.wait().expect("ended");
        if signal == "INT" {
            assert_eq!(status.code(), Some(130));
        }
    }
    assert_eq!(left(), before);
}

#[test]
fn each_process_writes_its_own_log() {
    let program = compile("double_free.c", "logged", &[]);
    let folder = scratch().join("logs");
    let _ = fs::remove_dir_all(&folder);
    let flag = format!("--log-path={}/%e/%p.txt", text(&folder));
    let line = format!("{}; true", text(&program));
    let ran = finish(watched(&[&flag], "bash").args(["-c", &line]));
    assert_eq!(ran.status, 23, "{}", ran.stderr);
    assert!(!ran.stderr.contains("double-free"), "{}", ran.stderr);
    let files = |name: &str| -> Vec<PathBuf> {
        let all = fs::read_dir(folder.join(name)).expect("a folder").flatten();
        all.map(|entry| entry.path()).collect()
    };
    let (root, child) = (files("bash"), files("logged"));
    assert_eq!((root.len(), child.len()), (1, 1));
    let read = |path: &Path| fs::read_to_string(path).expect("a log");
    assert!(read(&child[0]).contains("SUMMARY: mallocop: double-free "), "{}", read(&child[0]));
    assert!(read(&root[0]).contains("mallocop: no leaks: "), "{}", read(&root[0]));
}

#[test]
fn programs_are_chosen_by_name() {
    let program = compile("write_after_free.c", "chosen", &[]);
    let line = format!("{}; exit 0", text(&program));
    for (flag, is_seen) in [
        ("--exclude=chosen", false),
        ("--exclude=bash|other", true),
        ("--include=chosen", true),
        ("--include=bash", false),
    ] {
        let ran = finish(watched(&[flag], "bash").args(["-c", &line]));
        assert_eq!(ran.status, if is_seen { 23 } else { 0 }, "{flag}: {}", ran.stderr);
        assert_eq!(ran.stderr.contains("heap-use-after-free"), is_seen, "{flag}: {}", ran.stderr);
    }
}

/// Who waits for the end of the pipe that a program had as its standard error gets there while its
/// daemon lives on.
#[test]
fn a_daemon_holds_no_pipe() {
    let program = compile("lasting_daemon.c", "lasting_daemon", &[]);
    let library = finish(Command::new(MALLOCOP).arg("library")).stdout;
    let mut preloaded = Command::new(&program);
    preloaded.env("LD_PRELOAD", library.trim_end()).env("MALLOCOP_OPTIONS", "quiet=1");
    for mut command in [watched(&[], &program), preloaded] {
        let ran = finish(&mut command);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        // It would be gone by now if its end had been waited for.
        let killed = Command::new("kill").args(["-KILL", ran.stdout.trim_end()]).status();
        assert!(killed.expect("kill").success(), "{command:?}: {}", ran.stdout);
    }
}

#[test]
fn no_descriptor_is_open_but_the_programs_own() {
    let list = |command: &mut Command| finish(command.arg("/proc/self/fd")).stdout;
    let alone = list(&mut Command::new("ls"));
    assert!(alone.starts_with("0\n1\n"), "{alone}");
    assert_eq!(list(&mut watched(&[], "ls")), alone);
    let logs = format!("--log-path={}", text(&scratch().join("descriptors.txt")));
    assert_eq!(list(&mut watched(&[&logs], "ls")), alone);
}

/// A signal that is meant for the program is sent to the command, whose process is known.
#[test]
fn an_interrupt_of_the_command_reaches_the_program() {
    let script = "trap 'echo interrupted; exit 5' INT; echo up; while :; do sleep 0.1; done";
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", MALLOCOP, "run", "--", "sh", "-c", script]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the command");
    let mut lines =
        BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("up"));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill").success());
    assert_eq!(lines.collect::<Vec<_>>(), ["interrupted"]);
    assert_eq!(child.wait().expect("ended").code(), Some(5));
}

/// nohup, systemd, and shells that start something in the background have signals ignored.
#[test]
fn what_is_ignored_stays_ignored() {
    let ignored = |command: &str| -> u64 {
        let script =
            format!("trap '' HUP INT QUIT PIPE TERM USR2; {command} grep SigIgn /proc/self/status");
        let ran = finish(Command::new("sh").args(["-c", &script]).env("NO_COLOR", "1"));
        let bits = ran.stdout.trim().strip_prefix("SigIgn:").expect("a line of status").trim();
        // Not libc's own two, which posix_spawn(3) has ignored.
        u64::from_str_radix(bits, 16).expect("a mask") & ((1 << 31) - 1)
    };
    assert_eq!(ignored(""), 0x5807);
    assert_eq!(ignored(&format!("{MALLOCOP} run --quiet --")), 0x5807);
}

/// What it was told before its name was looked at is not taken over later, when blocks are there.
#[test]
fn an_excluded_program_is_excluded_for_good() {
    let program = compile("own_memory.c", "excluded", &[]);
    let flags =
        ["--exclude=excluded", "--checks=all", "--malloc-context-size=30", "--detect-leaks=1"];
    let ran = finish(&mut watched(&flags, &program));
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("code "), "{}", ran.stdout);
}
