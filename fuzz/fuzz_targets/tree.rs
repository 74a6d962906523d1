//! libFuzzer's program for the target `tree`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bulkhead_fuzz::tree::run(data));
