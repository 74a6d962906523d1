//! Device registers. Each access is one plain load or store, the only kind whose syndrome tells EL2
//! the address, size and register (DDI 0487, ESR_ELx.ISV). Compilers do not promise to emit it for
//! a volatile access.

use core::arch::asm;

macro_rules! access {
    ($read:ident, $write:ident, $type:ty, $ldr:literal, $str:literal, $register:literal) => {
        /// Reads the register at `address`.
        ///
        /// # Safety
        ///
        /// `address` is mapped as device memory, and reading it has no effect that breaks Rust's
        /// memory.
        pub unsafe fn $read(address: u64) -> $type {
            let value: $type;
            // SAFETY: the caller's promise; the access does not use memory of the program.
            unsafe {
                asm!(concat!($ldr, " {value", $register, "}, [{address}]"),
                    value = out(reg) value, address = in(reg) address,
                    options(nostack, preserves_flags));
            }
            value
        }

        /// Writes the register at `address`.
        ///
        /// # Safety
        ///
        /// `address` is mapped as device memory, and writing it has no effect that breaks Rust's
        /// memory.
        pub unsafe fn $write(address: u64, value: $type) {
            // SAFETY: the caller's promise; the access does not use memory of the program.
            unsafe {
                asm!(concat!($str, " {value", $register, "}, [{address}]"),
                    value = in(reg) value, address = in(reg) address,
                    options(nostack, preserves_flags));
            }
        }
    };
}

access!(read8, write8, u8, "ldrb", "strb", ":w");
access!(read16, write16, u16, "ldrh", "strh", ":w");
access!(read32, write32, u32, "ldr", "str", ":w");
access!(read64, write64, u64, "ldr", "str", ":x");
