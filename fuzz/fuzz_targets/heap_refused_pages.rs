//! libFuzzer's way into [`mallocop_fuzz::heap_refused_pages`].
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    match mallocop_fuzz::heap_refused_pages::body(data) {
        Ok(_) => Corpus::Keep,
        Err(_) => Corpus::Reject,
    }
});
