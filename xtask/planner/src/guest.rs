// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each partition's guest sees: its address map, its interrupts, its channel ends and what is
//! loaded into it. Guest addresses (IPA) only; where they lie in RAM is [`super::place`]'s.

use anyhow::{Result, ensure};
use manifest::guest_machine::GICC;
use manifest::system::{Partition, Range, System};
use plan::{Interrupt, PAGE};

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
    /// Its interrupts, in order of INTID.
    pub interrupts: Vec<Interrupt>,
    /// What is copied into it.
    pub loads: Vec<Load>,
    /// IPAs that EL2 emulates.
    pub emulated: Vec<(&'static str, Range)>,
}

/// A channel end as its guest sees it.
#[derive(Clone, Debug)]
pub struct End {
    /// Index of the channel.
    pub channel: usize,
    /// Which of its ends, 0 or 1.
    pub side: usize,
    /// The vCPU it belongs to.
    pub vcpu: usize,
    /// The vCPU's handle of it.
    pub handle: usize,
    /// The SPI a doorbell makes pending, if it takes doorbells.
    pub intid: Option<u32>,
    /// Pages this end writes.
    pub tx: Range,
    /// Pages its peer writes.
    pub rx: Range,
}

/// A copy into a guest.
#[derive(Clone, Debug)]
pub struct Load {
    /// What it is, for people.
    pub what: &'static str,
    /// IPA.
    pub ipa: u64,
    /// Index of the pristine contents.
    pub pristine: usize,
    /// Bytes copied.
    pub size: u64,
    /// Bytes cleared behind them.
    pub clear: u64,
}

/// Hardware a partition reaches itself: what it was passed, and GICV on GICv2. Devices keep their
/// physical addresses.
pub fn devices(system: &System, index: usize) -> impl Iterator<Item = Mapping> {
    let board = &system.board;
    let passed = system.partitions[index].devices.iter().map(|&device| {
        let device = &board.devices[device];
        (device.name.clone(), device.regs.base, device.regs)
    });
    let gicv = (board.gic.version == 2).then(|| {
        // Without the page of GICV_DIR, and whatever else the board's range has.
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

/// Checks what the tables cannot: that nothing the guest reaches lies where EL2 emulates.
///
/// # Errors
/// Naming both.
pub fn check_emulated(partition: &Partition, guest: &Guest, mappings: &[Mapping]) -> Result<()> {
    for mapping in mappings {
        check_pages(&mapping.what, mapping.input, mapping.size)?;
        for (name, range) in &guest.emulated {
            ensure!(
                mapping.input + mapping.size <= range.base
                    || range.base + range.size <= mapping.input,
                "partition {}: {} at {:#x} ({:#x} bytes) lies over its emulated {name} at {:#x}",
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
