// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan's header and arrays, as [`plan`] defines them.

use anyhow::{Context, Result, ensure};
use crc::{CRC_32_ISCSI, Crc};
use plan::address::translate;
use plan::{
    Array, Core, EmulatedDevice, End, GuestGic, Header, INTIDS, Ipa, Load, MAGIC, MAX_CORES,
    MAX_VCPUS, Machine, Memory, Midr, NO_CORE, NO_VIEW, PARTITION_HALT_OUTSIDE, Pa, Partition,
    Policy, Range, VERSION, View, Write,
};
use zerocopy::{Immutable, IntoBytes};

use super::design::Design;
use super::guest::{self, Guest};
use super::maps::owner;
use super::place::Places;
use super::traps;
use manifest::guest_machine;
use manifest::system::{self, Outside, System};

/// SGR colours of console prefixes, by partition: those that read well on dark and light
/// backgrounds come first.
const COLOURS: [u32; 6] = [36, 33, 35, 32, 34, 31];

/// Writes header and arrays of the plan; without a design, translation table addresses are zero.
/// [`seal`] is called last.
///
/// # Errors
/// If the system is larger than the plan's types allow.
pub fn rows(
    system: &System,
    guests: &[Guest],
    places: &Places,
    design: Option<&Design>,
) -> Result<Vec<u8>> {
    let mut writer = Writer { bytes: vec![0; size_of::<Header>()] };
    ensure!(
        places.cores.len() <= MAX_CORES,
        "{} cores: a plan has at most {MAX_CORES}",
        places.cores.len()
    );
    let cores = places.cores.iter().enumerate();
    let cores = cores
        .map(|(index, &number)| core(&mut writer, system, guests, places, design, index, number))
        .collect::<Result<Vec<_>>>()?;
    let partitions = (0..guests.len())
        .map(|p| partition(&mut writer, system, &guests[p], places, p))
        .collect::<Result<Vec<_>>>()?;
    let machine = machine(&mut writer, system, places)?;
    let header = Header {
        magic: MAGIC,
        version: VERSION,
        crc: 0,
        size: design.map_or(0, |d| d.plan_size),
        image_size: places.image.size,
        el2_base: places.image.base,
        shared: range(places.shared),
        records: range(places.records),
        tcr: design.map_or(0, |d| traps::tcr(d.maps.el2, system.board.pa_bits).value()),
        machine,
        cores: writer.array(&cores)?,
        partitions: writer.array(&partitions)?,
        console_core: core_index(places, system.console_core)?,
        at_end: system.at_end,
        console_share: system.console_share,
        on_refusal: system.on_refusal,
        options: system.options,
    };
    writer.bytes[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    Ok(writer.bytes)
}

/// Writes the checksum into a whole plan: CRC32C of everything from `Header::size` on.
pub fn seal(plan: &mut [u8]) {
    const SIZE: usize = std::mem::offset_of!(Header, size);
    const CRC: usize = std::mem::offset_of!(Header, crc);
    let crc = Crc::<u32>::new(&CRC_32_ISCSI).checksum(&plan[SIZE..]);
    plan[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The plan's bytes so far.
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn array<T: IntoBytes + Immutable>(&mut self, rows: &[T]) -> Result<Array> {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(rows.as_bytes());
        Ok(Array {
            offset: u32::try_from(offset).context("a plan of more than 4 GiB")?,
            count: u32::try_from(rows.len())?,
        })
    }
}

fn range(range: system::Range) -> Range {
    Range { base: range.base, size: range.size }
}

/// A board core's index in the plan.
fn core_index(places: &Places, number: u32) -> Result<u32> {
    let index = places.cores.iter().position(|&core| core == number);
    Ok(index.with_context(|| format!("no vCPU owns core {number}"))? as u32)
}

fn core(
    writer: &mut Writer,
    system: &System,
    guests: &[Guest],
    places: &Places,
    design: Option<&Design>,
    index: usize,
    number: u32,
) -> Result<Core> {
    let (p, vcpu) = owner(system, number);
    let row = system.board.cores.get(number as usize);
    let row = row.with_context(|| format!("{} has no core {number}", system.board.name))?;
    let pa_bits = system.board.pa_bits;
    let gic = &system.board.gic;
    let ends = guests[p].ends.iter().filter(|end| end.vcpu == vcpu);
    let ends = ends.map(|end| end_row(system, guests, places, end)).collect::<Result<Vec<_>>>()?;
    Ok(Core {
        mpidr: row.mpidr,
        partition: p as u32,
        vcpu: vcpu as u32,
        class: system.partitions[p].vcpus[vcpu].class,
        reserved: 0,
        private: range(places.private[index]),
        ttbr_run: design.map_or(0, |d| d.maps.run[index].root),
        ttbr_load: design.map_or(0, |d| d.maps.load[index].root),
        gicr: match gic.version {
            3 => gic.gicr.base + u64::from(number) * guest_machine::GICR_SIZE,
            _ => 0,
        },
        release: row.release,
        vttbr: design.map_or(0, |d| traps::vttbr(d.maps.stage2[p].root, p)),
        vtcr: design.map_or(0, |d| traps::vtcr(d.maps.guest[p], pa_bits).value()),
        hcr: traps::hcr().value(),
        cptr: traps::cptr().value(),
        mdcr: traps::mdcr().value(),
        hstr: traps::hstr().value(),
        cnthctl: traps::cnthctl().value(),
        cntvoff: traps::cntvoff().value(),
        vmpidr: traps::vmpidr(vcpu),
        ends: writer.array(&ends)?,
    })
}

fn end_row(system: &System, guests: &[Guest], places: &Places, end: &guest::End) -> Result<End> {
    let channel = &system.channels[end.channel];
    let this = &channel.ends[end.side];
    let other = &channel.ends[1 - end.side];
    let peer = guests[other.partition]
        .ends
        .iter()
        .find(|peer| peer.channel == end.channel && peer.side == 1 - end.side)
        .with_context(|| format!("channel {} has one end", channel.name))?;
    let peer_core = system.partitions[other.partition].vcpus[other.vcpu].core;
    Ok(End {
        // If its row names no core, this end cannot send an SGI.
        peer_core: match other.wait {
            channel::wait::DOORBELL => core_index(places, peer_core)?,
            _ => NO_CORE,
        },
        peer_handle: peer.handle as u32,
        peer_partition: other.partition as u32,
        intid: end.intid.unwrap_or(0),
        rate: this.rate,
        burst: this.burst,
        tx_ipa: end.tx.base,
        tx_size: end.tx.size,
        rx_ipa: end.rx.base,
        rx_size: end.rx.size,
        state_entry: match places.tables[end.channel] {
            Some(table) => table.base + size_of::<u32>() as u64 * end.side as u64,
            None => 0,
        },
        view: end.function.map_or(NO_VIEW, |function| function.device as u32),
        reserved: 0,
    })
}

/// The rows of a guest's channel ends that are PCI functions, by device number.
fn views(system: &System, guest: &Guest, places: &Places, p: usize) -> Result<Vec<View>> {
    let functions = guest.ends.iter().filter_map(|end| Some((end, end.function?)));
    let rows = functions.map(|(end, function)| {
        let channel = &system.channels[end.channel];
        Ok(View {
            core: core_index(places, system.partitions[p].vcpus[end.vcpu].core)?,
            handle: end.handle as u32,
            id: end.side as u32,
            peer_wait: channel.ends[1 - end.side].wait,
            registers: function.registers.base,
            shared: function.shared.base,
            size: function.shared.size,
            section: end.tx.size,
            name: name("channel", &channel.name)?,
        })
    });
    rows.collect()
}

/// A name as rows have it.
fn name(what: &str, text: &str) -> Result<[u8; 16]> {
    let mut name = [0; 16];
    ensure!(text.len() < name.len(), "{what} {text}: the name is too long");
    name[..text.len()].copy_from_slice(text.as_bytes());
    Ok(name)
}

fn partition(
    writer: &mut Writer,
    system: &System,
    guest: &Guest,
    places: &Places,
    p: usize,
) -> Result<Partition> {
    let partition = &system.partitions[p];
    ensure!(
        partition.vcpus.len() <= MAX_VCPUS,
        "partition {}: at most {MAX_VCPUS} vCPUs",
        partition.name
    );
    let vcpus = partition.vcpus.iter();
    let vcpus = vcpus.map(|vcpu| core_index(places, vcpu.core)).collect::<Result<Vec<_>>>()?;
    let memory: Vec<_> = partition
        .memory
        .iter()
        .zip(&places.memory[p])
        .map(|(piece, place)| Memory {
            ipa: Ipa(piece.ipa),
            base: Pa(place.base),
            size: place.size,
        })
        .collect();
    let loads = guest.loads.iter();
    let loads = loads.map(|load| load_row(&memory, places, load)).collect::<Result<Vec<_>>>()?;
    let clears: Vec<_> =
        guest.ends.iter().map(|end| range(places.regions[end.channel][end.side])).collect();
    let devices = guest.emulated.iter().map(device_row).collect::<Result<Vec<_>>>()?;
    let highest = guest.interrupts.last().map_or(0, |row| row.intid);
    let console = partition.console;
    let views = views(system, guest, places, p)?;
    Ok(Partition {
        name: name("partition", &partition.name)?,
        state: range(places.state[p]),
        entry: Ipa(partition.image.entry),
        dtb: Ipa(guest.dtb),
        vcpus: writer.array(&vcpus)?,
        memory: writer.array(&memory)?,
        loads: writer.array(&loads)?,
        interrupts: writer.array(&guest.interrupts)?,
        clears: writer.array(&clears)?,
        views: writer.array(&views)?,
        gic: GuestGic {
            version: system.board.gic.version,
            // The number of INTIDs of the board's GIC, because software sizes its loops by it;
            // interrupts that this partition does not own read as zero.
            intids: (system.board.gic.intids.min(INTIDS as u32))
                .max(u32::from(highest) + 1)
                .next_multiple_of(32),
        },
        devices: writer.array(&devices)?,
        uart_intid: if console { guest_machine::PL011_INTID } else { 0 },
        colour: COLOURS[p % COLOURS.len()],
        flags: match partition.outside {
            Outside::Abort => 0,
            Outside::Halt => PARTITION_HALT_OUTSIDE,
        },
        supervisor: guest.notice.unwrap_or(0),
        policy: policy(writer, system, partition)?,
    })
}

fn device_row(device: &guest::Emulated) -> Result<EmulatedDevice> {
    Ok(EmulatedDevice {
        ipa: Ipa(device.range.base),
        size: u32::try_from(device.range.size)
            .with_context(|| format!("the emulated {} has 4 GiB or more", device.name()))?,
        kind: device.kind as u16,
        index: device.index,
    })
}

fn policy(writer: &mut Writer, system: &System, partition: &system::Partition) -> Result<Policy> {
    let policy = &partition.policy;
    // A partition that never restarts is never quiesced.
    let devices = partition.devices.iter().filter(|_| policy.restarts());
    let writes = devices.flat_map(|&device| &system.board.devices[device].quiesce);
    let quiesce: Vec<_> =
        writes.map(|&(address, value)| Write { address, value, reserved: 0 }).collect();
    Ok(Policy {
        on_fault: policy.on_fault,
        on_reset: policy.on_reset,
        on_off: policy.on_off,
        back_off: policy.back_off,
        limit: policy.limit,
        within: policy.within,
        delay: policy.delay,
        first: policy.first,
        quiesce: writer.array(&quiesce)?,
    })
}

fn load_row(memory: &[Memory], places: &Places, load: &guest::Load) -> Result<Load> {
    let Pa(target) = translate(memory, Ipa(load.ipa))
        .with_context(|| format!("{} at {:#x} is outside memory", load.what, load.ipa))?;
    Ok(Load {
        source: places.pristine[load.pristine].base,
        target,
        size: load.size,
        clear: load.clear,
    })
}

fn machine(writer: &mut Writer, system: &System, places: &Places) -> Result<Machine> {
    let board = &system.board;
    let gic = &board.gic;
    let ram: Vec<_> = places.ram().into_iter().map(range).collect();
    let midrs: Vec<_> = board.midrs.iter().map(|&(_, mask, value)| Midr { mask, value }).collect();
    let mut quiesced = [0; 32];
    quiesced[..board.quiesced.len()].copy_from_slice(board.quiesced.as_bytes());
    let mut writes = [Array::default(); plan::writes::COUNT];
    for (array, rows) in writes.iter_mut().zip(&board.writes) {
        let rows = rows.iter().map(|&(address, value)| Write { address, value, reserved: 0 });
        *array = writer.array(&rows.collect::<Vec<_>>())?;
    }
    let reclaimed: Vec<_> = board.reclaimed.iter().map(|&r| range(r)).collect();
    Ok(Machine {
        gic_version: gic.version,
        list_registers: gic.list_registers,
        intids: gic.intids,
        pa_bits: board.pa_bits,
        gicd: range(gic.gicd),
        gicr: range(gic.gicr),
        gicc: range(gic.gicc),
        gich: range(gic.gich),
        gicv: range(gic.gicv),
        uart: range(board.uart.0),
        uart_intid: board.uart.1,
        start: board.start,
        ram: writer.array(&ram)?,
        midrs: writer.array(&midrs)?,
        writes,
        watchdog_period: board.watchdog_period,
        quiesced,
        reclaimed: writer.array(&reclaimed)?,
    })
}
