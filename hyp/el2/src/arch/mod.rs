//! The processor: system registers, caches, EL2's timer, a guest's EL1 context.

use core::arch::asm;

// First: `gic_registers` uses its macros.
#[macro_use]
pub mod registers;
pub mod cache;
pub mod crc32c;
pub mod el1_context;
#[cfg(not(feature = "gicv2"))]
pub mod gic_registers;
pub mod timer;

/// Waits for a watchdog: for states that the checks of the plan rule out, and where no other way is
/// left.
pub fn unreachable_state() -> ! {
    loop {
        aarch64_cpu::asm::wfe();
    }
}

/// True, which the compiler does not see through: a function that ends with it can be called last,
/// by one that needs no frame then.
#[inline(always)]
pub fn opaque_true() -> bool {
    let value: u8;
    // SAFETY: 1 is a `bool`.
    unsafe {
        asm!("mov {:w}, #1", out(reg) value, options(pure, nomem, nostack, preserves_flags));
        core::mem::transmute(value)
    }
}
