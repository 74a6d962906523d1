//! libFuzzer's program for the target `esr`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bulkhead_fuzz::esr::run(data));
