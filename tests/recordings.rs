//! What `run --output` keeps, and `report` shows again.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{MALLOCOP, Ran, compile, finish, scratch, watched};

fn report(words: &[&str], files: &[&Path]) -> Ran {
    finish(Command::new(MALLOCOP).arg("report").args(words).args(files).env("NO_COLOR", "1"))
}

/// Records a program; what it printed, and the recording.
fn record(program: &Path, arguments: &[&str], name: &str) -> (Ran, PathBuf) {
    let file = scratch().join(name);
    let flag = format!("--output={}", file.display());
    let ran = finish(watched(&[&flag, "--halt-on-error=0"], program).args(arguments));
    (ran, file)
}

/// The lines of a report without what only a run says.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.contains(": watching ")).collect()
}

#[test]
fn a_recording_shows_what_the_run_showed() {
    for (source, arguments) in [
        ("double_free.c", &[][..]),
        ("overflow_64.c", &[]),
        ("leak.c", &[]),
        ("hoard.c", &["kill"]),
        ("free_global.c", &[]),
    ] {
        let program = compile(source, &format!("{source}.recorded"), &[]);
        let (ran, file) = record(&program, arguments, &format!("{source}.recording"));
        let shown = report(&[], &[&file]);
        assert_eq!(lines(&shown.stderr), lines(&ran.stderr), "{source}");
        assert!(shown.status == 0 && shown.stdout.is_empty());
    }
}

/// Several are one report: leaks of one program are put together.
#[test]
fn recordings_are_merged() {
    let program = compile("leak.c", "leak.merged", &[]);
    let (_, one) = record(&program, &[], "one");
    let (_, other) = record(&program, &[], "other");
    let shown = report(&[], &[&one, &other]);
    assert!(shown.stderr.contains("in 2 processes of leak.merged (pid "), "{}", shown.stderr);
    assert_eq!(shown.stderr.matches("detected memory leaks").count(), 1, "{}", shown.stderr);
    let single = report(&[], &[&one]);
    let leaked = |text: &str| -> u64 {
        let line =
            text.lines().find_map(|line| line.strip_prefix("SUMMARY: mallocop: ")).expect("a sum");
        line.split(' ').next().and_then(|bytes| bytes.parse().ok()).expect("a number")
    };
    assert_eq!(leaked(&shown.stderr), 2 * leaked(&single.stderr));
}

/// On a machine without the program, places are kept by module and address.
#[test]
fn elsewhere_places_stay() {
    let folder = scratch().join("moved");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let program = compile("hoard.c", "moved/hoard", &[]);
    let (ran, file) = record(&program, &["kill"], "moved.recording");
    assert!(ran.stderr.contains("29694 bytes in 7 blocks in use"), "{}", ran.stderr);
    // Another build at the same path has nothing to say either.
    fs::copy("/bin/true", &program).expect("a copy");
    let shown = report(&["--show-reachable"], &[&file]);
    assert!(
        shown.stderr.contains("29694 bytes in 7 blocks allocated from:\n    #0 (hoard+0x"),
        "{}",
        shown.stderr
    );
    fs::remove_file(&program).expect("removed");
    let gone = report(&["--show-reachable"], &[&file]);
    assert_eq!(gone.stderr, shown.stderr);
}

#[test]
fn the_report_for_programs() {
    let program = compile("double_free.c", "double_free.json", &[]);
    let json = scratch().join("report.json");
    let flag = format!("--json={}", json.display());
    let ran = finish(&mut watched(&[&flag], &program));
    assert_eq!(ran.status, 134);
    let text = fs::read_to_string(&json).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["format"], "mallocop-report");
    assert_eq!(report["version"], 2);
    let process = &report["processes"][0];
    assert_eq!(process["end"], "killed");
    assert_eq!(process["signal"], 6);
    assert!(process["frees"].is_null() && process["peak_bytes"].is_null(), "{process}");
    let finding = &process["findings"][0];
    assert_eq!(finding["id"], "double-free");
    assert_eq!(finding["severity"], "error");
    assert!(
        finding["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("free(): double free detected: 0x"))
    );
    let stack = finding["stack"].as_u64().expect("a stack") as usize;
    let frame = &report["stacks"][stack]["frames"][0];
    assert_eq!(frame["function"], "break_it");
    assert!(frame["file"].as_str().is_some_and(|file| file.ends_with("double_free.c")), "{frame}");
    assert!(frame["line"].as_u64().is_some_and(|line| line > 1));
    assert!(finding["block"]["allocated_at"].is_u64() && finding["block"]["freed_at"].is_u64());
}

/// A recording may name what is no file: nothing waits for a pipe's other end.
#[test]
fn a_module_that_is_a_pipe_has_no_names() {
    let pipe = scratch().join("pipe");
    let _ = fs::remove_file(&pipe);
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let program = compile("hoard.c", "hoard.piped", &[]);
    let (_, file) = record(&program, &["kill"], "piped.recording");
    let text = fs::read_to_string(&file).expect("a recording");
    for (id, path) in
        [("", pipe.as_path()), ("", Path::new("/dev/zero")), ("", Path::new("/proc/self/mem"))]
    {
        let mut recording: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for module in recording["modules"].as_array_mut().expect("modules") {
            module["path"] = path.to_str().into();
            module["build_id"] = id.into();
        }
        fs::write(&file, recording.to_string()).expect("written");
        let shown = report(&["--show-reachable"], &[&file]);
        assert!(
            shown.stderr.contains("29694 bytes in 7 blocks allocated from:\n    #0 ("),
            "{}",
            shown.stderr
        );
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    let file = scratch().join("no-recording");
    for text in
        ["", "{}", "[1, 2", "{\"format\":\"mallocop-recording\",\"version\":99}", "\u{0}\u{1}"]
    {
        fs::write(&file, text).expect("a file");
        let refused = report(&[], &[&file]);
        assert_eq!(refused.status, 125, "{text}");
        assert!(
            refused.stderr.contains("is no recording that can be read: "),
            "{}",
            refused.stderr
        );
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    }
    let missing = report(&[], &[Path::new("/nowhere")]);
    assert_eq!((missing.status, missing.stderr.lines().count()), (125, 1));
}

/// For a script that asks whether a recording has anything in it.
#[test]
fn the_status_of_a_report_is_the_one_that_was_asked_for() {
    let leaky = compile("leak.c", "leak.status", &[]);
    let wrong = compile("double_free.c", "double_free.status", &[]);
    for (program, status) in [(leaky, 7), (wrong, 7), (PathBuf::from("/bin/true"), 0)] {
        let (_, file) = record(&program, &[], "status.recording");
        assert_eq!(report(&["--exitcode=7"], &[&file]).status, status, "{}", program.display());
        assert_eq!(report(&[], &[&file]).status, 0, "{}", program.display());
    }
}
