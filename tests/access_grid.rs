//! Where a write is seen: a grid of places, widths, sizes and values, each cell asserted, also what
//! is not seen.

mod harness;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;

use harness::{compile, finish, scratch, watched};

/// What a cell expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Overflow,
    Underflow,
    AfterFree,
    Nothing,
}

/// One write: its block's size, its place from the block's start, how many bytes of what value, and
/// what becomes of the block.
#[derive(Clone, Copy, Debug)]
struct Cell {
    size: usize,
    at: isize,
    width: usize,
    value: u8,
    then: &'static str,
}

/// Looks at every cell, in a process of its own each.
fn look(grid: &str, cells: &[Cell]) -> Vec<(Cell, Seen)> {
    let program = compile("access.c", &format!("access_{grid}"), &[]);
    let mut lines = String::new();
    for Cell { size, at, width, value, then } in cells {
        writeln!(lines, "{size} {at} {width} {value} {then}").expect("a string");
    }
    let input = scratch().join(format!("access_{grid}.txt"));
    fs::write(&input, lines).expect("a file");
    let flags = ["--quiet", "--detect-leaks=0", "--malloc-context-size=0"];
    let ran = finish(watched(&flags, &program).arg(&input));
    let mut errors: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in ran.stderr.lines() {
        if let Some((pid, error)) =
            line.strip_prefix("==").and_then(|rest| rest.split_once("==ERROR: mallocop: "))
        {
            errors.entry(pid).or_default().push(error);
        }
    }
    let children: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(children.len(), cells.len(), "{}", ran.stderr);
    let seen = |(cell, child): (&Cell, &&str)| {
        let (pid, ended) = child.split_once(' ').expect("two words");
        let errors = errors.get(pid).map_or(&[][..], Vec::as_slice);
        let seen = match errors {
            [] => Seen::Nothing,
            [first, ..] if first.contains("memory clobbered past end") => Seen::Overflow,
            [first, ..] if first.contains("memory clobbered before start") => Seen::Underflow,
            [first, ..] if first.contains("was written to after it was freed") => Seen::AfterFree,
            _ => panic!("{cell:?}: {errors:?}"),
        };
        // At free a heap error aborts; what is found at exit makes the run's status 23.
        let has_aborted = ended == "-1 6";
        assert!(has_aborted || ended == "0 0", "{cell:?}: {child}");
        assert!(!(has_aborted && seen == Seen::Nothing), "{cell:?}: {child}");
        (*cell, seen)
    };
    assert_eq!(ran.status, if errors.is_empty() { 0 } else { 23 }, "{grid}");
    cells.iter().zip(&children).map(seen).collect()
}

/// Sizes from 1 to 64 and larger ones; the last has a mapping of its own.
fn sizes() -> impl Iterator<Item = usize> {
    (1..=64).chain([100, 4096, 65536, 1 << 20])
}

/// Writes that begin within 16 bytes behind the block: all are seen, at free and at exit.
#[test]
fn every_write_within_16_bytes_behind_a_block_is_seen() {
    let mut cells = Vec::new();
    for size in sizes() {
        for (distance, width) in [(0, 1), (8, 1), (0, 8), (8, 8), (-1, 2), (-4, 8)] {
            let at = size as isize + distance;
            for (value, then) in [(0xff, "freed"), (b'A', "live"), (0, "freed")] {
                // A byte that has the value already does not change: zero in a chunk's word.
                if at >= 0 && !(value == 0 && distance == 8) {
                    cells.push(Cell { size, at, width, value, then });
                }
            }
        }
    }
    for (cell, seen) in look("behind", &cells) {
        assert_eq!(seen, Seen::Overflow, "{cell:?}");
    }
}

/// Those in front of it: within its head and canary, 16 bytes.
#[test]
fn every_write_within_16_bytes_in_front_of_a_block_is_seen() {
    let mut cells = Vec::new();
    for size in sizes() {
        for (at, width) in [(-1, 1), (-8, 1), (-8, 8), (-16, 8), (-4, 8), (-1, 2)] {
            for (value, then) in [(0xff, "freed"), (b'A', "live"), (0, "freed")] {
                cells.push(Cell { size, at, width, value, then });
            }
        }
    }
    let mut agreed = 0;
    for (cell, seen) in look("before", &cells) {
        // The byte there is part of a checksum: in one case of 256 it has the value already.
        if seen == Seen::Nothing && (cell.at, cell.width) == (-8, 1) {
            agreed += 1;
            continue;
        }
        // Before the front canary lies the head alone: that the block's size changed may read as
        // either.
        assert!([Seen::Underflow, Seen::Overflow].contains(&seen), "{cell:?}: {seen:?}");
    }
    assert!(agreed < 9, "{agreed} of 204");
}

/// Writes after free, while the block waits.
#[test]
fn every_write_after_free_within_the_budget_is_seen() {
    let mut cells = Vec::new();
    for size in sizes() {
        for at in [0, size / 2, size - 1] {
            for value in [0, 0xff, b'A'] {
                cells.push(Cell { size, at: at as isize, width: 1, value, then: "0" });
            }
        }
        // A hundred pairs of the size; what is beyond the budget has left, and is not seen.
        if size + 40 < (64 << 10) / 101 {
            let at = (size / 2) as isize;
            cells.push(Cell { size, at, width: 1, value: b'A', then: "100" });
        }
    }
    for (cell, seen) in look("late", &cells) {
        // A block with a mapping of its own was emptied: zeros in it are what is there.
        let is_unseen = cell.value == 0 && cell.size == 1 << 20;
        let expected = if is_unseen { Seen::Nothing } else { Seen::AfterFree };
        assert_eq!(seen, expected, "{cell:?}");
    }
}

/// What jumps over canary and neighbour's words is not seen: an index far outside. Nor is a write
/// to a block that has left the quarantine.
#[test]
fn what_jumps_over_the_canaries_is_not_seen() {
    let far =
        |size: usize| Cell { size, at: size as isize + 60, width: 1, value: b'A', then: "freed" };
    for (cell, seen) in look("far", &[far(100), far(1000)]) {
        assert_eq!(seen, Seen::Nothing, "{cell:?}");
    }
}
