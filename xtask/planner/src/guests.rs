// SPDX-License-Identifier: MIT OR Apache-2.0
//! Designs every guest: the addresses of a partition's channel ends, device tree and initial RAM
//! disk, and what is loaded into it.

use anyhow::{Result, bail, ensure};
use manifest::guest_machine::{
    CHANNEL_INTIDS, CHANNELS, GICC_DIR, GICD, GICR, GICR_SIZE, PL011, PL011_INTID, TIMERS,
};
use manifest::placement_error::{Of, PlacementError};
use manifest::system::{Partition, Range, System, View};
use manifest::words::bytes;
use plan::{
    DeviceKind, INTERRUPT_EDGE, INTERRUPT_FIXED, INTERRUPT_PHYSICAL, INTIDS, Interrupt, MAX_ENDS,
    PAGE,
};

use super::guest::{Emulated, End, Function, Guest, Load, Pci, devices};
use super::pages::free_aligned;
use super::{pci, tree};

/// A channel's pages are aligned to this where they may use stage-2 blocks.
const BLOCK: u64 = 2 << 20;

/// Designs every guest. Contents to load are added to `pristine`, equal ones once.
///
/// # Errors
/// If something does not fit a partition's address map or memory.
pub fn design(system: &System, pristine: &mut Vec<Vec<u8>>) -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for index in 0..system.partitions.len() {
        guests.push(one(system, index, pristine)?);
    }
    Ok(guests)
}

fn one(system: &System, index: usize, pristine: &mut Vec<Vec<u8>>) -> Result<Guest> {
    let partition = &system.partitions[index];
    let mut emulated = emulated(system, partition);
    let mut interrupts = owned_interrupts(partition)?;
    let (ends, pci) = ends(system, index, &emulated, &mut interrupts)?;
    if let Some(pci) = &pci {
        let of = |kind, index, range| Emulated { kind, index, range };
        emulated.push(of(DeviceKind::PciConfiguration, 0, pci.ecam));
        let functions = ends.iter().filter_map(|end| end.function);
        emulated.extend(
            functions.map(|function| {
                of(DeviceKind::Ivshmem, function.device as u16, function.registers)
            }),
        );
        emulated.sort_by_key(|device| device.range.base);
    }
    let notice = match partition.supervisor {
        true => Some(add_interrupt(system, partition, &mut interrupts, 0)?),
        false => None,
    };
    interrupts.sort_by_key(|interrupt| interrupt.intid);

    let Some(first) = partition.memory.first() else {
        bail!("partition {} has no memory", partition.name);
    };
    let mut guest =
        Guest { dtb: 0, initrd: None, ends, notice, interrupts, loads: Vec::new(), pci, emulated };
    // Places the initial RAM disk, then the device tree, from the top of the first memory down.
    let mut top = first.ipa + first.size;
    if let Some((_, bytes)) = &partition.initrd {
        let size = bytes.len() as u64;
        top = below(system, index, top, size, "initial RAM disk")?;
        guest.initrd = Some(Range { base: top, size });
    }
    let dtb = tree::build(system, index, &guest)?;
    guest.dtb = match partition.device_tree {
        Some(ipa) => ipa,
        None => below(system, index, top, dtb.len() as u64, "device tree")?,
    };

    let mut load = |what, ipa, bytes: &[u8], clear| {
        let known = pristine.iter().position(|p| p == bytes);
        guest.loads.push(Load {
            what,
            ipa,
            pristine: known.unwrap_or_else(|| {
                pristine.push(bytes.to_vec());
                pristine.len() - 1
            }),
            size: bytes.len() as u64,
            clear,
        });
    };
    for segment in &partition.image.segments {
        load("image", segment.ipa, &segment.bytes, segment.clear);
    }
    if let (Some(range), Some((_, bytes))) = (&guest.initrd, &partition.initrd) {
        load("initial RAM disk", range.base, bytes, 0);
    }
    load("device tree", guest.dtb, &dtb, 0);
    check_loads(system, index, &guest.loads)?;
    Ok(guest)
}

/// The last page-aligned place for `size` bytes below `top` in the partition's first memory.
fn below(system: &System, index: usize, top: u64, size: u64, what: &str) -> Result<u64> {
    let partition = &system.partitions[index];
    let memory = &partition.memory[0];
    match top.checked_sub(size).map(|base| base & !(PAGE - 1)) {
        Some(base) if base >= memory.ipa => Ok(base),
        _ => bail!(PlacementError {
            of: Of::Memory(index, 0),
            what: format!("the {what} of {} does not fit", partition.name),
            why: format!(
                "it has {}, but the first piece of memory has only {}",
                bytes(size),
                bytes(memory.size)
            ),
            help: "make the first piece of memory larger",
        }),
    }
}

/// Checks that every load is within one piece of memory and that loads do not overlap.
fn check_loads(system: &System, index: usize, loads: &[Load]) -> Result<()> {
    let partition = &system.partitions[index];
    let misfit = |what: &str, why: String| PlacementError {
        of: match what {
            "device tree" => Of::DeviceTree(index),
            _ => Of::Memory(index, 0),
        },
        what: format!("the {what} of {} does not fit", partition.name),
        why,
        help: "make the first piece of memory larger, and leave `device-tree` out: the planner \
               finds a place",
    };
    let mut sorted: Vec<_> =
        loads.iter().map(|load| (load.ipa, load.size + load.clear, load.what)).collect();
    sorted.sort_unstable();
    for &(ipa, size, what) in &sorted {
        let fits = |m: &&manifest::system::Memory| ipa >= m.ipa && ipa - m.ipa + size <= m.size;
        if !partition.memory.iter().any(|m| fits(&m)) {
            let why = format!("at {ipa:#x} it has {}, which are outside its memory", bytes(size));
            bail!(misfit(what, why));
        }
    }
    for pair in sorted.windows(2) {
        if let [(a, size, one), (b, _, other)] = pair
            && a + size > *b
        {
            let why =
                format!("the {one} at {a:#x} has {}, but the {other} is at {b:#x}", bytes(*size));
            // The error names what the planner has placed, because that can move.
            let what = if *one == "image" { other } else { one };
            bail!(misfit(what, why));
        }
    }
    Ok(())
}

/// Returns the devices that EL2 emulates for this partition, by address.
fn emulated(system: &System, partition: &Partition) -> Vec<Emulated> {
    let mut devices = vec![Emulated { kind: DeviceKind::Distributor, index: 0, range: GICD }];
    if system.board.gic.version == 3 {
        devices.extend((0..).zip(&partition.vcpus).map(|(index, _)| {
            let base = GICR + u64::from(index) * GICR_SIZE;
            let range = Range { base, size: GICR_SIZE };
            Emulated { kind: DeviceKind::Redistributor, index, range }
        }));
    } else {
        devices.push(Emulated { kind: DeviceKind::GiccDir, index: 0, range: GICC_DIR });
    }
    if partition.console {
        devices.push(Emulated { kind: DeviceKind::Pl011, index: 0, range: PL011 });
    }
    devices.sort_by_key(|device| device.range.base);
    devices
}

/// Timers, passed-through SPIs and the console's: all interrupts except those of channels.
fn owned_interrupts(partition: &Partition) -> Result<Vec<Interrupt>> {
    let mut rows: Vec<_> =
        TIMERS.map(|intid| Interrupt { intid, flags: INTERRUPT_PHYSICAL, vcpu: 0 }).into();
    for interrupt in &partition.interrupts {
        rows.push(Interrupt {
            intid: intid(partition, interrupt.intid)?,
            flags: INTERRUPT_PHYSICAL | if interrupt.edge { INTERRUPT_EDGE } else { 0 },
            vcpu: 0,
        });
    }
    if partition.console {
        ensure!(
            rows.iter().all(|row| u32::from(row.intid) != PL011_INTID),
            "partition {}: interrupt {PL011_INTID} belongs to its emulated PL011: pass through \
             another one, or write `console = false`",
            partition.name
        );
        rows.push(Interrupt { intid: PL011_INTID as u16, flags: 0, vcpu: 0 });
    }
    Ok(rows)
}

fn intid(partition: &Partition, intid: u32) -> Result<u16> {
    match u16::try_from(intid) {
        Ok(n) if (16..INTIDS).contains(&usize::from(n)) => Ok(n),
        _ => {
            bail!("partition {}: interrupt {intid} is not in 16 to {}", partition.name, INTIDS - 1)
        }
    }
}

/// Adds EL2's next interrupt to a vCPU of the partition, and returns its INTID.
fn add_interrupt(
    system: &System,
    partition: &Partition,
    interrupts: &mut Vec<Interrupt>,
    vcpu: usize,
) -> Result<u32> {
    // The console UART's INTID is also taken: on its core EL2 must be able to tell the two apart.
    let taken = |intid| {
        intid == system.board.uart.1 || interrupts.iter().any(|row| u32::from(row.intid) == intid)
    };
    let free = (CHANNEL_INTIDS..).find(|&intid| !taken(intid));
    let intid = intid(partition, free.unwrap_or(u32::MAX))?;
    let flags = INTERRUPT_EDGE | INTERRUPT_FIXED;
    interrupts.push(Interrupt { intid, flags, vcpu: vcpu as u32 });
    Ok(intid.into())
}

/// The partition's channel ends, each with its handle, its interrupt (added to `interrupts`) and
/// its pages; and the PCI bus of those that are functions.
fn ends(
    system: &System,
    index: usize,
    emulated: &[Emulated],
    interrupts: &mut Vec<Interrupt>,
) -> Result<(Vec<End>, Option<Pci>)> {
    let partition = &system.partitions[index];
    let mut taken: Vec<Range> = emulated.iter().map(|device| device.range).collect();
    taken.extend(partition.memory.iter().map(|m| Range { base: m.ipa, size: m.size }));
    taken.extend(devices(system, index).map(|m| Range { base: m.input, size: m.size }));
    let mut next_ipa = CHANNELS;
    let mut handles = vec![0; partition.vcpus.len()];
    let mut rows: Vec<End> = Vec::new();
    let mut devices = 0;
    for (channel, row) in system.channels.iter().enumerate() {
        for (side, end) in row.ends.iter().enumerate() {
            if end.partition != index {
                continue;
            }
            let mut spi = None;
            if end.wait == channel::wait::DOORBELL {
                spi = Some(add_interrupt(system, partition, interrupts, end.vcpu)?);
            }
            let Some(handle) = handles.get_mut(end.vcpu) else {
                bail!("partition {} has no vCPU {}", partition.name, end.vcpu);
            };
            ensure!(
                *handle < MAX_ENDS,
                "partition {}: more than {MAX_ENDS} channel ends on vCPU {}",
                partition.name,
                end.vcpu
            );
            let sizes = [PAGE + end.bytes, PAGE + row.ends[1 - side].bytes];
            let mut function = None;
            let [tx, rx] = match end.view {
                View::Pages => {
                    // A guest whose stage 1 maps blocks has one memory type in each.
                    let before = rows.iter().rfind(|end| end.function.is_none());
                    let before = before.map(|end| system.channels[end.channel].has_function());
                    if before.is_some_and(|before| before != row.has_function()) {
                        next_ipa = next_ipa.next_multiple_of(BLOCK);
                    }
                    let pages = sizes.map(|size| free_ipa(&mut next_ipa, &taken, size));
                    taken.extend(pages);
                    pages
                }
                View::Ivshmem => {
                    function = Some(Function { device: devices, registers: NONE, shared: NONE });
                    devices += 1;
                    sizes.map(|size| Range { base: 0, size })
                }
            };
            let (vcpu, intid) = (end.vcpu, spi);
            rows.push(End { channel, side, vcpu, handle: *handle, intid, tx, rx, function });
            *handle += 1;
        }
    }
    let pci = pci::place(&mut rows, &taken)?;
    Ok((rows, pci))
}

/// A place that is not known yet.
const NONE: Range = Range { base: 0, size: 0 };

/// Takes the next `size` bytes of IPA for channel pages.
fn free_ipa(next: &mut u64, taken: &[Range], size: u64) -> Range {
    free_aligned(next, taken, size, if size >= BLOCK { BLOCK } else { PAGE })
}
