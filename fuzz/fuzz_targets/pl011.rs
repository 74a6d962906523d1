//! libFuzzer's program for the target `pl011`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bulkhead_fuzz::pl011::run(data));
