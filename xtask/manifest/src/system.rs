// SPDX-License-Identifier: MIT OR Apache-2.0
//! A validated system: the manifest and its board together, every name resolved to an index and
//! every rule kept. The reader makes it, the planner turns it into a plan.

use std::path::PathBuf;

/// A validated system.
#[derive(Clone, Debug)]
pub struct System {
    /// The manifest's file name without `.toml`.
    pub name: String,
    /// The manifest.
    pub path: PathBuf,
    /// The board it runs on.
    pub board: Board,
    /// Partitions, in the manifest's order.
    pub partitions: Vec<Partition>,
    /// Channels, in the manifest's order.
    pub channels: Vec<Channel>,
    /// Board core number of the core that drains the console.
    pub console_core: u32,
    /// Percent of that core's time that draining may take.
    pub console_share: u32,
    /// What happens after the last partition has stopped: `plan::END_*`.
    pub at_end: u32,
    /// What happens after boot has refused the machine: `plan::END_*`.
    pub on_refusal: u32,
    /// The parts of EL2 that it has: `plan::options`.
    pub options: u64,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

/// Ranges sorted by address, touching ones joined.
pub fn merged<'a>(ranges: impl Iterator<Item = &'a Range>) -> Vec<Range> {
    let mut sorted: Vec<_> = ranges.copied().collect();
    sorted.sort_by_key(|range| range.base);
    let mut result: Vec<Range> = Vec::new();
    for range in sorted {
        match result.last_mut() {
            Some(last) if range.base <= last.base + last.size => {
                last.size = last.size.max(range.base + range.size - last.base);
            }
            _ => result.push(range),
        }
    }
    result
}

/// A board: data from `boards/NAME/board.toml`.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its folder's name.
    pub name: String,
    /// RAM that every such board has.
    pub ram: Vec<Range>,
    /// Reads the board that the manifest names.
    pub reserved: Vec<Range>,
    /// Parts of it that the boot device tree may reserve and the plan may use nevertheless, merged.
    pub reclaimed: Vec<Range>,
    /// Cores; a core's number is its place here.
    pub cores: Vec<BoardCore>,
    /// Core types that are admitted, as (mask, value) of `MIDR_EL1`, with a name for messages.
    pub midrs: Vec<(String, u32, u32)>,
    /// Errata of these that nothing is done about, in words: none on a board of silicon.
    pub errata: Vec<String>,
    /// Physical address width that every such board has, bits.
    pub pa_bits: u32,
    /// `plan::START_*`.
    pub start: u32,
    /// Writes to device registers, address and value, for each purpose of `plan::writes`.
    pub writes: [Vec<(u64, u32)>; plan::writes::COUNT],
    /// Time between two pets of the board's watchdog, microseconds, or 0 if it has none.
    pub watchdog_period: u64,
    /// `compatible` of the device that boot quiesces, or nothing.
    pub quiesced: String,
    /// Interrupt controller that the system is built for: the first of [`Self::gics`] unless
    /// another is asked for.
    pub gic: Gic,
    /// All interrupt controllers that it can have.
    pub gics: Vec<Gic>,
    /// The console's PL011 and its INTID.
    pub uart: (Range, u32),
    /// Its clock, Hz, or 0 if the board's file does not have it: the serial loader needs it.
    pub uart_clock: u32,
    /// Devices that can be passed through.
    pub devices: Vec<Device>,
    /// Contents of its boot medium, if firmware starts the image from one.
    pub card: Option<Card>,
    /// How QEMU runs it; none if QEMU does not.
    pub qemu: Option<Qemu>,
}

/// A physical core.
#[derive(Clone, Debug)]
pub struct BoardCore {
    /// Affinity fields of `MPIDR_EL1`.
    pub mpidr: u64,
    /// Cores with the same number share a cluster (and its L2).
    pub cluster: u32,
    /// Spin-table release address, or 0.
    pub release: u64,
}

/// The board's interrupt controller. Ranges it does not have are empty (size 0).
#[derive(Clone, Debug)]
pub struct Gic {
    /// 2 or 3.
    pub version: u32,
    /// Least number of list registers.
    pub list_registers: u32,
    /// INTIDs of the distributor.
    pub intids: u32,
    /// Distributor.
    pub gicd: Range,
    /// Redistributors: 128 KiB per core, in core order.
    pub gicr: Range,
    /// CPU interface (GICv2).
    pub gicc: Range,
    /// Virtual interface control (GICv2).
    pub gich: Range,
    /// Virtual CPU interface (GICv2).
    pub gicv: Range,
}

/// A device of the board.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name in manifests.
    pub name: String,
    /// Registers, whole pages.
    pub regs: Range,
    /// Interrupts.
    pub interrupts: Vec<Interrupt>,
    /// Name of its nodes in the guest's tree, without their addresses.
    pub node: String,
    /// `compatible` strings for them, most specific first; none means no node.
    pub compatible: Vec<String>,
    /// Names of the clocks that its driver asks for: each is the tree's one clock.
    pub clock_names: Vec<String>,
    /// Properties without a value.
    pub flags: Vec<String>,
    /// The number of equal devices that share its registers; each has a node and an interrupt.
    pub units: usize,
    /// Whether the device can write memory by DMA.
    pub dma: bool,
    /// Writes to its registers, address and value, that silence it; they read back as written.
    pub quiesce: Vec<(u64, u32)>,
}

/// A physical interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// INTID.
    pub intid: u32,
    /// Edge-triggered; otherwise level-sensitive.
    pub edge: bool,
}

/// The medium that a board's firmware boots from.
#[derive(Clone, Debug)]
pub struct Card {
    /// The image's name on it.
    pub image: String,
    /// The RAM where firmware puts the device tree; empty if that is not known.
    pub device_tree: Range,
    /// Firmware's settings: the lines of config.txt. [`LOAD_ADDRESS`] is for [`Self::settings`].
    pub config: String,
    /// Further files that the firmware needs there.
    pub files: Vec<CardFile>,
}

/// The word in firmware's settings that is replaced by the image's address.
pub const LOAD_ADDRESS: &str = "{load-address}";

/// A file of firmware on the boot medium.
#[derive(Clone, Debug)]
pub struct CardFile {
    /// Its path there.
    pub name: String,
    /// Debian's package that has it, and its path in the package, a pattern.
    pub debian: (String, String),
}

impl Card {
    /// Whether firmware can load the `size` bytes of an image at `base`: the device tree, which
    /// firmware loads later, would not be written over it.
    pub fn takes(&self, base: u64, size: u64) -> bool {
        let tree = &self.device_tree;
        tree.size > 0 && (base + size <= tree.base || tree.base + tree.size <= base)
    }

    /// Returns the lines of config.txt for an image of `size` bytes whose planned address is
    /// `base`. Firmware loads it there if it can, and then EL2 does not have to move it. Otherwise
    /// the line with [`LOAD_ADDRESS`] is left out, and a comment says so.
    pub fn settings(&self, base: u64, size: u64) -> String {
        let line = |line: &str| match line.contains(LOAD_ADDRESS) {
            false => format!("{line}\n"),
            true if self.takes(base, size) => {
                format!("{}\n", line.replace(LOAD_ADDRESS, &format!("{base:#x}")))
            }
            true => format!(
                "# Left out: at {base:#x} this image of {size} bytes would overlap the device \
                 tree that\n# firmware loads after it, so the image moves itself.\n",
            ),
        };
        self.config.trim().lines().map(line).collect()
    }
}

/// How QEMU runs a board.
#[derive(Clone, Debug)]
pub struct Qemu {
    /// `-M`.
    pub machine: String,
    /// `-cpu`, or none where the machine fixes it.
    pub cpu: Option<String>,
    /// `-smp`.
    pub cores: u32,
    /// `-m`, bytes.
    pub memory: u64,
    /// `-dtb`, where the machine does not make a device tree: `debian:` and a device tree of
    /// Debian's kernel for arm64, or its file once the runner has fetched it.
    pub dtb: Option<String>,
}

/// A virtual machine.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Name.
    pub name: String,
    /// vCPUs: board core number and `plan::CLASS_*`.
    pub vcpus: Vec<Vcpu>,
    /// Memory; the first piece holds the device tree.
    pub memory: Vec<Memory>,
    /// The program it runs.
    pub image: Image,
    /// Command line for its device tree.
    pub command_line: Option<String>,
    /// Initial RAM disk: file and contents.
    pub initrd: Option<(PathBuf, Vec<u8>)>,
    /// IPA of the device tree, if fixed.
    pub device_tree: Option<u64>,
    /// Devices passed through: indices into `Board::devices`.
    pub devices: Vec<usize>,
    /// Interrupts passed through, those of its devices included.
    pub interrupts: Vec<Interrupt>,
    /// Whether it has an emulated PL011.
    pub console: bool,
    /// The result of an access outside all that it has.
    pub outside: Outside,
    /// What follows when it stops.
    pub policy: Policy,
    /// Whether it supervises the others.
    pub supervisor: bool,
    /// Text of a console line with which it has passed; later lines do not change that.
    pub pass: Option<String>,
    /// Text of a console line with which it has failed.
    pub fail: Option<String>,
}

/// What follows when a partition stops. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After a fault, `FAIL` or a missed watchdog: `plan::ACTION_*`.
    pub on_fault: u8,
    /// After `SYSTEM_RESET`.
    pub on_reset: u8,
    /// After `SYSTEM_OFF`.
    pub on_off: u8,
    /// Most restarts within the window.
    pub limit: u32,
    /// The window, which the first restart begins.
    pub within: u64,
    /// Time from the stop to the first restart of a window.
    pub delay: u64,
    /// Factor by which the delay grows with each further restart within the window.
    pub back_off: u8,
    /// Time from a start to the first call that sets the watchdog, or 0 for no limit.
    pub first: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            on_fault: plan::ACTION_RESTART,
            on_reset: plan::ACTION_RESTART,
            on_off: plan::ACTION_HALT,
            limit: 5,
            within: 60_000_000,
            delay: 100_000,
            back_off: 2,
            first: 0,
        }
    }
}

impl Policy {
    /// Returns whether anything restarts the partition.
    #[must_use]
    pub fn restarts(&self) -> bool {
        [self.on_fault, self.on_reset, self.on_off].contains(&plan::ACTION_RESTART)
    }
}

/// What a partition gets for an access outside all that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// A synchronous external abort, as on a machine where no device answers.
    #[default]
    Abort,
    /// The partition is halted.
    Halt,
}

/// A vCPU and the core it owns.
#[derive(Clone, Copy, Debug)]
pub struct Vcpu {
    /// Board core number.
    pub core: u32,
    /// `plan::CLASS_*`.
    pub class: u32,
}

/// A piece of memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Guest address.
    pub ipa: u64,
    /// Bytes.
    pub size: u64,
    /// Physical address, if the manifest fixes it.
    pub physical: Option<u64>,
    /// Whether it represents a ROM or flash: read-only to the guest, and not in its tree's memory
    /// node.
    pub rom: bool,
}

impl Memory {
    /// Returns its name for messages.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self.rom {
            true => "ROM",
            false => "memory",
        }
    }
}

/// A partition's program, read and understood.
#[derive(Clone, Debug)]
pub struct Image {
    /// Where it came from.
    pub file: PathBuf,
    /// Pieces to load.
    pub segments: Vec<Segment>,
    /// IPA where vCPU 0 starts.
    pub entry: u64,
}

/// Bytes that are loaded at one address.
#[derive(Clone, Debug)]
pub struct Segment {
    /// IPA.
    pub ipa: u64,
    /// Contents.
    pub bytes: Vec<u8>,
    /// Bytes cleared after them.
    pub clear: u64,
}

/// A channel.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Name.
    pub name: String,
    /// The two ends.
    pub ends: [End; 2],
}

/// One end of a channel.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Index of the partition.
    pub partition: usize,
    /// vCPU number in it.
    pub vcpu: usize,
    /// Data bytes that this end sends: a power of two, at least a page, or 0. Its region has one
    /// page more.
    pub bytes: u64,
    /// How it waits for the other end: `channel::wait`. Only `DOORBELL` ends have an interrupt.
    pub wait: u32,
    /// Most doorbells per second it may send on average; 0 means no limit.
    pub rate: u32,
    /// Doorbells it may send back to back.
    pub burst: u32,
    /// What its guest sees of it.
    pub view: View,
}

impl Channel {
    /// Returns whether the guest of either end sees it as a PCI function. The channel's pages are
    /// then Normal Non-cacheable for both, since an unmodified driver maps them so.
    #[must_use]
    pub fn has_function(&self) -> bool {
        self.ends.iter().any(|end| end.view == View::Ivshmem)
    }
}

/// What a guest sees of its channel end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Its pages, a node in its device tree, and calls.
    #[default]
    Pages,
    /// A PCI function, ivshmem version 2.
    Ivshmem,
}

impl View {
    /// Each with its word in manifests.
    pub const WORDS: [(&'static str, Self); 2] =
        [("pages", Self::Pages), ("ivshmem", Self::Ivshmem)];
}
