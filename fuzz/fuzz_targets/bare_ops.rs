//! libFuzzer's way into [`mallocop_fuzz::bare_ops`].
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    match mallocop_fuzz::bare_ops::body(data) {
        Ok(_) => Corpus::Keep,
        Err(_) => Corpus::Reject,
    }
});
