//! The heap's shape as design.md's table has it, seen from outside: system calls between two
//! markers, /proc/self/statm, sbrk(0). Checks off, but for the row on physical memory, which holds
//! with all checks on, too.

mod harness;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use harness::{Ran, compile, finish, watched};

const BARE: &[&str] = &["--checks=none", "--malloc-context-size=0"];
const PAGE: i64 = 4096;

fn program() -> PathBuf {
    compile("heap_shape.c", "heap_shape", &[])
}

fn run(flags: &[&str], mode: &str) -> Ran {
    finish(watched(&[flags, &["--detect-leaks=0"]].concat(), program()).arg(mode))
}

/// The `key value` lines of a mode that must end well.
fn values(flags: &[&str], mode: &str) -> HashMap<String, i64> {
    let ran = run(flags, mode);
    assert_eq!(ran.status, 0, "{mode}: {}{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("==ERROR"), "{}", ran.stderr);
    let pairs = ran.stdout.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
}

/// System calls that the watched program makes between its two markers.
fn calls_between_markers(mode: &str) -> Vec<String> {
    let trace = harness::scratch().join(format!("{mode}.strace"));
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(&trace).arg(harness::MALLOCOP).arg("run").args(BARE).arg("--");
    let ran = finish(command.arg(program()).arg(mode));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let text = std::fs::read_to_string(&trace).expect("a trace");
    // Lines start with the process id; the markers' writer is the program.
    let writer =
        text.lines().find(|line| line.contains("write(1, \"M1")).expect("the first marker");
    let process = writer.split(' ').next().expect("a process id").to_owned();
    text.lines()
        .filter(|line| line.starts_with(&process))
        .skip_while(|line| !line.contains("write(1, \"M1"))
        .skip(1)
        .take_while(|line| !line.contains("write(1, \"M2"))
        .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn small_requests_come_from_brk() {
    let calls = calls_between_markers("small");
    assert!(!calls.iter().any(|call| call.starts_with("mmap")), "{calls:?}");
}

#[test]
fn large_requests_come_from_one_mapping_far_away() {
    let maps: Vec<_> = calls_between_markers("large")
        .into_iter()
        .filter(|call| call.starts_with("mmap"))
        .collect();
    // A mapping of the block; one more may be the shadow's leaf for its address.
    let of_block: Vec<_> = maps.iter().filter(|call| call.contains("NULL, 266240,")).collect();
    assert_eq!(of_block.len(), 1, "{maps:?}");
    assert_eq!(values(BARE, "large")["far"], 1);
}

#[test]
fn the_threshold_is_tunable() {
    let flags = [BARE, &["--mmap-threshold=1048576"]].concat();
    assert_eq!(values(&flags, "large")["far"], 0, "a block below the threshold is mapped");
    let flags = [BARE, &["--mmap-threshold=65536"]].concat();
    assert_eq!(values(&flags, "large")["far"], 1);
}

#[test]
fn memory_arrives_in_pages() {
    let calls = calls_between_markers("many");
    assert!(calls.len() < 100, "{} calls for 100 000 blocks", calls.len());
}

#[test]
fn a_chunk_head_keeps_the_size() {
    assert!(values(BARE, "usable")["usable"] >= 1000);
    assert_eq!(values(&[], "usable")["usable"], 1000);
}

#[test]
fn malloc_of_nothing_is_a_chunk() {
    let distance = values(BARE, "zero")["distance"];
    assert!(distance > 0 && distance <= 32, "{distance}");
}

#[test]
fn free_chunks_coalesce_and_are_reused() {
    assert_eq!(values(BARE, "coalesce_large")["same"], 1);
    assert_eq!(values(BARE, "coalesce_small")["grew"], 0);
}

#[test]
fn mapped_chunks_go_back() {
    let pages = values(BARE, "mapped_back");
    assert!(pages["mapped"] - pages["before"] >= 1024, "{pages:?}");
    // the shadow's leaf for the mapping stays: 65 pages of address space, or one more table.
    assert!(pages["after"] - pages["before"] < 128, "{pages:?}");
}

#[test]
fn the_top_goes_back() {
    let top = values(BARE, "top_back");
    assert!(top["full"] >= 10_000 * 1000, "{top:?}");
    assert!(top["back"] - top["start"] <= 256 << 10, "{top:?}");
}

#[test]
fn a_hole_stays_and_is_reused() {
    let hole = values(BARE, "hole");
    assert!(hole["kept"] >= 10_000 * 1000, "{hole:?}");
    assert_eq!(hole["grew"], 0, "{hole:?}");
}

#[test]
fn physical_memory_comes_at_first_touch() {
    for flags in [BARE, &[]] {
        let pages = values(flags, "physical");
        let grew = |from: &str, to: &str| pages[to] - pages[from];
        let few = 80;
        if flags == BARE {
            let mapped = grew("before_size", "malloc_size");
            assert!((1024..1024 + 512).contains(&mapped), "{pages:?}");
            assert!(grew("before_size", "free_size") < 512, "{pages:?}");
        }
        assert!(grew("before_resident", "malloc_resident") < few, "{flags:?} {pages:?}");
        let touched = grew("malloc_resident", "memset_resident");
        assert!((1024 - few..1024 + few).contains(&touched), "{flags:?} {pages:?}");
        assert!(grew("before_resident", "free_resident") < few, "{flags:?} {pages:?}");
    }
    assert_eq!((4 << 20) / PAGE, 1024);
}

/// Does the kernel have huge pages for who asks?
fn has_huge_pages() -> bool {
    let enabled = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    enabled.is_ok_and(|modes| !modes.contains("[never]"))
}

#[test]
fn a_large_heap_asks_for_huge_pages_and_gives_them_back() {
    for flags in [BARE, &[]] {
        let pages = values(flags, "huge");
        if has_huge_pages() {
            // KiB: of 40 MB all but the first 16 MiB.
            assert!((20 << 10..64 << 10).contains(&pages["asked"]), "{flags:?} {pages:?}");
            // Where parts went back, the kernel is not to put huge pages together again.
            assert!(pages["asked_still"] < 8 << 10, "{flags:?} {pages:?}");
        }
        // Pages: a large block of which little is used brings no more than that.
        assert!(pages["sparse"] < 700, "{flags:?} {pages:?}");
        assert!(pages["full"] > 9500, "{flags:?} {pages:?}");
        // the shadow's words stay.
        let share = if flags == BARE { 4 } else { 2 };
        assert!(pages["back"] < pages["full"] / share, "{flags:?} {pages:?}");
    }
    let none = values(&[BARE, &["--huge-pages=0"]].concat(), "huge");
    assert_eq!(none["asked"], 0, "{none:?}");
}

#[test]
fn realloc_and_calloc_keep_their_contract() {
    for flags in [BARE, &[]] {
        let api = values(flags, "api");
        assert!(api.len() >= 5 && api.values().all(|&held| held == 1), "{api:?}");
    }
}

#[test]
fn realloc_moves_where_it_is_told_to() {
    for (moves, stays) in [("small", 0), ("all", 0), ("none", 1)] {
        for checks in [BARE, &["--guard=off"], &["--guard=all"]] {
            let flag = format!("--realloc-moves={moves}");
            let shrunk = values(&[checks, &[&flag]].concat(), "shrink");
            assert_eq!((shrunk["stays"], shrunk["kept"]), (stays, 1), "{flag} {checks:?}");
        }
    }
}

#[test]
fn a_pointer_that_malloc_did_not_give_is_named() {
    let ran = run(BARE, "invalid");
    assert_eq!(ran.status, 134, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("==ERROR: mallocop: free(): invalid pointer: 0x"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("is the global "), "{}", ran.stderr);
}
