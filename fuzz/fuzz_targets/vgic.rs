//! libFuzzer's program for the target `vgic`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bulkhead_fuzz::vgic::run(data));
