//! A tiny program with one defect, and its corrected twin: exact text, functions of its stacks,
//! exit status, its own output complete. What is expected stands beside the program, in
//! NAME.expected.

use std::fs;
use std::process::Command;

use super::{Ran, compile, finish, scratch, skeleton, victims, watched};

fn expectation(ran: &Ran) -> String {
    // Thread and process numbers of others differ from run to run.
    // Values that our own code has left in registers depend on how the library was built.
    let is_register =
        |line: &&str| line.contains(" holds ADDRESS") || line.contains(" hold ADDRESS");
    let report = skeleton(&ran.stderr);
    let report: Vec<&str> = report.lines().filter(|line| !is_register(line)).collect();
    let report = report.join("\n");
    let report = match report.split_once("(tid ") {
        Some((before, after)) => {
            format!("{before}(tid N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => report,
    };
    // How many frames fit on a stack depends on the environment.
    let report = match report.split_once(" frames leave no room") {
        Some((before, after)) => {
            let before = before.trim_end_matches(|c: char| c.is_ascii_digit());
            format!("{before}N frames leave no room{after}")
        }
        None => report,
    };
    let scratch = scratch();
    let report = report.replace(scratch.to_str().expect("a path"), "SCRATCH");
    let sources = victims().canonicalize().expect("the sources");
    let report = report.replace(&format!("{}/", sources.display()), "");
    format!("status {}\n--- output\n{}--- report\n{report}\n", ran.status, ran.stdout)
}

/// Runs the victim and compares; then runs its twin with and without us.
pub(crate) fn check(source: &str, flags: &[&str]) {
    let name = source.split('.').next().expect("a name");
    let ran =
        finish(&mut watched(&[flags, &["--print-summary=0"]].concat(), compile(source, name, &[])));
    let path = victims().join(format!("{name}.expected"));
    let found = expectation(&ran);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &found).expect("a writable expectation");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{source}: in full:\n{}", ran.stderr);
    assert!(ran.stdout.starts_with(&format!("{name}: start\n")), "the victim did not run");
    check_twin(source, flags);
}

pub(crate) fn check_twin(source: &str, flags: &[&str]) {
    let name = source.split('.').next().expect("a name");
    let fixed = if source.ends_with(".rs") { "--cfg=FIXED" } else { "-DFIXED" };
    let twin = compile(source, &format!("{name}.fixed"), &[fixed]);
    let alone = finish(&mut Command::new(&twin));
    let ran = finish(&mut watched(flags, &twin));
    assert!(!ran.has_report(), "the twin of {source} is reported:\n{}", ran.stderr);
    // The result of mallocop_check is only printed where there is one.
    let own: String =
        ran.stdout.split_inclusive('\n').filter(|l| !l.starts_with("check: ")).collect();
    assert_eq!((ran.status, &own), (alone.status, &alone.stdout), "{}", ran.stderr);
    assert_eq!(ran.status, 0);
    assert!(ran.stdout.ends_with(&format!("{name}: end\n")), "{}", ran.stdout);
    assert!(ran.allocations() > 0, "the checker was not there:\n{}", ran.stderr);
}
