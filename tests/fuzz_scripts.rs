//! The fuzz targets' bodies over seeded bytes, and how much of each thing they must have done.
//! Fewer in a debug build than `cargo fuzz` makes in a second, yet each kind of event many times.

use mallocop_fuzz::{
    TARGETS, arena_ops, checked_ops, heap_ops, heap_refused_pages, heap_smashed, play_seeded,
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
fn checked_ops_over_seeded_scripts() {
    play_seeded(checked_ops::body, 0xc4ec_0000, 30, LENGTH).demand(&[
        ("allocated", 2_000),
        ("freed", 1_000),
        ("freed by size", 200),
        ("resized", 200),
        ("sized", 200),
        ("looked", 500),
        ("trimmed", 500),
        ("overrun", 200),
        ("underrun", 200),
        ("written late", 100),
        ("freed twice", 200),
        ("freed inside", 200),
        ("freed wild", 500),
        ("told a wrong size", 200),
    ]);
}

#[test]
fn heap_ops_over_seeded_scripts() {
    play_seeded(heap_ops::body, 0x5eed_0000, 200, LENGTH).demand(&[
        ("allocated", 70_000),
        ("aligned", 15_000),
        ("mapped", 5_000),
        ("no memory", 3_000),
        ("released", 80_000),
        ("retired", 100),
        ("resized", 8_000),
        ("moved", 10),
        ("not resized", 6_000),
        ("capacity", 4_000),
        ("trimmed", 1_500),
        ("foreign", 4_000),
        ("tuned", 4_000),
        ("in batches", 200_000),
        ("put back", 200_000),
        ("discarded", 50_000),
        ("zero", 5_000),
        ("checks", 10_000),
    ]);
}

#[test]
fn heap_refused_pages_over_seeded_scripts() {
    play_seeded(heap_refused_pages::body, 0xf0_0000, 200, LENGTH).demand(&[
        ("refused", 5_000),
        ("allocated", 70_000),
        ("mapped", 2_500),
        ("released", 80_000),
        ("resized", 8_000),
        ("moved", 5),
        ("trimmed", 1_000),
        ("in batches", 200_000),
        ("put back", 200_000),
        ("discarded", 50_000),
        ("zero", 5_000),
        ("checks", 10_000),
    ]);
}

#[test]
fn heap_smashed_over_seeded_scripts() {
    play_seeded(heap_smashed::body, 0xbad_0000, 600, LENGTH).demand(&[
        ("smashes", 40_000),
        ("in batches", 50_000),
        ("discarded", 5_000),
        ("corrupt", 30_000),
        ("found broken", 8_000),
        ("found sound", 500),
        ("replayed", 2_000),
        ("forged", 300),
        ("allocated", 200_000),
        ("released", 50_000),
        ("resized", 6_000),
        ("capacity", 5_000),
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
