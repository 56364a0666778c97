//! The body of `bare_ops` over seeded bytes. In a process of its own: it has one heap, without
//! checks.

use mallocop_fuzz::{bare_ops, play_seeded};

#[test]
fn bare_ops_over_seeded_scripts() {
    play_seeded(bare_ops::body, 0xba5e_0000, 20, 2048).demand(&[
        ("allocated", 2_000),
        ("hooked", 100),
        ("freed", 1_000),
        ("freed quickly", 100),
        ("freed twice", 100),
        ("freed inside", 100),
        ("freed wild", 100),
        ("asked wildly", 100),
        ("resized", 300),
        ("sized", 100),
        ("surveyed", 100),
        ("counted", 100),
        ("in handlers", 100),
        ("on threads", 100),
        ("trimmed", 100),
    ]);
}
