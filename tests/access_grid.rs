//! Where a write is seen: a grid of places, widths, sizes and values, each cell asserted, also what
//! is not seen.

mod harness;

use std::path::Path;

use harness::{compile, finish, watched};

/// What a cell expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Overflow,
    Underflow,
    AfterFree,
    Nothing,
}

/// Runs the victim for one cell.
fn look(program: &Path, size: usize, at: isize, width: usize, value: u8, then: &str) -> Seen {
    let flags = ["--quiet", "--detect-leaks=0", "--malloc-context-size=0"];
    let arguments = [size.to_string(), at.to_string(), width.to_string(), value.to_string()];
    let ran = finish(watched(&flags, program).args(&arguments).arg(then));
    let errors = ran.stderr.matches("==ERROR: mallocop: ").count();
    let says = |words: &str| ran.stderr.contains(words);
    let seen = if says("memory clobbered past end") {
        Seen::Overflow
    } else if says("memory clobbered before start") {
        Seen::Underflow
    } else if says("was written to after it was freed") {
        Seen::AfterFree
    } else {
        Seen::Nothing
    };
    let cell = format!("{size} bytes, {width} of {value:#x} at {at:+}, {then}: {}", ran.stderr);
    assert_eq!(errors == 0, seen == Seen::Nothing, "{cell}");
    assert!([0, 23, 134].contains(&ran.status), "{} {cell}", ran.status);
    assert_eq!(ran.status == 0, seen == Seen::Nothing, "{cell}");
    seen
}

/// Sizes from 1 to 64 and larger ones; the last has a mapping of its own. In CI some of them.
fn sizes() -> Vec<usize> {
    let small: Vec<usize> = match std::env::var_os("CI") {
        Some(_) => vec![1, 16, 24, 31],
        None => (1..=64).collect(),
    };
    small.into_iter().chain([100, 4096, 65536, 1 << 20]).collect()
}

/// Writes that begin within 16 bytes behind the block: all are seen, at free and at exit.
#[test]
fn every_write_within_16_bytes_behind_a_block_is_seen() {
    let program = compile("access.c", "access_behind", &[]);
    for size in sizes() {
        for (distance, width) in [(0, 1), (8, 1), (0, 8), (8, 8), (-1, 2), (-4, 8)] {
            let at = size as isize + distance;
            if at < 0 {
                continue;
            }
            for (value, then) in [(0xff, "freed"), (b'A', "live"), (0, "freed")] {
                // A byte that has the value already does not change: zero in a chunk's word.
                if value == 0 && distance == 8 {
                    continue;
                }
                let seen = look(&program, size, at, width, value, then);
                assert_eq!(seen, Seen::Overflow, "{size} bytes, {width} at {at:+}, {then}");
            }
        }
    }
}

/// Those in front of it: within its head and canary, 16 bytes.
#[test]
fn every_write_within_16_bytes_in_front_of_a_block_is_seen() {
    let program = compile("access.c", "access_before", &[]);
    for size in sizes() {
        for (at, width) in [(-1, 1), (-8, 1), (-8, 8), (-16, 8), (-4, 8), (-1, 2)] {
            for (value, then) in [(0xff, "freed"), (b'A', "live"), (0, "freed")] {
                let seen = look(&program, size, at, width, value, then);
                // Before the front canary lies the head alone: that the block's size changed may
                // read as either.
                let expected = [Seen::Underflow, Seen::Overflow];
                assert!(expected.contains(&seen), "{size} bytes, {width} at {at:+}: {seen:?}");
            }
        }
    }
}

/// Writes after free, while the block waits.
#[test]
fn every_write_after_free_within_the_budget_is_seen() {
    let program = compile("access.c", "access_late", &[]);
    for size in sizes() {
        for at in [0, size / 2, size - 1] {
            for value in [0, 0xff, b'A'] {
                let seen = look(&program, size, at as isize, 1, value, "0");
                assert_eq!(seen, Seen::AfterFree, "{size} bytes, {value:#x} at +{at}");
            }
        }
        // A hundred pairs of the size: what is beyond the budget has left, and is not seen.
        let budget = if size > 32 << 10 { 1 << 20 } else { 64 << 10 };
        let waits = size + 40 < budget / 101 || size >= 1 << 20;
        let seen = look(&program, size, (size / 2) as isize, 1, b'A', "100");
        if waits && size < 1 << 20 {
            assert_eq!(seen, Seen::AfterFree, "{size} bytes after 100 pairs");
        }
    }
}

/// What jumps over canary and neighbour's words is not seen: an index far outside.
#[test]
fn what_jumps_over_the_canaries_is_not_seen() {
    let program = compile("access.c", "access_far", &[]);
    for size in [100, 1000] {
        let behind = size as isize + 60;
        assert_eq!(look(&program, size, behind, 1, b'A', "freed"), Seen::Nothing, "{size}");
    }
}
