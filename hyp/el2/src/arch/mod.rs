//! The processor: system registers, caches, EL2's timer, a guest's EL1 context.

use core::arch::asm;

// `registers` comes first, since `gic_registers` uses its macros.
#[macro_use]
pub mod registers;
pub mod cache;
pub mod crc32c;
pub mod el1_context;
#[cfg(not(feature = "gicv2"))]
pub mod gic_registers;
pub mod timer;

/// Waits for a watchdog. It is called in states that the checks of the plan rule out, and where EL2
/// can do nothing else.
pub fn unreachable_state() -> ! {
    loop {
        aarch64_cpu::asm::wfe();
    }
}

/// Returns true, but the compiler does not know that. A function that ends with it can be the tail
/// call of another, which then needs no frame.
#[inline(always)]
pub fn opaque_true() -> bool {
    let value: u32;
    // SAFETY: this only writes a register.
    unsafe {
        asm!("mov {:w}, #1", out(reg) value, options(pure, nomem, nostack, preserves_flags));
    }
    value & 1 != 0
}
