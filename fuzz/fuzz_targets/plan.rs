//! libFuzzer's program for the target `plan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bulkhead_fuzz::plan::run(data));
