//! Which accesses are seen at the access, which later, and which are not: docs/detection.md, cell
//! by cell, with each way to make pages fault.

mod harness;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;

use harness::{compile, finish, scratch, watched};

/// When an access is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// At the instruction, or at the system call.
    AtOnce,
    /// When the block is freed, or at exit.
    Later,
    Never,
}

/// One access: to or from a block, at an offset from its start.
#[derive(Clone, Copy, Debug)]
struct Cell {
    writes: bool,
    at: isize,
    width: usize,
    is_freed: bool,
    size: usize,
    calls: bool,
    /// Which of its site's blocks: the first has its guard behind it, the second in front.
    number: usize,
}

const PAGE: isize = 4096;
/// Bytes of canary beside a guarded block.
const CANARY: isize = 128;
const SIZES: [usize; 6] = [1, 7, 16, 100, 4096, 1 << 20];

/// What docs/detection.md says of a guarded block. `opens`: slots fault until they are used.
fn expected(cell: Cell, opens: bool) -> Seen {
    let Cell { writes, at, width, is_freed, size, number, .. } = cell;
    let (first, end) = (at, at + width as isize);
    let meets = |from: isize, to: isize| first < to && end > from;
    let (size, reach) = (size as isize, size.next_multiple_of(16) as isize);
    // Blocks of more than 4096 bytes lie in slots of more pages than they have.
    let pages = [1, 511][usize::from(reach > PAGE)] * PAGE;
    let [start_of_slot, end_of_slot] =
        if number == 1 { [reach - pages, reach] } else { [0, pages] };
    if meets(start_of_slot - PAGE, start_of_slot) || meets(end_of_slot, end_of_slot + PAGE) {
        return Seen::AtOnce;
    }
    if is_freed && meets(start_of_slot, end_of_slot) {
        return Seen::AtOnce;
    }
    // Behind the guard lies a slot that was never used, or, of the largest, none yet.
    let is_far = number == 1 && end > end_of_slot + PAGE;
    if is_far && (opens || pages == 511 * PAGE) {
        return Seen::AtOnce;
    }
    // In front of the guard ends the first block's slot: its slack and canary.
    let first_block = -PAGE - reach;
    let is_in_first = writes && number == 2 && end <= -PAGE;
    if is_in_first && (meets(first_block - CANARY, first_block) || meets(first_block + size, -PAGE))
    {
        return Seen::Later;
    }
    let canaries = meets(-CANARY, 0) || meets(size, size + CANARY);
    let in_slot = first >= start_of_slot && end <= end_of_slot;
    if writes && in_slot && canaries && !is_freed { Seen::Later } else { Seen::Never }
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for size in SIZES {
        for (writes, is_freed, calls) in [false, true]
            .into_iter()
            .flat_map(|writes| [(writes, false), (writes, true)])
            .flat_map(|(writes, freed)| [(writes, freed, false), (writes, freed, true)])
        {
            for width in [1, 8, 64] {
                let cell = |at, number| Cell { writes, at, width, is_freed, size, calls, number };
                let (end, width) = (size as isize, width as isize);
                for distance in [0, 1, PAGE] {
                    cells.push(cell(end + distance, 1));
                    cells.push(cell(-width - distance, 2));
                }
                // Straddling either end.
                if width > 1 {
                    cells.push(cell(end - width / 2, 1));
                    cells.push(cell(-width / 2, 2));
                }
                // The sides that have no guard.
                cells.push(cell(-width, 1));
                cells.push(cell(end, 2));
                // Within it.
                if is_freed && width <= end {
                    cells.push(cell(0, 1));
                    cells.push(cell(end - width, 2));
                }
            }
        }
    }
    cells
}

/// Looks at every cell, in a process of its own each.
fn look(name: &str, flags: &[&str], cells: &[Cell]) -> Vec<Seen> {
    let program = compile("guard_grid.c", &format!("guard_grid_{name}"), &[]);
    let mut lines = String::new();
    for Cell { writes, at, width, is_freed, size, calls, number } in cells {
        let touches = if *writes { 'w' } else { 'r' };
        let life = if *is_freed { "freed" } else { "live" };
        let how = if *calls { "call" } else { "plain" };
        writeln!(lines, "{touches} {at} {width} {life} {size} {how} {number}").expect("a string");
    }
    let input = scratch().join(format!("guard_grid_{name}.txt"));
    fs::write(&input, lines).expect("a file");
    let flags = [&["--quiet", "--detect-leaks=0"], flags].concat();
    let ran = finish(watched(&flags, &program).arg(&input));
    let mut errors: HashMap<&str, &str> = HashMap::new();
    for line in ran.stderr.lines() {
        if let Some((pid, error)) =
            line.strip_prefix("==").and_then(|rest| rest.split_once("==ERROR: mallocop: "))
        {
            errors.entry(pid).or_insert(error);
        }
    }
    let children: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(children.len(), cells.len(), "{}", ran.stderr);
    let seen = |(cell, child): (&Cell, &&str)| {
        let (pid, ended) = child.split_once(' ').expect("two words");
        let seen = match errors.get(pid) {
            None => Seen::Never,
            Some(error) if error.contains("clobbered") || error.contains("was written to") => {
                Seen::Later
            }
            Some(error) => {
                assert!(error.contains("heap-"), "{cell:?}: {error}");
                let what = if cell.writes { ": write of " } else { ": read of " };
                assert!(error.contains(what), "{cell:?}: {error}");
                Seen::AtOnce
            }
        };
        let expected = if seen == Seen::Never { "0 0" } else { "-1 6" };
        assert!(ended == expected || seen == Seen::Later && ended == "0 0", "{cell:?}: {child}");
        seen
    };
    cells.iter().zip(&children).map(seen).collect()
}

fn demand(name: &str, flags: &[&str], opens: bool) {
    let cells = cells();
    let mut wrong = Vec::new();
    for (cell, seen) in cells.iter().zip(look(name, flags, &cells)) {
        let expected = expected(*cell, opens);
        if seen != expected {
            wrong.push(format!("{cell:?}: {seen:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{name}: {} of {}\n{}", wrong.len(), cells.len(), wrong.join("\n"));
}

#[test]
fn sampled_blocks() {
    demand("auto", &[], false);
}

#[test]
fn all_blocks() {
    demand("all", &["--guard=all"], false);
}

#[test]
fn by_userfaultfd() {
    demand("userfaultfd", &["--guard-backend=userfaultfd"], true);
}

#[test]
fn by_mprotect() {
    demand("mprotect", &["--guard-backend=mprotect"], true);
}

/// Without guards not a read is seen, and nothing at the access.
#[test]
fn without_guards() {
    // Beside a mapping of its own lies what the kernel has put there.
    let is_near =
        |cell: &Cell| cell.at > -PAGE && cell.at < cell.size as isize + PAGE && cell.size < 1 << 20;
    let cells: Vec<Cell> = cells().into_iter().filter(is_near).collect();
    for flags in [&["--guard=off"][..], &["--guard-backend=none"]] {
        for (cell, seen) in cells.iter().zip(look("off", flags, &cells)) {
            assert!(
                seen == Seen::Never || cell.writes && seen == Seen::Later,
                "{cell:?}: {seen:?}"
            );
        }
    }
}
