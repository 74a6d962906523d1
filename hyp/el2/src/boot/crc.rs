//! CRC32C with the core's own instructions: every Armv8.0 core Bulkhead admits has them (`ID_AA64ISAR0_EL1.CRC32`).

use core::arch::asm;

#[inline(always)]
fn step(crc: u32, value: u64) -> u32 {
    let next;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(".arch_extension crc", "crc32cx {0:w}, {1:w}, {2}", out(reg) next, in(reg) crc, in(reg) value,
            options(pure, nomem, nostack, preserves_flags));
    }
    next
}

/// CRC32C (Castagnoli) of `bytes`, whose length is a multiple of eight, as a plan's is; bytes behind that do not count.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0;
    let (blocks, rest) = bytes.as_chunks::<64>();
    for block in blocks {
        for word in block.as_chunks::<8>().0 {
            crc = step(crc, u64::from_le_bytes(*word));
        }
    }
    for word in rest.as_chunks::<8>().0 {
        crc = step(crc, u64::from_le_bytes(*word));
    }
    !crc
}
