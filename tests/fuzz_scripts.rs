//! The fuzz targets' bodies over seeded bytes, and how much of each thing they must have done.
//! Fewer in a debug build than `cargo fuzz` makes in a second, yet each kind of event many times.

use mallocop_fuzz::{
    TARGETS, arena_ops, heap_ops, heap_refused_pages, heap_smashed, options, play_seeded,
    record_ops, recording, suppressions, unwind_rules,
};

/// Bytes of an input: as long as libFuzzer's longest.
const LENGTH: usize = 4096;

#[test]
fn arena_ops_over_seeded_scripts() {
    play_seeded(arena_ops::body, 0xa2e_0000, 100, LENGTH).demand(&[
        ("allocated", 50_000),
        ("allocated large", 1_000),
        ("released own", 10_000),
        ("released foreign", 10_000),
        ("started", 1_000),
        ("ended", 1_000),
        ("forked", 1_000),
        ("emptied", 1_000),
        ("trimmed", 1_000),
        ("no memory", 5),
        ("checks", 1_000),
    ]);
}

#[test]
fn heap_ops_over_seeded_scripts() {
    play_seeded(heap_ops::body, 0x5eed_0000, 80, LENGTH).demand(&[
        ("allocated", 24_500),
        ("aligned", 5_250),
        ("mapped", 1_750),
        ("no memory", 1_050),
        ("released", 28_000),
        ("retired", 35),
        ("resized", 2_800),
        ("moved", 3),
        ("not resized", 2_100),
        ("capacity", 1_400),
        ("trimmed", 525),
        ("foreign", 1_400),
        ("tuned", 1_400),
        ("in batches", 70_000),
        ("put back", 52_500),
        ("put back sorted", 35_000),
        ("joined before", 7_000),
        ("discarded", 17_500),
        ("zero", 1_750),
        ("checks", 3_500),
    ]);
}

#[test]
fn heap_refused_pages_over_seeded_scripts() {
    play_seeded(heap_refused_pages::body, 0xf0_0000, 80, LENGTH).demand(&[
        ("refused", 1_750),
        ("allocated", 24_500),
        ("mapped", 875),
        ("released", 28_000),
        ("resized", 2_800),
        ("moved", 1),
        ("trimmed", 350),
        ("in batches", 70_000),
        ("put back", 52_500),
        ("put back sorted", 35_000),
        ("joined before", 7_000),
        ("discarded", 17_500),
        ("zero", 1_750),
        ("checks", 3_500),
    ]);
}

#[test]
fn heap_smashed_over_seeded_scripts() {
    play_seeded(heap_smashed::body, 0xbad_0000, 300, LENGTH).demand(&[
        ("smashes", 18_000),
        ("in batches", 22_500),
        ("discarded", 2_250),
        ("put back sorted", 18_000),
        ("corrupt", 13_500),
        ("found broken", 3_600),
        ("found sound", 225),
        ("replayed", 900),
        ("forged", 135),
        ("allocated", 90_000),
        ("released", 22_500),
        ("resized", 2_700),
        ("capacity", 2_250),
    ]);
}

#[test]
fn suppressions_over_seeded_scripts() {
    play_seeded(suppressions::body, 0x1ea_0000, 2000, LENGTH).demand(&[
        ("malformed", 1_000),
        ("matched", 1_000),
        ("not matched", 1_000),
        ("held against the model", 1_000),
    ]);
}

#[test]
fn unwind_rules_over_seeded_scripts() {
    play_seeded(unwind_rules::body, 0x0c_f1, 4000, LENGTH).demand(&[
        ("rules", 4_000),
        ("walks", 25_000),
        ("frames", 100_000),
        ("guessed", 30_000),
        ("signals", 12_000),
        ("lost", 8_000),
        ("whole", 16_000),
        ("taken over", 12_000),
    ]);
}

#[test]
fn recording_over_seeded_scripts() {
    play_seeded(recording::body, 0x7ec0, 600, LENGTH).demand(&[
        ("processes", 1_000),
        ("entries", 6_000),
        ("findings", 1_000),
        ("modules", 500),
        ("outcomes", 500),
        ("stacks", 1_000),
        ("frames", 2_000),
        ("sites in use", 1_500),
        ("refused", 1),
    ]);
}

#[test]
fn record_ops_over_seeded_scripts() {
    play_seeded(record_ops::body, 0x3ec0_4d00, 30, 1024).demand(&[
        ("counted in", 200),
        ("appended", 1_500),
        ("appended together", 800),
        ("claimed", 4_000),
        ("private", 100),
        ("stacks", 100),
        ("counts", 100),
        ("ended", 150),
        ("ended as its own", 150),
        ("forked", 100),
        ("lost", 20),
        ("read", 200),
    ]);
}

#[test]
fn bytes_that_make_no_script_are_rejected() {
    for target in TARGETS {
        assert!((target.body)(&[]).is_err(), "{} accepts nothing at all", target.name);
    }
}

/// The glue and the metadata of cargo-fuzz name the same targets as the library.
#[test]
fn each_target_has_its_file_and_entry() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    let files = std::fs::read_dir(root.join("fuzz_targets")).expect("a folder").count();
    assert_eq!(files, TARGETS.len());
    for target in TARGETS {
        let path = format!("fuzz_targets/{}.rs", target.name);
        assert!(root.join(&path).is_file(), "{path}");
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path}");
    }
}

#[test]
fn options_over_seeded_scripts() {
    play_seeded(options::body, 0x0b_7105, 2000, LENGTH).demand(&[
        ("taken", 2_500),
        ("rejected", 2_000),
        ("quoted", 100),
    ]);
}
