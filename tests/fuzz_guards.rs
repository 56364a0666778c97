//! The body of `guard_ops` over seeded bytes, with each way to make pages fault. In a process of
//! its own each: it has one heap.

use std::env;
use std::process::Command;

use mallocop_fuzz::{guard_ops, play_seeded};

/// The first that works, userfaultfd, mprotect, by the numbers of the option.
const BACKENDS: [&str; 3] = ["0", "2", "3"];
const VARIABLE: &str = "MALLOCOP_GUARD_BACKEND";

#[test]
fn guard_ops_over_seeded_scripts() {
    if env::var_os(VARIABLE).is_none() {
        for backend in BACKENDS {
            let mut again = Command::new(env::current_exe().expect("this program"));
            let ended = again.env(VARIABLE, backend).status().expect("it runs");
            assert!(ended.success(), "{VARIABLE}={backend}");
        }
        return;
    }
    play_seeded(guard_ops::body, 0x6a4d_0000, 6, 2048).demand(&[
        ("guarded", 300),
        ("unguarded", 20),
        ("freed", 150),
        ("resized", 60),
        ("spoiled", 60),
        ("opened", 60),
        ("held over fork", 60),
        ("looked", 60),
    ]);
}
