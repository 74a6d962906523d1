//! The claims, one module each, and the relation of plan and manifest that they share.

pub mod channels;
pub mod cores;
pub mod devices;
pub mod el2_map;
pub mod guest_map;
pub mod interrupts;
pub mod machine;
pub mod start;
pub mod views;

use plan::{DeviceKind, NO_VIEW, PAGE, Range};

use crate::board::{Board, Device, GICR_SIZE};
use crate::image::{CoreRow, Image, PartitionRow};
use crate::inputs::Inputs;
use crate::manifest::{Class, End, Manifest, Partition};
use crate::walk::{Regime, Stage};

/// The emulated distributor (`docs/guest-abi.md`, "Where things are").
pub const GUEST_GICD: Range = Range { base: 0x0800_0000, size: 0x1_0000 };
/// GICv2: the guest's CPU interface. Its first page is the hardware's GICV, its second EL2's.
pub const GUEST_GICC: Range = Range { base: 0x0801_0000, size: 0x2000 };
/// GICv3: the emulated redistributors.
pub const GUEST_GICR: u64 = 0x080a_0000;
/// The emulated PL011.
pub const GUEST_PL011: Range = Range { base: 0x0900_0000, size: PAGE };
/// Its INTID.
pub const GUEST_PL011_INTID: u32 = 33;
/// Bytes of the configuration space of one PCI bus.
const ECAM_SIZE: u64 = 1 << 20;

/// An image, and the inputs that it must agree with. Its plan has as many cores and partitions as
/// the manifest.
pub struct Context<'a> {
    /// The image.
    pub image: &'a Image<'a>,
    /// The inputs that it must agree with.
    pub inputs: &'a Inputs,
    /// Board core number of each core, by index.
    pub cores: Vec<u32>,
    /// Channel ends as declared.
    pub ends: Vec<End>,
}

/// The PCI bus on which a guest sees channel ends.
pub struct Bus {
    /// Configuration space.
    pub ecam: Range,
    /// The window of all BAR0s.
    pub registers: Range,
    /// The window of all BAR2s.
    pub shared: Range,
}

/// A device that EL2 must emulate for a guest.
pub struct Emulated {
    /// A name for messages.
    pub what: &'static str,
    /// What it is.
    pub kind: DeviceKind,
    /// Its number among those of its kind.
    pub index: u16,
    /// Its guest addresses.
    pub range: Range,
}

impl<'a> Context<'a> {
    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &'a Manifest {
        &self.inputs.manifest
    }

    /// The board.
    #[must_use]
    pub fn board(&self) -> &'a Board {
        &self.inputs.board
    }

    /// A partition's name.
    #[must_use]
    pub fn name(&self, partition: usize) -> &'a str {
        &self.manifest().partition[partition].name
    }

    /// Returns every partition: index, declaration, row.
    pub fn partitions(&self) -> impl Iterator<Item = (usize, &'a Partition, &'a PartitionRow)> {
        let declared = self.manifest().partition.iter().enumerate();
        let rows = self.image.partitions.iter();
        declared.zip(rows).map(|((p, declared), row)| (p, declared, row))
    }

    /// Devices passed through to a partition.
    pub fn devices(&self, partition: usize) -> impl Iterator<Item = &'a Device> {
        let manifest = self.manifest();
        manifest.devices(self.board(), &manifest.partition[partition])
    }

    /// Devices of a partition that are silenced before it restarts.
    pub fn quiesced(&self, partition: usize) -> impl Iterator<Item = &'a Device> {
        let restarts = self.manifest().partition[partition].restarts();
        self.devices(partition).filter(move |device| restarts && !device.quiesce.is_empty())
    }

    /// Index of the core with a board core number.
    #[must_use]
    pub fn core_index(&self, number: u32) -> usize {
        self.cores.partition_point(|&core| core < number)
    }

    /// Index of the core of a vCPU.
    #[must_use]
    pub fn core_of(&self, partition: usize, vcpu: usize) -> usize {
        self.core_index(self.manifest().partition[partition].vcpus[vcpu].core)
    }

    /// Returns the partition, vCPU and class that the manifest gives the core of an index.
    #[must_use]
    pub fn owner(&self, core: usize) -> (usize, usize, Class) {
        let number = self.cores[core];
        let partitions = self.manifest().partition.iter().enumerate();
        let found = partitions.flat_map(|(p, partition)| {
            let vcpus = partition.vcpus.iter().enumerate();
            vcpus.map(move |(v, vcpu)| (vcpu.core, (p, v, vcpu.class)))
        });
        let mut found = found.filter(|&(core, _)| core == number);
        found.next().map_or((0, 0, Class::Compute), |(_, owner)| owner)
    }

    /// Returns `core 2 (control/0)`: the board's number, and the vCPU that runs there.
    #[must_use]
    pub fn core_name(&self, core: usize) -> String {
        let (p, vcpu, _) = self.owner(core);
        format!("core {} ({}/{vcpu})", self.cores[core], self.name(p))
    }

    /// The row of a vCPU's core.
    #[must_use]
    pub fn core_row(&self, partition: usize, vcpu: usize) -> &'a CoreRow {
        &self.image.cores[self.core_of(partition, vcpu)]
    }

    /// Row and declaration of every end of a partition that has a row.
    pub fn ends_of(&self, partition: usize) -> impl Iterator<Item = (End, plan::End)> {
        let ends = self.ends.iter().filter(move |end| end.partition == partition);
        ends.filter_map(|&end| Some((end, self.end_row(end)?)))
    }

    /// The row of an end.
    #[must_use]
    pub fn end_row(&self, end: End) -> Option<plan::End> {
        let core = self.core_row(end.partition, end.vcpu);
        core.ends.get(end.handle).copied()
    }

    /// The other end of the same channel.
    #[must_use]
    pub fn peer(&self, end: End) -> End {
        self.ends[2 * end.channel + 1 - end.side]
    }

    /// Returns `channel samples, sensor/0 to control/0`: the direction in which an end sends.
    #[must_use]
    pub fn direction(&self, end: End) -> String {
        let peer = self.peer(end);
        format!(
            "channel {}, {}/{} to {}/{}",
            self.manifest().channel[end.channel].name,
            self.name(end.partition),
            end.vcpu,
            self.name(peer.partition),
            peer.vcpu
        )
    }

    /// Returns `channel samples`.
    #[must_use]
    pub fn channel_name(&self, end: End) -> String {
        format!("channel {}", self.manifest().channel[end.channel].name)
    }

    /// Returns the page of the state table of an end's channel, by the row of its first end; `None`
    /// if no guest sees the channel as a PCI function.
    #[must_use]
    pub fn state_table(&self, end: End) -> Option<Range> {
        let first = self.ends[2 * end.channel];
        let row = self.end_row(first)?;
        let declared = self.manifest().channel[end.channel].has_function();
        declared.then_some(Range { base: row.state_entry, size: PAGE })
    }

    /// Returns the row of an end that its guest sees as a PCI function.
    #[must_use]
    pub fn view(&self, end: End) -> Option<plan::View> {
        let views = &self.image.partitions[end.partition].views;
        views.get(self.device_number(end) as usize).copied()
    }

    /// Returns the device number of the PCI function that an end must be, or [`NO_VIEW`].
    #[must_use]
    pub fn device_number(&self, end: End) -> u32 {
        let is_function =
            |other: &&End| other.partition == end.partition && self.manifest().is_function(**other);
        let mut functions = self.ends.iter().filter(is_function);
        functions.position(|other| *other == end).map_or(NO_VIEW, |number| number as u32)
    }

    /// Returns the PCI bus of a partition, if it is declared to see any channel end as a function:
    /// where the rows say.
    #[must_use]
    pub fn bus(&self, partition: usize) -> Option<Bus> {
        let is_own = |end: &&End| end.partition == partition && self.manifest().is_function(**end);
        self.ends.iter().find(is_own)?;
        let row = &self.image.partitions[partition];
        let configuration = DeviceKind::PciConfiguration as u16;
        let ecam = row.devices.iter().find(|device| device.kind == configuration);
        let window = |of: &dyn Fn(&plan::View) -> Range| {
            let base = row.views.iter().map(|view| of(view).base).min().unwrap_or(0);
            let last = row.views.iter().map(|view| of(view).base.saturating_add(of(view).size));
            Range { base, size: last.max().unwrap_or(0).saturating_sub(base) }
        };
        Some(Bus {
            ecam: Range { base: ecam.map_or(0, |device| device.ipa.0), size: ECAM_SIZE },
            registers: window(&|view| Range { base: view.registers, size: PAGE }),
            shared: window(&|view| Range { base: view.shared, size: view.size }),
        })
    }

    /// Returns what EL2 must emulate for a partition, by guest address: what its device tree has of
    /// a GIC of the board's version, apart from the hardware's virtual CPU interface, and the PL011
    /// of its console.
    #[must_use]
    pub fn emulated(&self, partition: usize) -> Vec<Emulated> {
        let declared = &self.manifest().partition[partition];
        let emulated = |what, kind, index, range| Emulated { what, kind, index, range };
        let mut list =
            vec![emulated("the emulated distributor", DeviceKind::Distributor, 0, GUEST_GICD)];
        if self.board().gic[0].version == 3 {
            for (index, _) in (0..).zip(&declared.vcpus) {
                let base = GUEST_GICR + u64::from(index) * GICR_SIZE;
                let range = Range { base, size: GICR_SIZE };
                let what = "an emulated redistributor";
                list.push(emulated(what, DeviceKind::Redistributor, index, range));
            }
        } else {
            let range = Range { base: GUEST_GICC.base + PAGE, size: PAGE };
            list.push(emulated("the emulated GICC_DIR", DeviceKind::GiccDir, 0, range));
        }
        if declared.console {
            list.push(emulated("the emulated PL011", DeviceKind::Pl011, 0, GUEST_PL011));
        }
        if let Some(bus) = self.bus(partition) {
            let what = "the emulated PCI configuration space";
            list.push(emulated(what, DeviceKind::PciConfiguration, 0, bus.ecam));
            for (index, view) in (0..).zip(&self.image.partitions[partition].views) {
                let range = Range { base: view.registers, size: PAGE };
                let what = "the registers of a PCI function";
                list.push(emulated(what, DeviceKind::Ivshmem, index, range));
            }
        }
        list
    }

    /// Translates a guest address by stage 2 of an end's partition.
    #[must_use]
    pub fn translated(&self, end: End, ipa: u64) -> Option<u64> {
        let core = self.core_row(end.partition, end.vcpu).row;
        let regime = Regime {
            stage: Stage::Two,
            bits: 64 - (core.vtcr & 0x3f) as u32,
            start: 2u32.checked_sub((core.vtcr >> 6 & 3) as u32)?,
            root: core.vttbr & 0xffff_ffff_ffff,
            output_bits: 48,
            name: String::new(),
            who: Vec::new(),
        };
        regime.translate(self.image, ipa)
    }

    /// Returns the address of the pages that an end writes, by its own stage 2, or else by its
    /// peer's.
    #[must_use]
    pub fn region(&self, end: End) -> Option<Range> {
        let peer = self.peer(end);
        let own = self.end_row(end).and_then(|row| self.translated(end, row.tx_ipa));
        let peers = || self.end_row(peer).and_then(|row| self.translated(peer, row.rx_ipa));
        let base = own.or_else(peers)?;
        let size = region_size(self.manifest(), end);
        Some(Range { base, size })
    }
}

/// Returns the bytes of the pages that an end writes: a page of indices, then its data
/// (`docs/guest-abi.md`, "Channel pages").
#[must_use]
pub fn region_size(manifest: &Manifest, end: End) -> u64 {
    manifest.channel[end.channel].bytes[end.side].0.saturating_add(PAGE)
}

/// Returns the whole pages around a range.
#[must_use]
pub fn paged(range: Range) -> Range {
    let base = range.base & !(PAGE - 1);
    let end = range.base.saturating_add(range.size);
    let size = (end - base).checked_next_multiple_of(PAGE);
    Range { base, size: size.unwrap_or(u64::MAX - base) }
}
