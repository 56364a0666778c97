//! 1000 allocations for each input.
#![no_main]

include!("list.rs");

libfuzzer_sys::fuzz_target!(|data: &[u8]| work(data, 1000));
