//! GICv2 as EL2 drives it (IHI 0048): distributor, CPU interface (GICC) and virtual interface
//! control (GICH) in memory, as EL2 maps them: Device-nGnRE, which keeps accesses to one of them in
//! order.
//!
//! This driver is correct in the Non-secure view of a GIC with Security Extensions and in the only
//! view of one without: `GICD_CTLR` = 1 enables the group that this world has, and so does
//! `GICC_CTLR` = 0x201, with EOImode (section 4.4.1). In the only view, EL2 sets all interrupts to
//! Group 0. In the Non-secure view such writes are ignored, and EL2 cannot enable an interrupt that
//! firmware left to the Secure world; [`Distributor::check_enable`] checks for that.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use aarch64_cpu::asm::barrier;
use console::LineBuffer;
use plan::{Core, Machine};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use vgic::{Bank, ListRegisters, Vcpu};

use super::distributor::{Distributor, distributor};
use super::gic::{GicDriver, NEEDED, OWN};
use crate::state::percpu::VgicBackend;

/// `GICC_CTLR`: this world's group (bit 0), and EOImode: ending an interrupt only drops its
/// priority (bit 9), which hardware-linked list registers need.
const GICC_CTLR: u32 = 0x201;

register_structs! {
    /// The CPU interface (IHI 0048, 4.4).
    Gicc {
        (0x0000 => ctlr: ReadWrite<u32>),
        (0x0004 => pmr: ReadWrite<u32>),
        (0x0008 => bpr: ReadWrite<u32>),
        (0x000c => iar: ReadOnly<u32>),
        (0x0010 => eoir: WriteOnly<u32>),
        (0x0014 => _reserved0),
        (0x00d0 => apr: [ReadWrite<u32>; 4]),
        (0x00e0 => nsapr: [ReadWrite<u32>; 4]),
        (0x00f0 => _reserved1),
        (0x00fc => iidr: ReadOnly<u32>),
        (0x0100 => _reserved2),
        (0x1000 => dir: WriteOnly<u32>),
        (0x1004 => @END),
    },
    /// Virtual interface control of the core that accesses it (IHI 0048, 5.3).
    Gich {
        (0x0000 => hcr: ReadWrite<u32>),
        (0x0004 => vtr: ReadOnly<u32>),
        (0x0008 => vmcr: ReadWrite<u32>),
        (0x000c => _reserved0),
        (0x0030 => elrsr0: ReadOnly<u32>),
        (0x0034 => _reserved1),
        (0x00f0 => apr: ReadWrite<u32>),
        (0x00f4 => _reserved2),
        (0x0100 => lr: [ReadWrite<u32>; 16]),
        (0x0140 => @END),
    }
}

/// Addresses of the GIC, for code without access to the plan. They are written once, before the
/// image moves, and move with it.
static GICD: AtomicU64 = AtomicU64::new(0);
static GICC: AtomicU64 = AtomicU64::new(0);
static GICH: AtomicU64 = AtomicU64::new(0);

/// Whether hardware-linked interrupts are listed with `GICH_LR.HW` = 1. It is written with the
/// addresses.
static IS_LINKED: AtomicBool = AtomicBool::new(false);

/// `GICC_IIDR` of a GIC-400 (DDI 0471, 3.4.1), its revision left out.
const GIC_400: u32 = 0x0202_043b;
const REVISION: u32 = 0xf000;

fn gicc() -> &'static Gicc {
    // SAFETY: the machine check saw the CPU interface there, and every core's tables map it; each
    // core reaches its own at this address.
    unsafe { &*(GICC.load(Relaxed) as *const Gicc) }
}

fn gich() -> &'static Gich {
    // SAFETY: as above.
    unsafe { &*(GICH.load(Relaxed) as *const Gich) }
}

/// Returns this core's bit in target lists, as the plan has it: the number of its CPU interface is
/// its Aff0.
const fn target(mpidr: u64) -> u8 {
    1 << (mpidr & 7)
}

/// Returns the value of `GICH_LR<n>` for an entry (IHI 0048, 5.3.10). Its highest four bits are HW,
/// Grp1, active, pending; the entry's are active, pending, HW, Grp1.
#[inline(always)]
fn narrow(entry: u64) -> u32 {
    let flags = (entry >> 60) as u32;
    entry as u32 & 0x3ff
        | ((entry >> 32) as u32 & 0x3ff) << 10
        | ((entry >> 51) as u32 & 0x1f) << 23
        | (flags << 2 | flags >> 2) << 28
}

/// Returns the entry that `value` of `GICH_LR<n>` encodes.
fn widen(value: u32) -> u64 {
    let flags = u64::from(value >> 28);
    u64::from(value & 0x3ff)
        | u64::from(value >> 10 & 0x3ff) << 32
        | u64::from(value >> 23 & 0x1f) << 51
        | (flags << 2 | flags >> 2) << 60
}

impl ListRegisters for VgicBackend {
    const SGI_SOURCES: bool = true;

    fn count(&self) -> usize {
        self.list_registers
    }

    fn read(&self, index: usize) -> u64 {
        gich().lr.get(index).map_or(0, |register| widen(register.get()))
    }

    #[inline(always)]
    fn write(&mut self, index: usize, value: u64) {
        if let Some(register) = gich().lr.get(index) {
            register.set(narrow(value));
        }
    }

    fn empty(&self) -> u32 {
        gich().elrsr0.get() & ((1 << self.list_registers) - 1)
    }

    fn control(&self) -> u32 {
        gich().hcr.get()
    }

    fn set_control(&mut self, value: u32) {
        gich().hcr.set(value);
    }

    fn interface(&self) -> u32 {
        gich().vmcr.get()
    }

    fn deactivation_trap(&self) -> u32 {
        0
    }

    fn is_linked(&self) -> bool {
        IS_LINKED.load(Relaxed)
    }
}

/// The driver.
pub struct Gicv2;

impl GicDriver for Gicv2 {
    const VERSION: u32 = 2;

    /// Without the loader's choice a GIC-400 links interrupts. Another GICv2 does not: QEMU's
    /// clears the physical interrupt's active state when the guest ends it and does not check
    /// whether its line is high again (`hw/intc/arm_gic.c`, `gic_clear_active`), so the interrupt
    /// is never signalled again.
    fn attach(machine: &Machine, link: Option<bool>) {
        GICD.store(machine.gicd.base, Relaxed);
        GICC.store(machine.gicc.base, Relaxed);
        GICH.store(machine.gich.base, Relaxed);
        let is_gic_400 = gicc().iidr.get() & !REVISION == GIC_400;
        IS_LINKED.store(link.unwrap_or(is_gic_400), Relaxed);
    }

    fn check_core(row: &Core) -> Option<LineBuffer> {
        let gicd = distributor(GICD.load(Relaxed));
        // ITARGETSR0 names the reader (IHI 0048, 4.3.12), unless there is only one CPU interface
        // (GICD_TYPER.CPUNumber, 7:5).
        let found = gicd.itargetsr.first().map_or(0, |byte| byte.get());
        if gicd.typer.get() & 0xe0 != 0 && found != target(row.mpidr) {
            let mut line = LineBuffer::default();
            line.str("GIC: the plan has core ").hex(row.mpidr);
            line.str(" at target bit ").hex(target(row.mpidr).into());
            line.str(", the machine at ").hex(found.into());
            return Some(line);
        }
        gicd.check_enable(0, NEEDED)
    }

    /// Reads `GICH_VTR.ListRegs`.
    fn list_register_count() -> u64 {
        (u64::from(gich().vtr.get() & 0x3f) + 1).min(16)
    }

    fn enable_distributor(gicd: &Distributor) {
        gicd.ctlr.set(0);
        for word in 1..gicd.count() as usize {
            gicd.reset(word, 0);
        }
        gicd.ctlr.set(1);
    }

    /// `GICD_ITARGETSR` has one byte per SPI, so other partitions' bytes are not touched (IHI 0048,
    /// 4.1.4).
    fn route(gicd: &Distributor, intid: u32, mpidr: u64) {
        if let Some(register) = gicd.itargetsr.get(intid as usize) {
            register.set(target(mpidr));
        }
    }

    /// The distributor shows each core its own word 0.
    fn private(_: &Core, gicd: u64) -> u64 {
        gicd
    }

    fn init_core(_: &Core, words: &Distributor) {
        words.reset(0, 0);
        for register in &words.cpendsgir {
            register.set(!0);
        }
        words.write(Bank::SetEnable, 0, OWN);
        let gicc = gicc();
        gicc.ctlr.set(0);
        gich().hcr.set(0);
        // A priority that a loader has left active would block all interrupts. Both register groups
        // are cleared: one of them is this world's in each kind of GIC.
        for register in gicc.apr.iter().chain(&gicc.nsapr) {
            register.set(0);
        }
        gicc.pmr.set(0xff);
        gicc.bpr.set(0);
        gicc.ctlr.set(GICC_CTLR);
    }

    /// The value is one of `GICD_SGIR` (IHI 0048, 4.3.15).
    fn sgi(mpidr: u64, intid: u32) -> u64 {
        u64::from(target(mpidr)) << 16 | u64::from(intid)
    }

    fn send(sgi: u64) {
        barrier::dsb(barrier::ISHST);
        distributor(GICD.load(Relaxed)).sgir.set(sgi as u32);
    }

    /// An SGI is ended at once, since ending it needs the number of its sender (IHI 0048, 4.4.5).
    #[inline(always)]
    fn acknowledge() -> u32 {
        let gicc = gicc();
        let iar = gicc.iar.get();
        let intid = iar & 0x3ff;
        if intid < 16 {
            gicc.eoir.set(iar);
            gicc.dir.set(iar);
            // A later send arrives as a new SGI: EL2 must not look earlier at what it announces.
            barrier::dsb(barrier::SY);
        }
        intid
    }

    fn drop_priority(intid: u32) {
        gicc().eoir.set(intid);
    }

    fn deactivate(intid: u32) {
        gicc().dir.set(intid);
    }

    /// See IHI 0048, 5.3.3 and 5.3.9.
    fn reset_guest_interface() {
        gich().vmcr.set(0);
        gich().apr.set(0);
    }

    fn guest_read(mut vcpu: Vcpu<VgicBackend>, part: Option<usize>, offset: u64, size: u64) -> u64 {
        match part {
            None => vcpu.read_v2(offset, size),
            Some(_) => 0,
        }
    }

    fn guest_write(
        mut vcpu: Vcpu<VgicBackend>,
        part: Option<usize>,
        offset: u64,
        size: u64,
        value: u64,
    ) {
        match (part, offset, size) {
            (None, ..) => vcpu.write_v2(offset, size, value),
            // The value of an SGI has its sender beside its number, but the SGI is active only once
            // (IHI 0048, 4.4.17).
            (Some(_), 0, 4) => vcpu.deactivate(value as u32 & 0x3ff),
            _ => {}
        }
    }

    fn guest_state(gic: &vgic::Gic, vcpu: usize, offset: u64) -> Option<u32> {
        gic.distributor_state_v2(vcpu, offset)
    }

    fn fast_write(mut vcpu: Vcpu<VgicBackend>, offset: u64, value: u32) -> bool {
        vcpu.fast_send_sgi_v2(offset, value)
    }
}
