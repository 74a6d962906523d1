//! The plan: the exact bytes that the host computes from a system manifest and EL2 runs from.
//!
//! This crate has only types. The host writes them, EL2 and the verifier read them; nobody else
//! interprets the bytes. Every multi-byte field is little-endian. Addresses are physical unless a
//! name says `ipa`. EL2 runs with VA = PA, so an address in the plan is also the pointer EL2 uses.
//!
//! In an image the parts are in this order, each starting on a page: EL2's segments, the plan
//! (header, arrays, translation tables), the pristine guest images. The whole image moves to
//! [`Header::el2_base`] as one block.
//!
//! A plan is read from its bytes, at any address, without a copy:
//!
//! ```
//! use bulkhead_plan::{Array, INTERRUPT_EDGE, Interrupt};
//! use zerocopy::{FromBytes, IntoBytes};
//!
//! let rows = [Interrupt { intid: 128, flags: INTERRUPT_EDGE, vcpu: 0 }];
//! let mut bytes = vec![0; 64];
//! let array = Array { offset: 16, count: 1 };
//! bytes[16..24].copy_from_slice(rows.as_bytes());
//!
//! let from = &bytes[array.offset as usize..];
//! let (row, _) = Interrupt::read_from_prefix(from).expect("there are eight bytes");
//! assert_eq!(row, rows[0]);
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub mod address;
pub mod device;
pub mod load;

pub use address::{Ipa, Pa};
pub use device::{DeviceKind, EmulatedDevice};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes in a page and in a translation table with the 4 KiB granule.
pub const PAGE: u64 = 4096;
/// First eight bytes of every plan.
pub const MAGIC: u64 = u64::from_le_bytes(*b"BULKPLAN");
/// Version of these types. EL2 refuses any other.
pub const VERSION: u32 = 6;

/// Interrupt numbers (INTIDs) a partition may see: 32 private and 256 shared ones.
pub const INTIDS: usize = 288;
/// Most vCPUs of one partition.
pub const MAX_VCPUS: usize = 8;
/// Most channel ends of one vCPU: one bit each in its pending word.
pub const MAX_ENDS: usize = 64;
/// Most channel ends of one partition that its guest sees as PCI functions: the devices of a bus.
pub const MAX_VIEWS: usize = 32;
/// Most cores of one system.
pub const MAX_CORES: usize = 8;
/// Most partitions of one system: each owns a core at least.
pub const MAX_PARTITIONS: usize = MAX_CORES;

/// `MAIR_EL2` for every core: attribute 0 is Device-nGnRE, 1 is Normal Write-Back, 2 is Normal
/// Non-cacheable.
pub const MAIR_EL2: u64 = 0x44_ff04;
/// Bytes of EL2's private region of each core: an unmapped guard page, the stack, then the core's
/// state page.
pub const PRIVATE_SIZE: u64 = 8 * PAGE;
/// Bytes at the top of a private region that hold the core's state; the stack is between it and the
/// guard page.
pub const PRIVATE_STATE: u64 = 3 * PAGE;
/// Bytes of EL2's state of each partition (vGIC distributor and banks, power states), mapped only
/// by the partition's own cores.
pub const STATE_SIZE: u64 = 4 * PAGE;
/// Bytes of the shared region that belong to all cores together.
pub const SHARED_GLOBAL: u64 = PAGE;
/// Bytes of the shared region of each core: pending word, counters.
pub const SHARED_PER_CORE: u64 = PAGE;
/// Bytes of the shared region of each partition: its console rings.
pub const SHARED_PER_PARTITION: u64 = 4 * PAGE;
/// Bytes of the ring of crash records, which boot does not clear.
pub const RECORDS_SIZE: u64 = 2 * PAGE;

/// Percentages of its core's time that the console may take, as a system may choose.
pub const CONSOLE_SHARES: core::ops::RangeInclusive<u32> = 1..=50;
/// Share of a system that chooses none: one of [`CONSOLE_SHARES`].
pub const CONSOLE_SHARE: u32 = 10;

/// The place of an array of `T`: `offset` in bytes from the plan's first byte, `count` in elements.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Array {
    /// Bytes from the plan's first byte to the first element.
    pub offset: u32,
    /// Number of elements.
    pub count: u32,
}

/// A range of physical addresses: `base..base + size`, both multiples of [`PAGE`].
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

/// The plan's first bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// CRC32C (Castagnoli, reflected, initial value and final XOR all ones) of the plan's bytes
    /// from `size` on.
    pub crc: u32,
    /// Bytes of the plan: header, arrays and translation tables. A multiple of [`PAGE`].
    pub size: u64,
    /// Bytes of the whole image, from its first byte to the end of the last guest image. A multiple
    /// of [`PAGE`].
    pub image_size: u64,
    /// Address the image's first byte moves to.
    pub el2_base: u64,
    /// EL2's shared region: [`SHARED_GLOBAL`], then [`SHARED_PER_CORE`] for each core, then
    /// [`SHARED_PER_PARTITION`] for each partition, in order.
    pub shared: Range,
    /// The ring of crash records, [`RECORDS_SIZE`] bytes; all zero without
    /// [`options::CRASH_RECORDS`].
    pub records: Range,
    /// `TCR_EL2` of every core.
    pub tcr: u64,
    /// [`Core`] rows; a core's index is its place here.
    pub cores: Array,
    /// [`Partition`] rows.
    pub partitions: Array,
    /// What the machine must have.
    pub machine: Machine,
    /// Index of the core that drains the console.
    pub console_core: u32,
    /// What happens after the last partition has stopped: [`END_POWER_OFF`], [`END_RESET`] or
    /// [`END_WAIT`].
    pub at_end: u32,
    /// Percent of its core's time that draining the console may take: one of [`CONSOLE_SHARES`].
    pub console_share: u32,
    /// What happens after boot has refused the machine: as [`Self::at_end`].
    pub on_refusal: u32,
    /// The [`options`] that the system needs. EL2 refuses a plan unless these are its own.
    pub options: u64,
}

/// Parts of EL2 that a system has or leaves out: bits of [`Header::options`].
pub mod options {
    /// Crash records.
    pub const CRASH_RECORDS: u64 = 1 << 0;
    /// The calls of supervisors, and the console's monitor.
    pub const SUPERVISION: u64 = 1 << 1;
    /// All of them.
    pub const ALL: u64 = CRASH_RECORDS | SUPERVISION;
    /// Their names, by bit: the keys of a manifest, and the features of EL2's package.
    pub const NAMES: [&str; 2] = ["crash-records", "supervision"];

    /// Returns the names of the options in `options`. A bit that no option has is left out.
    pub fn names(options: u64) -> impl Iterator<Item = &'static str> {
        (0..).zip(NAMES).filter(move |(bit, _)| options >> bit & 1 != 0).map(|(_, name)| name)
    }
}

/// [`Header::at_end`]: power the machine off.
pub const END_POWER_OFF: u32 = 0;
/// [`Header::at_end`]: leave the cores waiting, for a debugger or a watchdog.
pub const END_WAIT: u32 = 1;
/// [`Header::at_end`]: reset the machine.
pub const END_RESET: u32 = 2;

/// What the machine must have for this plan. EL2 compares it with the boot device tree and the ID
/// registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Machine {
    /// 2 or 3.
    pub gic_version: u32,
    /// Least number of list registers.
    pub list_registers: u32,
    /// Least number of INTIDs of the distributor, private ones included.
    pub intids: u32,
    /// Least physical address width, bits.
    pub pa_bits: u32,
    /// Distributor.
    pub gicd: Range,
    /// Redistributors (GICv3), first frame of the first region.
    pub gicr: Range,
    /// CPU interface (GICv2).
    pub gicc: Range,
    /// Virtual interface control (GICv2).
    pub gich: Range,
    /// Virtual CPU interface (GICv2).
    pub gicv: Range,
    /// The console's PL011. Its address need not be a multiple of a page.
    pub uart: Range,
    /// The console UART's INTID.
    pub uart_intid: u32,
    /// How other cores start: [`START_PSCI`] or [`START_SPIN_TABLE`].
    pub start: u32,
    /// [`Range`]s of RAM that the plan uses: the machine's RAM must cover each.
    pub ram: Array,
    /// [`Midr`] rows: each core must match one.
    pub midrs: Array,
    /// [`Write`] rows for each purpose in [`writes`], which is the index here.
    pub writes: [Array; writes::COUNT],
    /// Time between two pets of the board's watchdog, microseconds, or 0 if it has none.
    pub watchdog_period: u64,
    /// `compatible` of the device that [`writes::QUIESCE`] stops, if the boot device tree has it;
    /// zero-padded, with a final zero.
    pub quiesced: [u8; 32],
    /// [`Range`]s that the plan may use though the boot device tree may reserve them, by address;
    /// they do not touch.
    pub reclaimed: Array,
}

/// Purposes of a board's writes to device registers: indices of [`Machine::writes`].
pub mod writes {
    /// Switch the machine off where firmware has no PSCI.
    pub const POWER_OFF: usize = 0;
    /// Reset the machine where firmware has no PSCI.
    pub const RESET: usize = 1;
    /// Start the board's watchdog, or begin its time anew.
    pub const WATCHDOG: usize = 2;
    /// Connect the console's PL011 to its pins, and set baud rate and format.
    pub const CONSOLE: usize = 3;
    /// Stop the device that firmware may have left writing memory.
    pub const QUIESCE: usize = 4;
    /// Switch a light on that shows that EL2 boots.
    pub const LIGHT_ON: usize = 5;
    /// Switch the light off.
    pub const LIGHT_OFF: usize = 6;
    /// Number of purposes.
    pub const COUNT: usize = 7;
    /// Purposes below it are for the console core's use while partitions run, the others only for
    /// boot's.
    pub const RUNNING: usize = 3;
    /// The keys of a board's file, by purpose.
    pub const KEYS: [&str; COUNT] = [
        "power-off",
        "reset",
        "watchdog.pet",
        "console.init",
        "quiesce.writes",
        "light.on",
        "light.off",
    ];
}

/// A 32-bit write to a device register.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Write {
    /// The register, a multiple of 4.
    pub address: u64,
    /// Value written.
    pub value: u32,
    /// Reads as zero.
    pub reserved: u32,
}

/// [`Machine::start`]: PSCI `CPU_ON` by SMC.
pub const START_PSCI: u32 = 0;
/// [`Machine::start`]: a spin table, one release address per core (Linux
/// `Documentation/arch/arm64/booting.rst`).
pub const START_SPIN_TABLE: u32 = 1;

/// A core type the board admits: `MIDR_EL1 & mask == value`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Midr {
    /// Bits compared.
    pub mask: u32,
    /// Their required value.
    pub value: u32,
}

/// [`Core::class`]: the core does only its own work; it is never a channel end and never rung.
pub const CLASS_COMPUTE: u32 = 0;
/// [`Core::class`]: the core may be an end of channels and take doorbells.
pub const CLASS_COMM: u32 = 1;

/// One physical core, and the one vCPU that runs there.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Core {
    /// Affinity fields of `MPIDR_EL1` (Aff3 in bits 39:32, Aff2..Aff0 in 23:0), as PSCI `CPU_ON`
    /// wants them.
    pub mpidr: u64,
    /// Index of the owning partition.
    pub partition: u32,
    /// The vCPU's number within its partition.
    pub vcpu: u32,
    /// [`CLASS_COMPUTE`] or [`CLASS_COMM`].
    pub class: u32,
    /// Reads as zero.
    pub reserved: u32,
    /// EL2's private region, [`PRIVATE_SIZE`] bytes.
    pub private: Range,
    /// `TTBR0_EL2` while the core runs its guest: no partition memory mapped.
    pub ttbr_run: u64,
    /// `TTBR0_EL2` while the core loads its partition: the partition's memory and pristine images
    /// mapped too.
    pub ttbr_load: u64,
    /// This core's redistributor (GICv3), or zero.
    pub gicr: u64,
    /// Spin-table release address, or zero.
    pub release: u64,
    /// `VTTBR_EL2`: stage-2 root, VMID in bits 55:48.
    pub vttbr: u64,
    /// `VTCR_EL2`.
    pub vtcr: u64,
    /// `HCR_EL2`.
    pub hcr: u64,
    /// `CPTR_EL2`.
    pub cptr: u64,
    /// `MDCR_EL2`; EL2 adds `HPMN`, which only the machine knows.
    pub mdcr: u64,
    /// `HSTR_EL2`.
    pub hstr: u64,
    /// `CNTHCTL_EL2`.
    pub cnthctl: u64,
    /// `CNTVOFF_EL2`: the same at both ends of every channel.
    pub cntvoff: u64,
    /// `VMPIDR_EL2`.
    pub vmpidr: u64,
    /// [`End`] rows: the vCPU's channel ends. A handle is an index here and a bit of the pending
    /// word.
    pub ends: Array,
}

/// [`End::peer_core`] where the peer polls or waits by WFE: not a core's index, so that such an end
/// cannot send an SGI.
pub const NO_CORE: u32 = u32::MAX;

/// One end of a channel, as its vCPU's core sees it. Handles index these rows.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct End {
    /// Index of the core at the other end, or [`NO_CORE`] where that end waits without doorbells.
    pub peer_core: u32,
    /// The other end's handle there: the bit of its pending word.
    pub peer_handle: u32,
    /// Index of the other end's partition.
    pub peer_partition: u32,
    /// The virtual interrupt (SPI) that a doorbell makes pending at this end, or 0 if it takes
    /// none.
    pub intid: u32,
    /// Doorbells per second that this end may send in the long run; 0 means no limit.
    pub rate: u32,
    /// Doorbells that may be sent back to back before the rate counts; at least 1.
    pub burst: u32,
    /// Where the guest sees the pages it writes: IPA and bytes.
    pub tx_ipa: u64,
    /// Bytes of them: [`PAGE`] for indices, then the data, if this end sends any.
    pub tx_size: u64,
    /// Where the guest sees the pages its peer writes, read-only.
    pub rx_ipa: u64,
    /// Bytes of them.
    pub rx_size: u64,
    /// Address of this end's word in the channel's state table, or 0 if neither guest sees the
    /// channel as a PCI function.
    pub state_entry: u64,
    /// Index in [`Partition::views`] if this end's guest sees it as a PCI function, or [`NO_VIEW`].
    pub view: u32,
    /// Reads as zero.
    pub reserved: u32,
}

/// [`End::view`] of an end whose guest sees its pages.
pub const NO_VIEW: u32 = u32::MAX;

/// A channel end that its guest sees as a PCI function, ivshmem version 2. Its number on the bus is
/// its index in [`Partition::views`].
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct View {
    /// Index of the core that has the end.
    pub core: u32,
    /// The end's handle there.
    pub handle: u32,
    /// Its ID: 0 or 1. The peer's is the other one.
    pub id: u32,
    /// How the peer waits, one of `channel::wait`.
    pub peer_wait: u32,
    /// BAR0: IPA of the registers, one page.
    pub registers: u64,
    /// BAR2: IPA of the shared memory, a multiple of `size`: the state table, then both output
    /// sections.
    pub shared: u64,
    /// Bytes of BAR2: a power of two.
    pub size: u64,
    /// Bytes of one output section.
    pub section: u64,
    /// The channel's name, zero-padded.
    pub name: [u8; 16],
}

/// One partition.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Partition {
    /// Name, ASCII, zero-padded.
    pub name: [u8; 16],
    /// EL2's state of this partition, [`STATE_SIZE`] bytes.
    pub state: Range,
    /// Where vCPU 0 starts.
    pub entry: Ipa,
    /// The guest's device tree: x0 at the start.
    pub dtb: Ipa,
    /// Core index of each vCPU (`u32` elements).
    pub vcpus: Array,
    /// [`Memory`] rows: the partition's own RAM, channel pages apart.
    pub memory: Array,
    /// [`Load`] rows: what is copied from the pristine images; no two fill the same byte.
    pub loads: Array,
    /// [`Interrupt`] rows.
    pub interrupts: Array,
    /// [`Range`]s of channel pages this partition's cores clear before any guest runs.
    pub clears: Array,
    /// [`View`] rows.
    pub views: Array,
    /// What the guest sees of the GIC.
    pub gic: GuestGic,
    /// [`EmulatedDevice`] rows, sorted by address; they do not overlap.
    pub devices: Array,
    /// INTID of the emulated PL011, or 0 if it has none.
    pub uart_intid: u32,
    /// SGR colour of this partition's console lines (31 to 36), or 0 for none.
    pub colour: u32,
    /// `PARTITION_*` bits.
    pub flags: u32,
    /// The virtual interrupt (SPI) that tells this supervisor that a partition's state has changed,
    /// or 0 if it is not a supervisor. It goes to vCPU 0.
    pub supervisor: u32,
    /// What follows when it stops.
    pub policy: Policy,
}

/// What follows when a partition stops: one of `ACTION_*` by cause, and how it restarts. Times are
/// in microseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Policy {
    /// After a fault that EL2 halts it for, `FAIL`, or a watchdog that it missed.
    pub on_fault: u8,
    /// After `SYSTEM_RESET`.
    pub on_reset: u8,
    /// After `SYSTEM_OFF`.
    pub on_off: u8,
    /// Factor by which the delay grows with each further restart within the window.
    pub back_off: u8,
    /// Most restarts within the window; then it halts.
    pub limit: u32,
    /// The window, which the first restart begins.
    pub within: u64,
    /// Time from the stop to the first restart of a window.
    pub delay: u64,
    /// Time from a start to the first call that sets the watchdog, or 0 for no limit.
    pub first: u64,
    /// [`Write`] rows that silence its devices before a restart; each is read back.
    pub quiesce: Array,
}

/// In [`Policy`]: the partition stays as it is.
pub const ACTION_HALT: u8 = 0;
/// In [`Policy`]: the partition starts again.
pub const ACTION_RESTART: u8 = 1;
/// In [`Policy`]: the whole system stops.
pub const ACTION_STOP_SYSTEM: u8 = 2;

/// [`Partition::flags`]: an access outside everything that the guest has halts it, instead of an
/// external abort.
pub const PARTITION_HALT_OUTSIDE: u32 = 1 << 0;

/// What a guest sees of its emulated GIC, apart from its addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct GuestGic {
    /// 2 or 3.
    pub version: u32,
    /// INTIDs the guest's distributor says it has, the board's: a multiple of 32, at most
    /// [`INTIDS`].
    pub intids: u32,
}

/// A piece of a partition's memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Memory {
    /// Guest address.
    pub ipa: Ipa,
    /// Physical address.
    pub base: Pa,
    /// Bytes.
    pub size: u64,
}

/// A copy from the pristine images into partition memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Load {
    /// Physical address in the moved image.
    pub source: u64,
    /// Physical address in the partition's memory.
    pub target: u64,
    /// Bytes copied.
    pub size: u64,
    /// Bytes after the copied ones that belong to the same piece (an ELF segment's bss). They are
    /// zero, since EL2 clears what it does not copy.
    pub clear: u64,
}

/// [`Interrupt::flags`]: hardware raises it; the list register links to the physical interrupt of
/// the same number.
pub const INTERRUPT_PHYSICAL: u16 = 1 << 0;
/// [`Interrupt::flags`]: edge-triggered; otherwise level-sensitive.
pub const INTERRUPT_EDGE: u16 = 1 << 1;
/// [`Interrupt::flags`]: its vCPU is fixed, as a channel's is; the guest cannot route it.
pub const INTERRUPT_FIXED: u16 = 1 << 2;

/// One interrupt a partition has: an SPI, or a PPI that each of its vCPUs has.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Interrupt {
    /// INTID, 16 to `INTIDS - 1`. SGIs are not listed: every vCPU has all 16, wholly virtual.
    pub intid: u16,
    /// `INTERRUPT_*` bits.
    pub flags: u16,
    /// vCPU it is routed to at the start (SPIs).
    pub vcpu: u32,
}

const _: () = assert!(size_of::<Header>() == 360);
const _: () = assert!(size_of::<Machine>() == 240);
const _: () = assert!(size_of::<Core>() == 152);
const _: () = assert!(size_of::<End>() == 72);
const _: () = assert!(size_of::<View>() == 64);
const _: () = assert!(size_of::<Partition>() == 168);
const _: () = assert!(size_of::<Interrupt>() == 8);
