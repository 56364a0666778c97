//! libFuzzer's way into [`mallocop_fuzz::heap_smashed`].
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    match mallocop_fuzz::heap_smashed::body(data) {
        Ok(_) => Corpus::Keep,
        Err(_) => Corpus::Reject,
    }
});
