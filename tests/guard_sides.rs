//! Errors that `guard=all` finds with guards after the block, before it, on freed blocks, and
//! to the byte.

mod harness;

use harness::{Ran, compile, finish, watched};

fn run(word: &str, options: &[&str]) -> Ran {
    let program = compile("guard_sides.c", "guard_sides", &[]);
    let flags = [&["--quiet", "--detect-leaks=0", "--guard=all"], options].concat();
    finish(watched(&flags, program).arg(word))
}

/// Options, and the read that they find.
const CASES: [(&[&str], &str, &str); 4] = [
    (&["--guard-side=after", "--guard-align=1"], "behind", "0 bytes after a 13-byte block"),
    (&["--guard-side=before"], "front", "1 byte before a 13-byte block"),
    (&["--guard-freed=all"], "freed", "5 bytes inside a freed 13-byte block"),
    (&["--guard-side=before", "--guard-freed=all"], "front", "1 byte before a 13-byte block"),
];

#[test]
fn each_side_has_its_option() {
    for (options, word, place) in CASES {
        let ran = run(word, options);
        let start = ": read of 1 byte at 0x";
        let is_told = ran.stderr.contains(start) && ran.stderr.contains(place);
        assert!(ran.status == 134 && is_told, "{options:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("guard_sides.c:"), "{options:?}: {}", ran.stderr);
    }
}

#[test]
fn correct_blocks_are_silent() {
    for (options, ..) in CASES {
        let ran = run("", options);
        let said = (ran.status, ran.stdout.as_str(), ran.has_report());
        assert_eq!(said, (0, "end\n", false), "{options:?}: {}", ran.stderr);
    }
}

/// Reads of the slack and on the other side are not found.
#[test]
fn errors_on_the_other_side_are_not_found() {
    let cases: [(&[&str], &str); 4] = [
        (&["--guard-side=after"], "behind"),
        (&["--guard-side=after", "--guard-align=1"], "front"),
        (&["--guard-side=before"], "behind"),
        (&["--guard-side=after", "--guard-align=4"], "behind"),
    ];
    for (options, word) in cases {
        let ran = run(word, options);
        assert_eq!((ran.status, ran.has_report()), (0, false), "{options:?}: {}", ran.stderr);
    }
}
