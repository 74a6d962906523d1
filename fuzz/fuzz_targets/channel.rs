//! libFuzzer's program for the target `channel`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bulkhead_fuzz::channel::run(data));
