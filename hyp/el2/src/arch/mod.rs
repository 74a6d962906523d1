//! The processor: system registers, caches, EL2's timer, a guest's EL1 context.

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
