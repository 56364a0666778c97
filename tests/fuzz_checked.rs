//! The body of `checked_ops` over seeded bytes. In a process of its own: it has one checked heap.

use mallocop_fuzz::{checked_ops, play_seeded};

#[test]
fn checked_ops_over_seeded_scripts() {
    play_seeded(checked_ops::body, 0xc4ec_0000, 12, 2048).demand(&[
        ("allocated", 400),
        ("freed", 150),
        ("freed by size", 60),
        ("resized", 60),
        ("sized", 60),
        ("looked", 60),
        ("trimmed", 100),
        ("overrun", 60),
        ("underrun", 60),
        ("written late", 8),
        ("freed twice", 60),
        ("freed inside", 50),
        ("freed wild", 100),
        ("told a wrong size", 60),
        ("freed quickly", 60),
        ("moved quickly", 1),
        ("freed by the wrong call", 60),
        ("told a wrong layout", 2),
        ("in handlers", 60),
        ("on threads", 60),
        ("surveyed", 60),
        ("exempt", 60),
        ("moved in handlers", 20),
        ("met when evicted", 2),
        ("overrun far", 2),
        ("overrun late", 2),
        ("smashed", 20),
        ("asked wildly", 40),
        ("hooked", 40),
        ("counted", 40),
    ]);
}
