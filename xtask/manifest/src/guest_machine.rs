// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine that every guest sees: fixed guest addresses (IPA) and interrupts. The reader
//! rejects a manifest's own addresses where they overlap these, and the planner builds guests with
//! them.

use plan::PAGE;

use crate::system::Range;

/// The emulated distributor.
pub const GICD: Range = Range { base: 0x0800_0000, size: 0x1_0000 };
/// GICv2: where the guest sees its CPU interface. The first page is the hardware's GICV (IHI 0048,
/// 5.5).
pub const GICC: Range = Range { base: 0x0801_0000, size: 2 * PAGE };
/// The second page, which has only GICC_DIR, is emulated: GICV_DIR knows only the interrupts in its
/// core's list registers.
pub const GICC_DIR: Range = Range { base: GICC.base + PAGE, size: PAGE };
/// GICv3: the emulated redistributors start here.
pub const GICR: u64 = 0x080a_0000;
/// Bytes of one vCPU's redistributor (IHI 0069, 12.10: two 64 KiB frames).
pub const GICR_SIZE: u64 = 0x2_0000;
/// The emulated PL011.
pub const PL011: Range = Range { base: 0x0900_0000, size: PAGE };
/// Its INTID.
pub const PL011_INTID: u32 = 33;
/// Channel pages are allocated from here upward.
pub const CHANNELS: u64 = 0x1000_0000;
/// The PCI bus of ends with the view `ivshmem` is from here upward: configuration space, registers,
/// shared memory.
pub const PCI: u64 = 0x2000_0000;
/// Channel interrupts are allocated from here upward.
pub const CHANNEL_INTIDS: u32 = 128;
/// PPIs that belong to the guest: its core's virtual and physical EL1 timers (level-sensitive).
pub const TIMERS: [u16; 2] = [27, 30];
