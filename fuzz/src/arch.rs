//! The functions of the processor that EL2's boot code uses.

#[path = "crc32c.rs"]
pub mod crc32c;
