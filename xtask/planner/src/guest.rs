// SPDX-License-Identifier: MIT OR Apache-2.0
//! The view of each partition's guest: its address map, its interrupts, its channel ends and what
//! is loaded into it. Addresses are guest addresses (IPA); [`super::place`] decides where they are
//! in RAM.

use anyhow::{Result, ensure};
use manifest::guest_machine::GICC;
use manifest::system::{Partition, Range, System};
use plan::{DeviceKind, Interrupt, PAGE};

use super::pages::{check_pages, pages};
use super::tables::{Access, Mapping};

/// One partition's guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// IPA of its device tree.
    pub dtb: u64,
    /// IPA and bytes of its initial RAM disk.
    pub initrd: Option<Range>,
    /// Its channel ends, in the order of channels.
    pub ends: Vec<End>,
    /// The SPI that announces other partitions' stops and starts, if it is a supervisor.
    pub notice: Option<u32>,
    /// Its interrupts, in order of INTID.
    pub interrupts: Vec<Interrupt>,
    /// The copies into it.
    pub loads: Vec<Load>,
    /// The PCI bus, if it sees any channel end as a function.
    pub pci: Option<Pci>,
    /// The devices that EL2 emulates for it, by address.
    pub emulated: Vec<Emulated>,
}

/// A device that EL2 emulates.
#[derive(Clone, Copy, Debug)]
pub struct Emulated {
    /// What it is.
    pub kind: DeviceKind,
    /// Its number among those of its kind.
    pub index: u16,
    /// Its guest addresses.
    pub range: Range,
}

impl Emulated {
    /// Returns its name in reports and errors.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            DeviceKind::Distributor => "GICD".into(),
            DeviceKind::Redistributor => format!("GICR of vCPU {}", self.index),
            DeviceKind::GiccDir => "GICC_DIR".into(),
            DeviceKind::Pl011 => "PL011".into(),
            DeviceKind::PciConfiguration => "PCI configuration space".into(),
            DeviceKind::Ivshmem => format!("registers of PCI device {}", self.index),
        }
    }
}

/// A channel end as its guest sees it.
#[derive(Clone, Debug)]
pub struct End {
    /// Index of the channel.
    pub channel: usize,
    /// The channel's end, 0 or 1.
    pub side: usize,
    /// The vCPU that owns it.
    pub vcpu: usize,
    /// The vCPU's handle for it.
    pub handle: usize,
    /// The SPI that a doorbell makes pending, if the end takes doorbells.
    pub intid: Option<u32>,
    /// Pages this end writes.
    pub tx: Range,
    /// Pages its peer writes.
    pub rx: Range,
    /// The PCI function that the guest sees, if it does not see the pages in its device tree.
    pub function: Option<Function>,
}

/// A PCI function as its guest sees it.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its device number on the bus.
    pub device: usize,
    /// BAR0.
    pub registers: Range,
    /// BAR2.
    pub shared: Range,
}

/// A guest's PCI bus.
#[derive(Clone, Copy, Debug)]
pub struct Pci {
    /// Configuration space.
    pub ecam: Range,
    /// The window of all BAR0s.
    pub registers: Range,
    /// The window of all BAR2s.
    pub shared: Range,
}

/// A copy into a guest.
#[derive(Clone, Debug)]
pub struct Load {
    /// A name for the report.
    pub what: &'static str,
    /// IPA.
    pub ipa: u64,
    /// Index of the pristine contents.
    pub pristine: usize,
    /// Bytes copied.
    pub size: u64,
    /// Bytes cleared after them.
    pub clear: u64,
}

/// Returns the hardware that a partition accesses directly: its devices, and GICV on GICv2. Devices
/// keep their physical addresses.
pub fn devices(system: &System, index: usize) -> impl Iterator<Item = Mapping> {
    let board = &system.board;
    let passed = system.partitions[index].devices.iter().map(|&device| {
        let device = &board.devices[device];
        (device.name.clone(), device.regs.base, device.regs)
    });
    let gicv = (board.gic.version == 2).then(|| {
        // Leaves out the page of GICV_DIR and the rest of the board's range.
        let size = board.gic.gicv.size.min(PAGE);
        let base = board.gic.gicv.base;
        ("GICV".to_string(), GICC.base, Range { base, size })
    });
    passed.chain(gicv).map(|(what, input, range)| {
        let inside = range.base % PAGE;
        Mapping {
            what,
            input: input & !(PAGE - 1),
            output: range.base - inside,
            size: pages(range.size + inside),
            access: Access::Device,
        }
    })
}

/// Checks what the tables cannot: that a guest does not reach an address that EL2 emulates.
///
/// # Errors
/// If it does; the error names both.
pub fn check_emulated(partition: &Partition, guest: &Guest, mappings: &[Mapping]) -> Result<()> {
    for mapping in mappings {
        check_pages(&mapping.what, mapping.input, mapping.size)?;
        for device in &guest.emulated {
            let (name, range) = (device.name(), device.range);
            ensure!(
                mapping.input + mapping.size <= range.base
                    || range.base + range.size <= mapping.input,
                "partition {}: {} at {:#x} ({:#x} bytes) overlaps its emulated {name} at {:#x}",
                partition.name,
                mapping.what,
                mapping.input,
                mapping.size,
                range.base
            );
        }
    }
    Ok(())
}
