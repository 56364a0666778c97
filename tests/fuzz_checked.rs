//! The target of the checked heap over seeded bytes, in a process of its own: there is one such heap in
//! each.

use mallocop_fuzz::{checked_ops, play_seeded};

#[test]
fn checked_ops_over_seeded_scripts() {
    play_seeded(checked_ops::body, 0xc4ec_0000, 40, 4096).demand(&[
        ("allocated", 8_000),
        ("mapped", 150),
        ("freed", 8_000),
        ("resized", 1_500),
        ("trimmed", 150),
        ("checked", 250),
        ("damaged", 300),
        ("written late", 700),
        ("freed again", 600),
        ("freed inside", 100),
        ("freed wild", 500),
        ("wrong call", 300),
    ]);
}
