//! CRC32C with the core's own instructions: every Armv8.0 core Bulkhead admits has them
//! (`ID_AA64ISAR0_EL1.CRC32`).

use core::arch::asm;

/// Returns the CRC32C (Castagnoli) of `bytes`, whose length is a multiple of eight, as a plan's is;
/// bytes after the last multiple are ignored.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc: u32 = !0;
    let (blocks, rest) = bytes.as_chunks::<256>();
    for block in blocks {
        // SAFETY: reads the block's 256 bytes. This is in assembly because compiled code would take
        // most of boot's time.
        unsafe {
            asm!(
                ".arch_extension crc",
                ".rept 16",
                "ldp {a}, {b}, [{block}], #16",
                "crc32cx {crc:w}, {crc:w}, {a}",
                "crc32cx {crc:w}, {crc:w}, {b}",
                ".endr",
                crc = inout(reg) crc, block = inout(reg) block => _, a = out(reg) _, b = out(reg) _,
                options(pure, readonly, nostack, preserves_flags)
            );
        }
    }
    for word in rest.as_chunks::<8>().0 {
        // SAFETY: arithmetic on registers.
        unsafe {
            asm!(".arch_extension crc", "crc32cx {0:w}, {0:w}, {1}", inout(reg) crc,
                in(reg) u64::from_le_bytes(*word),
                options(pure, nomem, nostack, preserves_flags));
        }
    }
    !crc
}
