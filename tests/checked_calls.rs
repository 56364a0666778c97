//! `check_libc=1`: each call with one byte too many is reported, with the stack of its caller;
//! correct calls, and bounds that are not reached, are not.

mod harness;

use std::path::PathBuf;

use harness::{Ran, compile, finish, skeleton, watched};

/// Calls that write to a block of 24 bytes, and how many; 0 if that depends on the program's path.
const WRITES: [(&str, usize); 46] = [
    ("memcpy", 25),
    ("memmove", 25),
    ("mempcpy", 25),
    ("memset", 25),
    ("memccpy", 25),
    ("bcopy", 25),
    ("bzero", 25),
    ("explicit_bzero", 25),
    ("strcpy", 26),
    ("stpcpy", 26),
    ("strncpy", 25),
    ("stpncpy", 25),
    ("strcat", 22),
    ("strncat", 21),
    ("strxfrm", 26),
    ("wcscpy", 32),
    ("wcpcpy", 32),
    ("wcsncpy", 28),
    ("wcpncpy", 28),
    ("wcscat", 24),
    ("wcsncat", 20),
    ("wmemcpy", 28),
    ("wmempcpy", 28),
    ("wmemmove", 28),
    ("wmemset", 28),
    ("sprintf", 26),
    ("snprintf", 26),
    ("vsprintf", 26),
    ("vsnprintf", 26),
    ("swprintf", 32),
    ("read", 25),
    ("pread", 25),
    ("readv", 25),
    ("preadv", 25),
    ("recv", 25),
    ("recvfrom", 25),
    ("recvmsg", 25),
    ("fread", 25),
    ("fgets", 25),
    ("getline", 26),
    ("getdelim", 26),
    ("getcwd", 11),
    ("readlink", 0),
    ("getrandom", 25),
    ("qsort", 25),
    ("qsort_r", 25),
];

/// Calls that read a block of 24 bytes, and how many.
const READS: [(&str, usize); 45] = [
    ("memcpy_from", 25),
    ("memchr", 25),
    ("memrchr", 25),
    ("rawmemchr", 25),
    ("memmem", 25),
    ("memcmp", 25),
    ("bcmp", 25),
    ("strlen", 25),
    ("strnlen", 25),
    ("strcpy_from", 25),
    ("strchr", 25),
    ("strchrnul", 25),
    ("strrchr", 25),
    ("strstr", 25),
    ("strcasestr", 25),
    ("strspn", 25),
    ("strcspn", 25),
    ("strpbrk", 25),
    ("strdup", 25),
    ("strndup", 25),
    ("strcoll", 25),
    ("strcmp", 25),
    ("strncmp", 25),
    ("strcasecmp", 25),
    ("strncasecmp", 25),
    ("wcslen", 28),
    ("wcsnlen", 28),
    ("wcscmp", 28),
    ("wcsncmp", 28),
    ("wcschr", 28),
    ("wcsrchr", 28),
    ("wcsdup", 28),
    ("wmemcmp", 28),
    ("wmemchr", 28),
    ("write", 25),
    ("pwrite", 25),
    ("writev", 25),
    ("pwritev", 25),
    ("send", 25),
    ("sendto", 25),
    ("sendmsg", 25),
    ("fwrite", 25),
    ("fputs", 25),
    ("puts", 25),
    ("bsearch", 25),
];

/// Other errors, and their messages.
const OTHERS: [(&str, &str); 5] = [
    (
        "in_front",
        "heap-buffer-overflow: read of 4 bytes at ADDRESS, 1 byte before a 24-byte block, by \
         memcpy()",
    ),
    (
        "freed",
        "heap-use-after-free: write of 1 byte at ADDRESS, 0 bytes inside a freed 24-byte block, by \
         memset()",
    ),
    (
        "behind",
        "heap-buffer-overflow: write of 1 byte at ADDRESS, 1 byte after a 24-byte block, by \
         memset()",
    ),
    ("overlap", "memcpy-param-overlap: memcpy() of 8 bytes from ADDRESS to ADDRESS, which overlap"),
    (
        "text_overlap",
        "strcpy-param-overlap: strcpy() of 9 bytes from ADDRESS to ADDRESS, which overlap",
    ),
];

fn victim(is_fixed: bool) -> PathBuf {
    match is_fixed {
        false => compile("checked_calls.c", "checked_calls", &["-fno-builtin"]),
        true => compile("checked_calls.c", "checked_calls.fixed", &["-fno-builtin", "-DFIXED"]),
    }
}

fn run(call: Option<&str>, is_fixed: bool, flags: &[&str]) -> Ran {
    let flags = [&["--quiet", "--detect-leaks=0"], flags].concat();
    finish(watched(&flags, victim(is_fixed)).args(call))
}

/// The message of a report, and the innermost function of its first stack.
fn told(ran: &Ran) -> (String, String) {
    let text = skeleton(&ran.stderr);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or("").trim_start_matches("ERROR: mallocop: ").to_owned();
    let stack = lines.next().and_then(|line| line.split_once(" here: ")).unwrap_or_default().1;
    (first, stack.split(' ').next().unwrap_or("").to_owned())
}

/// The name of a call in the report.
fn name(call: &str) -> &str {
    match call {
        "vsprintf" | "vsnprintf" => call.trim_start_matches('v'),
        "qsort_r" => "qsort",
        _ => call.trim_end_matches("_from"),
    }
}

/// Without guards, so that only the checks can report.
const FLAGS: [&str; 2] = ["--check-libc=1", "--guard=off"];

#[test]
fn writes_of_one_byte_too_many_are_reported() {
    assert_reports("write", &WRITES);
}

#[test]
fn reads_of_one_byte_too_many_are_reported() {
    assert_reports("read", &READS);
}

fn assert_reports(access: &str, calls: &[(&str, usize)]) {
    for &(call, bytes) in calls {
        let ran = run(Some(call), false, &FLAGS);
        let (first, function) = told(&ran);
        let size = match call {
            "getcwd" => 10,
            "readlink" => 4,
            _ => 24,
        };
        let start = format!("heap-buffer-overflow: {access} of ");
        let end = format!("ADDRESS, 0 bytes after a {size}-byte block, by {}()", name(call));
        assert!(first.starts_with(&start) && first.ends_with(&end), "{call}: {}", ran.stderr);
        let is_known = bytes == 0 || first.contains(&format!(" of {bytes} bytes at "));
        assert!(is_known, "{call}: {}", ran.stderr);
        let caller = match call {
            "vsprintf" => "print_without_bound".to_owned(),
            "vsnprintf" => "print_list".to_owned(),
            _ => format!("{call}_case"),
        };
        assert_eq!((function, ran.status), (caller, 134), "{call}: {}", ran.stderr);
    }
}

#[test]
fn other_errors_are_reported() {
    for (call, text) in OTHERS {
        let ran = run(Some(call), false, &FLAGS);
        let (first, function) = told(&ran);
        assert_eq!((first.as_str(), ran.status), (text, 134), "{call}: {}", ran.stderr);
        assert_eq!(function, format!("{call}_case"), "{call}: {}", ran.stderr);
    }
}

/// All calls in one process; output and status are as without checks.
#[test]
fn corrected_calls_are_silent() {
    for flags in [&["--check-libc=1"][..], &FLAGS, &["--check-libc=1", "--guard=all"]] {
        let ran = run(None, true, flags);
        assert_eq!((ran.status, ran.has_report()), (0, false), "{flags:?}: {}", ran.stderr);
        assert_eq!(ran.stderr, "end\n", "{flags:?}");
    }
}

/// A guard stops snprintf inside libc: the checking function is in no stack, as text or as JSON.
#[test]
fn the_checking_functions_are_in_no_stack() {
    let file = harness::scratch().join("snprintf.json");
    let json = format!("--json={}", file.display());
    let ran = run(Some("snprintf"), false, &["--check-libc=1", "--guard=all", &json]);
    let report = std::fs::read_to_string(&file).expect("a report");
    assert_eq!(ran.status, 134, "{}", ran.stderr);
    assert!(ran.stderr.contains("snprintf_case"), "{}", ran.stderr);
    for text in [&ran.stderr, &report] {
        assert!(!text.contains("libmallocop_checked.so"), "{text}");
    }
}

/// Without the option nothing is checked.
#[test]
fn nothing_is_checked_by_default() {
    for call in ["memcpy_from", "strlen", "memcmp"] {
        let ran = run(Some(call), false, &["--guard=off"]);
        assert_eq!((ran.status, ran.has_report()), (0, false), "{call}: {}", ran.stderr);
    }
}
