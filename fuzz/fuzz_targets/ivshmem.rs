//! libFuzzer's program for the target `ivshmem`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bulkhead_fuzz::ivshmem::run(data));
