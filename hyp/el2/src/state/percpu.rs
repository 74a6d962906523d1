//! A core's own state, one part per service, and the state of its partition.

use ::core::ptr;
use ::core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use aarch64_cpu::registers::{TPIDR_EL2, Writeable};
use abi::{Reason, supervise};
use console::{Keys, Monitor, Mux, Pace, Pl011};
use doorbell::{Bucket, Counters, Deferred, PendingWord};
use plan::device::first_ipa;
use plan::{
    DeviceKind, EmulatedDevice, INTIDS, Interrupt, Ipa, MAX_ENDS, MAX_VCPUS, MAX_VIEWS,
    PRIVATE_SIZE, PRIVATE_STATE, STATE_SIZE,
};
use psci::{Power, Start};
use tock_registers::registers::ReadWrite;
use vgic::{Delivery, Gic};
use zerocopy::FromZeros;

use super::deadlines::Deadlines;
use super::next::{Fault, Stop};
use super::plan_view::PlanView;
use super::shared::{Shared, SharedPerCpu, Terminal};
use crate::arch::{timer, unreachable_state};

/// The state of one core. `TPIDR_EL2` points to it; the vectors hand it out as an exclusive borrow,
/// once per entry. The parts that the vectors' fast paths read are first.
#[repr(C, align(64))]
pub struct PerCpu {
    /// The part of the shared region that is this core's.
    pub mine: &'static SharedPerCpu,
    /// The vGIC's part.
    pub vgic: VgicState,
    /// The doorbells' part.
    pub doorbell: DoorbellState,
    /// The console's part.
    pub console: ConsoleState,
    /// The deadlines that EL2's timer is armed for.
    pub deadlines: Deadlines,
    /// The last abort that EL2 made the guest take.
    pub injected: Option<InjectedAbort>,
    /// Where its vCPU starts next, for `Next::Start`.
    pub start: Start,
    /// Why its partition stops, for `Stop::Fault`.
    pub fault: Fault,
    /// The code of the call `FAIL`, for `Stop::Failed`.
    pub fail_code: u64,
    /// Why its partition stops, once its guest is left: see `irq::guest_stopped`.
    pub stop: Stop,
    /// `ELR_EL2` and `SPSR_EL2` of the guest then.
    pub left: [u64; 2],
    /// Number of the crash record that this core prints, and its next line.
    pub told: (u64, usize),
    /// Whether its partition has stopped.
    pub stopped: bool,
    /// Number of times that this core has loaded its partition again.
    pub reloads: u32,
    /// The rate limit of orders to other partitions, if this one is a supervisor.
    pub orders: Bucket,
    /// This core's index in the plan.
    pub index: usize,
    /// Its row.
    pub row: &'static plan::Core,
    /// Its partition's row.
    pub partition: &'static plan::Partition,
    /// Its partition's emulated devices.
    pub devices: &'static [EmulatedDevice],
    /// IPA of its partition's emulated distributor, for the fast paths.
    pub gicd_ipa: Ipa,
    /// IPA of its partition's first emulated redistributor, which the others follow, or
    /// [`plan::device::NOWHERE`], for the fast paths.
    pub gicr_ipa: Ipa,
    /// IPA of its partition's emulated PL011, or [`plan::device::NOWHERE`], for the fast paths.
    pub uart_ipa: Ipa,
    /// The plan.
    pub plan: PlanView,
    /// The plan's core rows.
    pub cores: &'static [plan::Core],
    /// Indices there of its partition's vCPUs.
    pub vcpus: &'static [u32],
    /// Value of [`Global::focus`](super::shared::Global) while its partition is live.
    pub focus: u32,
    /// Its partition's console rings.
    pub terminal: &'static Terminal,
    /// The state that its partition's cores share.
    pub state: &'static PartitionState,
    /// The region that all cores share.
    pub shared: Shared,
}

const _: () = assert!(size_of::<PerCpu>() as u64 <= PRIVATE_STATE);

/// The vGIC's part of [`PerCpu`].
#[repr(C)]
pub struct VgicState {
    /// This vCPU's request word. Zero means that the cached entries of [`Delivery`] are valid and
    /// no sibling has a request.
    pub requests: &'static AtomicU32,
    /// GICv2: the senders of each SGI that waits for this vCPU: [`Gic::senders`].
    pub senders: &'static AtomicU32,
    /// The holder of each SPI: [`Gic::holders`].
    pub holders: &'static [AtomicU8; INTIDS - 32],
    /// Value there that names this core's vCPU.
    pub holder: u32,
    /// Which interrupt is in which list register.
    pub delivery: Delivery,
    /// This core's hardware.
    pub backend: VgicBackend,
}

/// The vGIC's data about this core's hardware; `drivers/vgic_backend.rs` acts on it.
pub struct VgicBackend {
    /// Number of list registers.
    pub list_registers: usize,
    /// Address of the distributor.
    pub gicd: u64,
    /// GICv2: address of the CPU interface.
    pub gicc: u64,
    /// GICv2: address of the virtual interface control.
    pub gich: u64,
    /// Address of the registers whose word 0 is this core's.
    pub private: u64,
    /// For each vCPU, its core's affinity fields, and the doorbell SGI to it in the driver's form.
    pub siblings: [(u64, u64); MAX_VCPUS],
}

/// The doorbells' part of [`PerCpu`].
#[repr(C)]
pub struct DoorbellState {
    /// Number of channel ends.
    pub count: u64,
    /// Channel ends, by handle.
    pub ends: [ChannelEnd; MAX_ENDS],
    /// The virtual interrupt of a doorbell at each end.
    pub intids: [u32; MAX_ENDS],
    /// Doorbells put off by the rate limit.
    pub deferred: Deferred,
}

/// One of a core's channel ends, with all data that sending a doorbell needs.
#[derive(Default, FromZeros)]
#[repr(C)]
pub struct ChannelEnd {
    /// Limit on the SGIs it sends.
    pub bucket: Bucket,
    /// Its counters, in the shared region.
    pub counters: Option<&'static Counters>,
    /// The peer core's pending word, or none if that end takes no doorbells.
    pub word: Option<&'static PendingWord>,
    /// The peer's bit there.
    pub bit: u64,
    /// The doorbell SGI to the peer's core, in the driver's form.
    pub sgi: u64,
    /// State of the peer's partition. Every end of the plan has one; it never says running if the
    /// peer takes no doorbells.
    pub peer: Option<&'static AtomicU32>,
}

const _: () = assert!(size_of::<ChannelEnd>() == 64, "the fast paths index them");

impl DoorbellState {
    /// Returns the channel end with this handle, if the core has it.
    pub fn end(&mut self, handle: u64) -> Option<&mut ChannelEnd> {
        let count = self.count as usize;
        self.ends.get_mut(..count)?.get_mut(usize::try_from(handle).ok()?)
    }
}

/// The registers of a PL011, one word each (DDI 0183, table 3-1).
pub type Pl011Registers = [ReadWrite<u32>; 18];

/// The console's part of [`PerCpu`], used only on the console core.
#[derive(Default)]
pub struct ConsoleState {
    /// The UART.
    pub uart: Option<&'static Pl011Registers>,
    /// Its place in all rings.
    pub mux: Mux,
    /// State of the input between two bytes.
    pub keys: Keys,
    /// The monitor.
    pub monitor: Monitor,
    /// The partition that gets the input.
    pub listener: Option<usize>,
    /// Whether the last drain looked for input first.
    pub listens: bool,
    /// The bound on the time that draining takes.
    pub pace: Pace,
}

/// An abort that EL2 made a guest take.
#[derive(Clone, Copy)]
pub struct InjectedAbort {
    /// Address of the vector.
    pub vector: u64,
    /// `ESR_EL2`, `ELR_EL2`, `FAR_EL2` and `HPFAR_EL2` of its cause.
    pub cause: [u64; 4],
}

/// The state that the cores of one partition share, and that no other core maps. It consists of
/// atomics; all bytes zero is valid.
#[repr(C)]
pub struct PartitionState {
    /// Distributor and banks.
    pub gic: Gic,
    /// Power states of its vCPUs.
    pub power: Power,
    /// Its emulated PL011.
    pub uart: Pl011,
    /// Its watchdog.
    pub watchdog: Watchdog,
    /// Its channel ends that are PCI functions, by device number.
    pub functions: [ivshmem::State; MAX_VIEWS],
}

/// A partition's watchdog. All bytes zero means that it is off.
#[derive(Default)]
pub struct Watchdog {
    /// Ticks from a call to the next one that must have come.
    pub period: AtomicU64,
    /// Tick at which it is missed, or 0 if it is off.
    pub end: AtomicU64,
}

const _: () = assert!(size_of::<PartitionState>() as u64 <= STATE_SIZE);

impl PartitionState {
    /// Clears the state for the partition's next life. The core of vCPU 0 calls it, while all
    /// vCPUs are at rest.
    pub fn clear(&self) {
        // SAFETY: the plan gives the partition these bytes, aligned to a page; all of the state is
        // atomic and valid when zero, and no other core accesses it meanwhile.
        let words = unsafe { &*(&raw const *self).cast::<[AtomicU64; STATE_SIZE as usize / 8]>() };
        for word in words {
            word.store(0, Relaxed);
        }
    }

    /// Sets the state before any vCPU runs, with the start of vCPU 0 waiting. The core of vCPU 0
    /// calls it, before the others go on.
    pub fn init(&self, partition: &plan::Partition, plan: &PlanView) {
        let interrupts: &[Interrupt] = plan.slice(partition.interrupts);
        self.gic.init(partition.vcpus.count as usize, &partition.gic, interrupts);
        let start = Start { entry: partition.entry.0, context: partition.dtb.0 };
        self.power.start(0, start);
    }
}

impl PerCpu {
    /// Makes this core's state from its row, in the private region that the plan gives it. The
    /// channel ends are empty.
    ///
    /// # Safety
    /// The caller runs on the core of that row, with its MMU on, and calls this once. Only the
    /// caller uses what the result points to until the core enters its guest or waits; from then on
    /// only the vectors hand it out.
    #[inline(never)]
    pub unsafe fn init(
        row: &'static plan::Core,
        plan: PlanView,
        backend: VgicBackend,
    ) -> *mut Self {
        let header = plan.header;
        let cores = plan.cores();
        let index = cores.iter().position(|other| ptr::eq(other, row)).unwrap_or(0);
        // SAFETY: the plan's shared region, mapped by every core's tables; boot cleared it.
        let shared = unsafe { Shared::new(header, cores.len(), plan.partitions().len()) };
        let (Some(partition), Some(mine), Some(terminal)) = (
            plan.partitions().get(row.partition as usize),
            shared.core(index),
            shared.terminals.get(row.partition as usize),
        ) else {
            unreachable_state()
        };
        let devices = plan.slice(partition.devices);
        let state = partition.state.base as *mut PartitionState;
        if row.vcpu == 0 {
            // SAFETY: the plan gives the partition this region, which only its cores map; the other
            // ones do not access it before the barrier, and this core comes here once.
            unsafe { ptr::write_bytes(state.cast::<u8>(), 0, STATE_SIZE as usize) };
        }
        let place = (row.private.base + PRIVATE_SIZE - PRIVATE_STATE) as *mut Self;
        // SAFETY: the plan gives this core the region, mapped only by its tables, and the state is
        // above the stack. Boot comes here once, and drops this borrow when it enters the guest or
        // waits; from then on only the vectors hand the state out. `PartitionState`: as above,
        // atomic and valid when zero.
        unsafe {
            place.write(Self {
                mine,
                vgic: VgicState {
                    requests: (*state).gic.requests(row.vcpu as usize),
                    senders: (*state).gic.senders(row.vcpu as usize),
                    holders: &(*state).gic.holders,
                    holder: row.vcpu + 1,
                    delivery: Delivery::new_zeroed(),
                    backend,
                },
                doorbell: DoorbellState {
                    count: plan.slice::<plan::End>(row.ends).len() as u64,
                    ends: FromZeros::new_zeroed(),
                    intids: [0; MAX_ENDS],
                    deferred: Deferred::default(),
                },
                console: ConsoleState::default(),
                deadlines: Deadlines::NONE,
                injected: None,
                start: Start { entry: 0, context: 0 },
                fault: Fault::default(),
                fail_code: 0,
                stop: Stop::BySibling,
                left: [0; 2],
                told: (0, 0),
                stopped: false,
                reloads: 0,
                orders: Bucket::new(timer::frequency(), supervise::PER_SECOND, supervise::BURST),
                index,
                row,
                partition,
                devices,
                gicd_ipa: first_ipa(devices, DeviceKind::Distributor),
                gicr_ipa: first_ipa(devices, DeviceKind::Redistributor),
                uart_ipa: first_ipa(devices, DeviceKind::Pl011),
                plan,
                cores,
                vcpus: plan.slice(partition.vcpus),
                focus: row.partition + 1,
                terminal,
                state: &*state,
                shared,
            });
        }
        TPIDR_EL2.set(place as u64);
        place
    }

    /// Counts why EL2 was entered. Only this core writes its counters, so a load and a store
    /// suffice.
    pub fn count(&self, reason: Reason) {
        if let Some(entries) = self.mine.entries.get(reason as usize) {
            entries.store(entries.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }
}
