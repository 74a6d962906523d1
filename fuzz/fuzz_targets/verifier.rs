//! libFuzzer's program for the target `verifier`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bulkhead_fuzz::verifier::run(data));
