//! Configuration space (PCI Local Bus Specification 3.0, 6.1 and 6.2; ivshmem, "Configuration Space
//! Registers").
//!
//! The places of the BARs are fixed, as the device tree's `linux,pci-probe-only` says. A write of
//! all ones to a BAR is answered by its size, and any other write by its address again. The
//! function answers at its BARs whatever Command says.

use core::sync::atomic::Ordering::Acquire;

use crate::{Function, TABLE_SIZE, action, control, deliver, low};

/// Offset of Vendor ID; Device ID follows.
pub const VENDOR: u64 = 0x00;
/// Offset of Command.
pub const COMMAND: u64 = 0x04;
/// Offset of Status.
pub const STATUS: u64 = 0x06;
/// Offset of Revision ID; the class code follows.
pub const REVISION: u64 = 0x08;
/// Offset of BAR0: the registers.
pub const BAR0: u64 = 0x10;
/// Offset of BAR2: the shared memory, lower half.
pub const BAR2: u64 = 0x18;
/// Offset of BAR3, the upper half of BAR2.
pub const BAR3: u64 = 0x1c;
/// Offset of Subsystem Vendor ID; Subsystem ID follows.
pub const SUBSYSTEM: u64 = 0x2c;
/// Offset of the pointer to the first capability.
pub const CAPABILITIES: u64 = 0x34;
/// Offset of Interrupt Line; Interrupt Pin follows.
pub const INTERRUPT: u64 = 0x3c;
/// Offset of the vendor-specific capability; Privileged Control is its last byte.
pub const CAPABILITY: u64 = 0x40;
/// Offset of Privileged Control.
pub const PRIVILEGED: u64 = CAPABILITY + 3;
/// Offset of State Table Size.
pub const STATE_TABLE_SIZE: u64 = CAPABILITY + 4;
/// Offset of Output Section Size, 64 bits.
pub const OUTPUT_SECTION_SIZE: u64 = CAPABILITY + 0x10;

/// Bits of Command.
pub mod command {
    /// Memory Space.
    pub const MEMORY: u64 = crate::control::MEMORY as u64;
    /// Bus Master.
    pub const MASTER: u64 = crate::control::MASTER as u64;
    /// INTx Disable.
    pub const INTX_DISABLE: u64 = crate::control::INTX_DISABLE as u64;
}

/// Bits of Status.
pub mod status {
    /// Interrupt Status.
    pub const INTERRUPT: u64 = (crate::control::STATUS >> 16) as u64;
    /// Capabilities List: always set.
    pub const CAPABILITIES: u64 = 1 << 4;
}

/// Vendor and device.
const ID: u32 = 0x4106_110a;
/// Subsystem vendor and subsystem: "BH" for this provider.
const SUBSYSTEM_ID: u32 = 0x4248_110a;
/// Base class 0xff, protocol type 0 (undefined), revision 0.
const CLASS: u32 = 0xff00_0000;
/// Pin A in Interrupt Pin.
const PIN_A: u32 = 1 << 8;
/// ID 9 (vendor-specific), no next capability, length 0x18 (without a base address).
const CAPABILITY_HEADER: u32 = 0x0018_0009;
/// BAR2's type: memory, 64 bits, prefetchable.
const PREFETCHABLE_64: u32 = 0b1100;
/// Bits of a BAR of 4 KiB that can be changed.
const PAGE_BITS: u32 = 0xffff_f000;
/// Command's writable bits.
const WRITABLE: u32 = control::MEMORY | control::MASTER | control::INTX_DISABLE;
/// Command's and Status's bits in the control word.
const COMMAND_AND_STATUS: u32 = WRITABLE | control::STATUS;
/// Bit of Privileged Control in its doubleword.
const ONE_SHOT: u32 = 1 << 24;

impl Function<'_> {
    /// Returns the `size` bytes at `offset` of configuration space. Accesses of other sizes than 1,
    /// 2 and 4, and misaligned ones, read as all ones.
    pub fn read_config(&self, offset: u64, size: u64) -> u64 {
        if !matches!(size, 1 | 2 | 4) || !offset.is_multiple_of(size) {
            return absent(size);
        }
        low(u64::from(self.doubleword(offset & !3)) >> (8 * (offset & 3)), size)
    }

    /// Writes the `size` low bytes of `value` at `offset` of configuration space. Returns bits of
    /// [`action`]. Accesses of other sizes than 1, 2 and 4, and misaligned ones, have no effect.
    pub fn write_config(&self, offset: u64, size: u64, value: u64) -> u32 {
        if !matches!(size, 1 | 2 | 4) || !offset.is_multiple_of(size) {
            return 0;
        }
        let shift = 8 * (offset & 3);
        let lanes = (low(u64::MAX, size) << shift) as u32;
        let value = (low(value, size) << shift) as u32;
        match offset & !3 {
            COMMAND => return self.write_command(value, lanes & WRITABLE),
            CAPABILITY if lanes & ONE_SHOT != 0 => {
                self.set(control::ONE_SHOT, value & ONE_SHOT != 0);
            }
            BAR0 => self.set(control::SIZING_0, value & PAGE_BITS == PAGE_BITS),
            BAR2 => {
                let bits = self.size_bits() as u32;
                self.set(control::SIZING_2, value & bits == bits);
            }
            BAR3 => {
                let bits = (self.size_bits() >> 32) as u32;
                self.set(control::SIZING_3, value & bits == bits);
            }
            _ => {}
        }
        0
    }

    fn doubleword(&self, offset: u64) -> u32 {
        let view = self.view;
        let word = self.state.control.load(Acquire);
        let bar = |sizing, size: u64, address: u64| if word & sizing != 0 { size } else { address };
        match offset {
            VENDOR => ID,
            COMMAND => word & COMMAND_AND_STATUS | (status::CAPABILITIES as u32) << 16,
            REVISION => CLASS,
            BAR0 => bar(control::SIZING_0, PAGE_BITS.into(), view.registers) as u32,
            BAR2 => bar(control::SIZING_2, self.size_bits(), view.shared) as u32 | PREFETCHABLE_64,
            BAR3 => (bar(control::SIZING_3, self.size_bits(), view.shared) >> 32) as u32,
            SUBSYSTEM => SUBSYSTEM_ID,
            CAPABILITIES => CAPABILITY as u32,
            INTERRUPT => PIN_A,
            CAPABILITY if word & control::ONE_SHOT != 0 => CAPABILITY_HEADER | ONE_SHOT,
            CAPABILITY => CAPABILITY_HEADER,
            STATE_TABLE_SIZE => TABLE_SIZE as u32,
            OUTPUT_SECTION_SIZE => view.section as u32,
            _ if offset == OUTPUT_SECTION_SIZE + 4 => (view.section >> 32) as u32,
            _ => 0,
        }
    }

    /// Address bits of BAR2 that can be changed.
    fn size_bits(&self) -> u64 {
        self.view.size.wrapping_neg()
    }

    fn set(&self, bit: u32, on: bool) {
        self.change(|old| (if on { old | bit } else { old & !bit }, ()));
    }

    /// Writes the bits `lanes` of Command.
    fn write_command(&self, value: u32, lanes: u32) -> u32 {
        let delivered = self.change(|old| {
            let new = old & !lanes | value & lanes;
            match (old & control::INTX_DISABLE, new & control::INTX_DISABLE) {
                (0, control::INTX_DISABLE) => (new & !control::STATUS, false),
                (control::INTX_DISABLE, 0) => deliver(new),
                _ => (new, false),
            }
        });
        if delivered { action::PULSE } else { 0 }
    }
}

/// Returns what `size` bytes of configuration space read as where no function is: all ones.
pub fn absent(size: u64) -> u64 {
    low(u64::MAX, size)
}
