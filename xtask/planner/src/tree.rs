// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest's device tree: its cores, memory, PSCI, timers, GIC, PL011, channels and passed-through
//! devices. Bindings are those of the Devicetree Specification and Linux
//! `Documentation/devicetree/bindings`.

use anyhow::{Result, ensure};
use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use plan::CLASS_COMM;

use super::guest::{End, Guest, Pci};
use manifest::guest_machine::{GICC, GICD, GICR, GICR_SIZE, PL011, PL011_INTID, TIMERS};
use manifest::system::{Channel, Device, Partition, Range, System};

/// The clock rate that the tree gives for the emulated PL011; nothing depends on it.
const UART_HZ: u32 = 24_000_000;
const GIC_PHANDLE: u32 = 1;
const CLOCK_PHANDLE: u32 = 2;
/// Phandle of vCPU 0's node; the others follow.
const CPU_PHANDLE: u32 = 3;

/// Interrupt types and triggers of the GIC binding (`arm,gic.yaml`, `arm,gic-v3.yaml`).
const SPI: u32 = 0;
const PPI: u32 = 1;
const EDGE: u32 = 1;
const LEVEL: u32 = 4;
/// First INTID of each type.
const FIRST_PPI: u32 = 16;
const FIRST_SPI: u32 = 32;

/// Builds the device tree of partition `index`. Its size does not depend on its own address or the
/// RAM disk's.
///
/// # Errors
/// If a name does not make a node, or the tree grows beyond the 2 MiB that Linux maps.
pub fn build(system: &System, index: usize, guest: &Guest) -> Result<Vec<u8>> {
    let partition = &system.partitions[index];
    let mut tree = DeviceTree::new();
    let root = &mut tree.root;
    set(root, "compatible", "bulkhead,guest-v1")?;
    set(root, "model", format!("Bulkhead partition {}", partition.name))?;
    set(root, "#address-cells", 2u32)?;
    set(root, "#size-cells", 2u32)?;
    set(root, "interrupt-parent", GIC_PHANDLE)?;
    root.add_child(chosen(partition, guest)?);
    root.add_child(cpus(partition)?);
    root.add_child(memory(partition)?);
    root.add_child(psci()?);
    root.add_child(watchdog()?);
    root.add_child(timer(system, partition)?);
    root.add_child(gic(system, partition)?);
    root.add_child(clock()?);
    let mut hypervisor = node("hypervisor")?;
    set(&mut hypervisor, "compatible", channel::tree::HYPERVISOR)?;
    root.add_child(hypervisor);
    if partition.console {
        root.add_child(pl011(PL011, PL011_INTID)?);
    }
    for end in guest.ends.iter().filter(|end| end.function.is_none()) {
        root.add_child(channel(&system.channels[end.channel], end)?);
    }
    if let Some(pci) = &guest.pci {
        root.add_child(bus(pci, &guest.ends)?);
    }
    if let Some(intid) = guest.notice {
        let mut node = node("supervisor")?;
        set(&mut node, "compatible", channel::tree::SUPERVISOR)?;
        set(&mut node, "interrupts", [SPI, intid - FIRST_SPI, EDGE].as_slice())?;
        let names: Vec<_> = system.partitions.iter().map(|other| other.name.as_str()).collect();
        set(&mut node, channel::tree::PARTITIONS, names.as_slice())?;
        root.add_child(node);
    }
    for &device in &partition.devices {
        let device = &system.board.devices[device];
        let units = if device.compatible.is_empty() { 0 } else { device.units };
        for unit in 0..units {
            root.add_child(passed_through(device, unit)?);
        }
    }
    let bytes = tree.to_dtb();
    ensure!(
        bytes.len() <= 2 << 20,
        "partition {}: its device tree has {} bytes, more than 2 MiB",
        partition.name,
        bytes.len()
    );
    Ok(bytes)
}

fn chosen(partition: &Partition, guest: &Guest) -> Result<DeviceTreeNode> {
    let mut node = node("chosen")?;
    if let Some(line) = &partition.command_line {
        set(&mut node, "bootargs", line.as_str())?;
    }
    if partition.console {
        set(&mut node, "stdout-path", format!("/serial@{:x}", PL011.base))?;
    }
    if guest.pci.is_some() {
        // The BARs have their addresses already, and those are fixed.
        set(&mut node, "linux,pci-probe-only", 1u32)?;
    }
    if let Some(initrd) = guest.initrd {
        set(&mut node, "linux,initrd-start", initrd.base)?;
        set(&mut node, "linux,initrd-end", initrd.base + initrd.size)?;
    }
    Ok(node)
}

fn cpus(partition: &Partition) -> Result<DeviceTreeNode> {
    let mut cpus = node("cpus")?;
    set(&mut cpus, "#address-cells", 1u32)?;
    set(&mut cpus, "#size-cells", 0u32)?;
    for (number, vcpu) in (0u32..).zip(&partition.vcpus) {
        let mut cpu = node(&format!("cpu@{number:x}"))?;
        set(&mut cpu, "device_type", "cpu")?;
        set(&mut cpu, "compatible", "arm,armv8")?;
        set(&mut cpu, "reg", number)?;
        set(&mut cpu, "enable-method", "psci")?;
        let class = if vcpu.class == CLASS_COMM { "comm" } else { "compute" };
        set(&mut cpu, channel::tree::CLASS, class)?;
        set(&mut cpu, "phandle", CPU_PHANDLE + number)?;
        cpus.add_child(cpu);
    }
    Ok(cpus)
}

fn memory(partition: &Partition) -> Result<DeviceTreeNode> {
    let mut node = node(&format!("memory@{:x}", partition.memory[0].ipa))?;
    set(&mut node, "device_type", "memory")?;
    let ram = partition.memory.iter().filter(|piece| !piece.rom);
    let pieces = ram.map(|piece| Range { base: piece.ipa, size: piece.size });
    set(&mut node, "reg", reg(pieces))?;
    Ok(node)
}

fn psci() -> Result<DeviceTreeNode> {
    let mut node = node("psci")?;
    set(&mut node, "compatible", ["arm,psci-1.0", "arm,psci-0.2"].as_slice())?;
    set(&mut node, "method", "hvc")?;
    Ok(node)
}

/// The watchdog of Linux's binding `arm,smc-wdt`.
fn watchdog() -> Result<DeviceTreeNode> {
    let mut node = node("watchdog")?;
    set(&mut node, "compatible", "arm,smc-wdt")?;
    set(&mut node, "arm,smc-id", abi::smccc::WATCHDOG)?;
    Ok(node)
}

/// The binding wants the secure physical, physical, virtual and EL2 timers in this order; guests
/// have only the middle two.
fn timer(system: &System, partition: &Partition) -> Result<DeviceTreeNode> {
    const SECURE: u32 = 29;
    const EL2: u32 = 26;
    let [virt, phys] = TIMERS.map(u32::from);
    // The GICv2 binding gives a PPI's target cores in bits 15:8.
    let cores = match system.board.gic.version {
        2 => ((1 << partition.vcpus.len()) - 1) << 8,
        _ => 0,
    };
    let cells = [SECURE, phys, virt, EL2].map(|intid| [PPI, intid - FIRST_PPI, LEVEL | cores]);
    let mut node = node("timer")?;
    set(&mut node, "compatible", "arm,armv8-timer")?;
    set(&mut node, "interrupts", cells.concat().as_slice())?;
    empty(&mut node, "always-on")?;
    Ok(node)
}

fn gic(system: &System, partition: &Partition) -> Result<DeviceTreeNode> {
    let (compatible, second) = match system.board.gic.version {
        2 => ("arm,cortex-a15-gic", GICC),
        _ => {
            let size = partition.vcpus.len() as u64 * GICR_SIZE;
            let base = GICR;
            ("arm,gic-v3", Range { base, size })
        }
    };
    let mut node = node(&format!("interrupt-controller@{:x}", GICD.base))?;
    set(&mut node, "compatible", compatible)?;
    empty(&mut node, "interrupt-controller")?;
    set(&mut node, "#interrupt-cells", 3u32)?;
    set(&mut node, "#address-cells", 2u32)?;
    set(&mut node, "#size-cells", 2u32)?;
    set(&mut node, "reg", reg([GICD, second]))?;
    set(&mut node, "phandle", GIC_PHANDLE)?;
    Ok(node)
}

fn clock() -> Result<DeviceTreeNode> {
    let mut node = node("apb-pclk")?;
    set(&mut node, "compatible", "fixed-clock")?;
    set(&mut node, "#clock-cells", 0u32)?;
    set(&mut node, "clock-frequency", UART_HZ)?;
    set(&mut node, "clock-output-names", "clk24mhz")?;
    set(&mut node, "phandle", CLOCK_PHANDLE)?;
    Ok(node)
}

fn pl011(range: Range, intid: u32) -> Result<DeviceTreeNode> {
    let mut node = node(&format!("serial@{:x}", range.base))?;
    set(&mut node, "compatible", ["arm,pl011", "arm,primecell"].as_slice())?;
    set(&mut node, "reg", reg([range]))?;
    set(&mut node, "interrupts", [SPI, intid - FIRST_SPI, LEVEL].as_slice())?;
    clocks(&mut node, &["uartclk", "apb_pclk"])?;
    Ok(node)
}

/// Every clock that a driver asks for is the fixed one: a guest cannot change a clock.
fn clocks(node: &mut DeviceTreeNode, names: &[&str]) -> Result<()> {
    set(node, "clocks", vec![CLOCK_PHANDLE; names.len()].as_slice())?;
    set(node, "clock-names", names)
}

fn channel(channel: &Channel, end: &End) -> Result<DeviceTreeNode> {
    let mut node = node(&format!("channel@{:x}", end.tx.base))?;
    set(&mut node, "compatible", channel::tree::CHANNEL)?;
    set(&mut node, "reg", reg([end.tx, end.rx]))?;
    if let Some(intid) = end.intid {
        let cells = [SPI, intid - FIRST_SPI, EDGE];
        set(&mut node, "interrupts", cells.as_slice())?;
    }
    let wait = |side: usize| channel::wait::NAMES[channel.ends[side].wait as usize];
    set(&mut node, channel::tree::WAIT, wait(end.side))?;
    set(&mut node, channel::tree::PEER_WAIT, wait(1 - end.side))?;
    set(&mut node, channel::tree::NAME, channel.name.as_str())?;
    if channel.has_function() {
        empty(&mut node, channel::tree::NON_CACHEABLE)?;
    }
    set(&mut node, channel::tree::HANDLE, end.handle as u32)?;
    set(&mut node, channel::tree::CPU, CPU_PHANDLE + end.vcpu as u32)?;
    Ok(node)
}

/// The PCI bus of channel ends that are functions (`host-generic-pci.yaml`).
fn bus(pci: &Pci, ends: &[End]) -> Result<DeviceTreeNode> {
    /// Non-prefetchable memory below 4 GiB.
    const MEMORY_32: u32 = 0x0200_0000;
    /// Prefetchable 64-bit memory.
    const PREFETCHABLE_64: u32 = 0x4300_0000;
    /// Bits of an address that select a device, and of the pin.
    const MASK: [u32; 4] = [0x1f << 11, 0, 0, 7];
    const PIN_A: u32 = 1;
    let cells = |number: u64| [(number >> 32) as u32, number as u32];
    let mut node = node(&format!("pcie@{:x}", pci.ecam.base))?;
    set(&mut node, "compatible", "pci-host-ecam-generic")?;
    set(&mut node, "device_type", "pci")?;
    set(&mut node, "#address-cells", 3u32)?;
    set(&mut node, "#size-cells", 2u32)?;
    set(&mut node, "reg", reg([pci.ecam]))?;
    set(&mut node, "bus-range", [0u32, 0].as_slice())?;
    let ranges = [(MEMORY_32, pci.registers), (PREFETCHABLE_64, pci.shared)];
    let ranges = ranges.map(|(kind, range)| {
        let [base, size] = [range.base, range.size].map(cells);
        [[kind].as_slice(), &base, &base, &size].concat()
    });
    set(&mut node, "ranges", ranges.concat().as_slice())?;
    set(&mut node, "#interrupt-cells", 1u32)?;
    set(&mut node, "interrupt-map-mask", MASK.as_slice())?;
    let lines = ends.iter().filter_map(|end| Some((end.function?, end.intid?)));
    let lines = lines.flat_map(|(function, intid)| {
        let device = (function.device as u32) << 11;
        [device, 0, 0, PIN_A, GIC_PHANDLE, 0, 0, SPI, intid - FIRST_SPI, EDGE]
    });
    set(&mut node, "interrupt-map", lines.collect::<Vec<_>>().as_slice())?;
    Ok(node)
}

/// A device, or one of the equal ones that share its registers.
fn passed_through(device: &Device, unit: usize) -> Result<DeviceTreeNode> {
    let size = device.regs.size / device.units as u64;
    let base = device.regs.base + unit as u64 * size;
    let compatible: Vec<_> = device.compatible.iter().map(String::as_str).collect();
    let mut node = node(&format!("{}@{base:x}", device.node))?;
    set(&mut node, "compatible", compatible.as_slice())?;
    set(&mut node, "reg", reg([Range { base, size }]))?;
    let lines = device.interrupts.len() / device.units;
    let cells: Vec<_> = device.interrupts[unit * lines..][..lines]
        .iter()
        .flat_map(|i| [SPI, i.intid - FIRST_SPI, if i.edge { EDGE } else { LEVEL }])
        .collect();
    if !cells.is_empty() {
        set(&mut node, "interrupts", cells.as_slice())?;
    }
    let names: Vec<_> = device.clock_names.iter().map(String::as_str).collect();
    if !names.is_empty() {
        clocks(&mut node, &names)?;
    }
    for flag in &device.flags {
        empty(&mut node, flag)?;
    }
    Ok(node)
}

fn node(name: &str) -> Result<DeviceTreeNode> {
    Ok(DeviceTreeNode::new(name)?)
}

fn set(node: &mut DeviceTreeNode, name: &str, value: impl ToPropertyValue) -> Result<()> {
    node.add_property(DeviceTreeProperty::new(name, value)?);
    Ok(())
}

fn empty(node: &mut DeviceTreeNode, name: &str) -> Result<()> {
    set(node, name, [].as_slice() as &[u32])
}

/// A `reg` of 64-bit addresses and sizes.
fn reg(ranges: impl IntoIterator<Item = Range>) -> Vec<u32> {
    let numbers = ranges.into_iter().flat_map(|range| [range.base, range.size]);
    numbers.flat_map(|n| [(n >> 32) as u32, n as u32]).collect()
}
