//! libFuzzer's way into [`mallocop_fuzz::guard_ops`].
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    match mallocop_fuzz::guard_ops::body(data) {
        Ok(_) => Corpus::Keep,
        Err(_) => Corpus::Reject,
    }
});
