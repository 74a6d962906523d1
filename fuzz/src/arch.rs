//! The processor, as far as EL2's boot code asks for it.

#[path = "crc32c.rs"]
pub mod crc32c;
