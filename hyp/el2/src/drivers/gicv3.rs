//! GICv3 as EL2 drives it (IHI 0069). `arm-gic` wakes a core's redistributor and CPU interface; EL2
//! does the rest by system registers. EL2 sets up the distributor itself: `arm-gic` would spend
//! time and code on extended SPIs, which plans do not have.

use core::ptr::NonNull;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{
    ICH_AP0R0_EL2, ICH_AP1R0_EL2, ICH_HCR_EL2, ICH_VMCR_EL2, ICH_VTR_EL2,
};
use arm_gic::UniqueMmioPointer;
use arm_gic::gicv3::registers::GicrSgi;
use arm_gic::gicv3::{GicCpuInterface, GicRedistributor};
use console::LineBuffer;
use plan::Core;
use tock_registers::interfaces::{Readable, Writeable};
use trap::Common;
use vgic::{Bank, ListRegisters, Vcpu, control};

use super::distributor::{Distributor, distributor};
use super::gic::{GicDriver, NEEDED, OWN, SPECIAL};
use crate::arch::gic_registers;
use crate::state::percpu::VgicBackend;

/// Bytes from a redistributor's base to its SGI frame (IHI 0069, 12.10).
const SGI_FRAME: u64 = 0x1_0000;
/// `GICR_CTLR.EnableLPIs`.
const ENABLE_LPIS: u32 = 1 << 0;
/// `ICH_VTR_EL2.TDS`: writes of `ICC_DIR_EL1` can be trapped separately.
const VTR_TDS: u64 = 1 << 19;
/// `ICC_CTLR_EL1.EOImode`: ending an interrupt only drops its priority, which hardware-linked list
/// registers need.
const EOI_MODE: u64 = 1 << 1;

fn redistributor(row: &Core) -> Option<GicRedistributor<'static>> {
    let base = NonNull::new(row.gicr as *mut GicrSgi)?;
    // SAFETY: the machine check saw the redistributors' region, in which the plan has this core's
    // own. No other core uses it, and this core does not use it a second time while this value
    // lives.
    Some(GicRedistributor::new(unsafe { UniqueMmioPointer::new(base) }))
}

/// `GICD_CTLR`: affinity routing, at this bit in the Non-secure view and in that of a single
/// Security state.
const CTLR_ARE: u32 = 1 << 4;
/// `GICD_CTLR`: Group 1, at this bit in both views too.
const CTLR_GROUP1: u32 = 1 << 1;
/// `GICD_CTLR.RWP`: a write has not taken effect yet.
const CTLR_RWP: u32 = 1 << 31;

/// `GICR_CTLR.RWP`: a write has not taken effect yet.
const REDISTRIBUTOR_RWP: u32 = 1 << 3;

/// `GICD_IGROUPR`: all interrupts of a word are in Group 1.
const GROUP1: u32 = !0;
/// Index of the first `IROUTER` (IHI 0069, 12.9.22), one of 8 bytes per INTID.
const IROUTER: usize = 0x6000 / 8;

fn wait_for_write(gicd: &Distributor) {
    while gicd.ctlr.get() & CTLR_RWP != 0 {
        core::hint::spin_loop();
    }
}

impl ListRegisters for VgicBackend {
    const SGI_SOURCES: bool = false;

    fn count(&self) -> usize {
        self.list_registers
    }

    fn read(&self, index: usize) -> u64 {
        gic_registers::ich_lr(index)
    }

    fn write(&mut self, index: usize, value: u64) {
        gic_registers::set_ich_lr(index, value);
        // ICH_ELRSR_EL2 follows a list register only after a context synchronisation.
        barrier::isb(barrier::SY);
    }

    fn empty(&self) -> u32 {
        gic_registers::ich_elrsr() as u32
    }

    fn control(&self) -> u32 {
        ICH_HCR_EL2.get() as u32
    }

    fn set_control(&mut self, value: u32) {
        ICH_HCR_EL2.set(value.into());
    }

    fn interface(&self) -> u32 {
        ICH_VMCR_EL2.get() as u32
    }

    fn deactivation_trap(&self) -> u32 {
        match ICH_VTR_EL2.get() & VTR_TDS {
            0 => control::TC,
            _ => control::TDIR,
        }
    }
}

/// The driver.
pub struct Gicv3;

impl GicDriver for Gicv3 {
    const VERSION: u32 = 3;

    fn check_core(row: &Core) -> Option<LineBuffer> {
        let mut line = LineBuffer::default();
        let found = redistributor(row).map_or(u64::MAX, |gicr| gicr.typer().core_mpidr());
        if found != row.mpidr {
            line.str("redistributor: the plan has core ").hex(row.mpidr);
            line.str("'s at ").hex(row.gicr);
            line.str(", the machine has core ").hex(found).str("'s there");
            return Some(line);
        }
        // With LPIs on, the redistributor writes to the loader's table in memory. Some
        // redistributors cannot switch them off again (IHI 0069, GICR_CTLR).
        let frame = distributor(row.gicr);
        frame.ctlr.set(0);
        if frame.ctlr.get() & ENABLE_LPIS != 0 {
            line.str("redistributor: the loader has switched LPIs of core ").hex(row.mpidr);
            line.str(" on, the plan needs them off and they stay on");
            return Some(line);
        }
        distributor(row.gicr + SGI_FRAME).check_enable(0, NEEDED)
    }

    /// Switches the system register interface on first, without which EL2 could not read
    /// `ICH_VTR_EL2`.
    fn list_register_count() -> u64 {
        GicCpuInterface::enable_system_register_el2(true);
        barrier::isb(barrier::SY);
        ICH_VTR_EL2.read(ICH_VTR_EL2::ListRegs) + 1
    }

    /// Switches the distributor at `gicd` on, with every interrupt disabled and in Group 1.
    fn enable_distributor(gicd: &Distributor) {
        // Routing may change only while every group is off (IHI 0069, GICD_CTLR), and before it is
        // on the SGI and PPI registers of other cores do not take writes.
        gicd.ctlr.set(0);
        wait_for_write(gicd);
        gicd.ctlr.set(CTLR_ARE);
        wait_for_write(gicd);
        // Groups and triggers may change while no interrupt is forwarded.
        for word in 1..gicd.count() as usize {
            gicd.reset(word, GROUP1);
        }
        wait_for_write(gicd);
        gicd.ctlr.set(CTLR_ARE | CTLR_GROUP1);
        wait_for_write(gicd);
    }

    fn route(gicd: &Distributor, intid: u32, mpidr: u64) {
        if intid < SPECIAL {
            let register = (&raw const *gicd as *mut u64).wrapping_add(IROUTER + intid as usize);
            // SAFETY: the distributor of a GICv3 is 64 KiB, which this core's tables map; only
            // whole registers are written.
            unsafe { register.write_volatile(mpidr) };
        }
    }

    fn wait_for_disable(gicd: Option<&Distributor>, private: u64) {
        if let Some(gicd) = gicd {
            wait_for_write(gicd);
        }
        let redistributor = distributor(private - SGI_FRAME);
        while redistributor.ctlr.get() & REDISTRIBUTOR_RWP != 0 {
            core::hint::spin_loop();
        }
    }

    /// The registers are the SGI frame of the core's redistributor.
    fn private(row: &Core, _: u64) -> u64 {
        row.gicr + SGI_FRAME
    }

    fn init_core(row: &Core, words: &Distributor) {
        if let Some(mut gicr) = redistributor(row) {
            // Firmware leaves the redistributor awake on some machines; that is not an error.
            let _ = gicr.mark_core_awake();
            // Groups and triggers may change once no interrupt is enabled (IHI 0069, GICR_ICFGR1).
            words.write(Bank::ClearEnable, 0, !0);
            gicr.wait_for_pending_write();
        }
        words.reset(0, GROUP1);
        words.write(Bank::SetEnable, 0, OWN);
        // A priority that a loader has left active would block all interrupts.
        gic_registers::clear_active_priorities();
        GicCpuInterface::set_priority_mask(0xff);
        gic_registers::set_icc_bpr1(0);
        gic_registers::set_icc_ctlr(EOI_MODE);
        GicCpuInterface::enable_group1(true);
    }

    fn sgi(mpidr: u64, intid: u32) -> u64 {
        // ICC_SGI1R_EL1: Aff3 in 55:48, RS in 47:44, Aff2 in 39:32, INTID in 27:24, Aff1 in 23:16,
        // TargetList in 15:0.
        let affinity =
            (mpidr & 0xff_0000_0000) << 16 | (mpidr & 0xff_0000) << 16 | (mpidr & 0xff00) << 8;
        let target = (mpidr & 0xf0) << 40 | 1 << (mpidr & 0xf);
        affinity | target | u64::from(intid) << 24
    }

    fn send(sgi: u64) {
        barrier::dsb(barrier::ISHST);
        gic_registers::set_icc_sgi1r(sgi);
        barrier::isb(barrier::SY);
    }

    fn acknowledge() -> u32 {
        gic_registers::icc_iar1() as u32 & 0xff_ffff
    }

    /// The acknowledgement must have reached the redistributor before EL2 looks at what the SGI
    /// announces (IHI 0069, 4.1.1).
    fn end_sgi(intid: u32) {
        Self::drop_priority(intid);
        Self::deactivate(intid);
        barrier::dsb(barrier::SY);
    }

    fn drop_priority(intid: u32) {
        gic_registers::set_icc_eoir1(intid.into());
    }

    fn deactivate(intid: u32) {
        gic_registers::set_icc_dir(intid.into());
    }

    /// See IHI 0069, 12.4.
    fn reset_guest_interface() {
        ICH_VMCR_EL2.set(0);
        gic_registers::clear_virtual_active_priorities(ICH_VTR_EL2.get() >> 26 & 7);
    }

    fn read_common(register: Common) -> u64 {
        let active = ICH_AP0R0_EL2.get() | ICH_AP1R0_EL2.get();
        register.read(ICH_VMCR_EL2.get(), ICH_VTR_EL2.get(), active as u32)
    }

    fn write_common(register: Common, value: u64) {
        ICH_VMCR_EL2.set(register.written(ICH_VMCR_EL2.get(), value));
    }

    fn guest_read(mut vcpu: Vcpu<VgicBackend>, part: Option<usize>, offset: u64, size: u64) -> u64 {
        vcpu.read(part, offset, size)
    }

    fn guest_write(
        mut vcpu: Vcpu<VgicBackend>,
        part: Option<usize>,
        offset: u64,
        size: u64,
        value: u64,
    ) {
        vcpu.write(part, offset, size, value);
    }

    fn guest_state(gic: &vgic::Gic, _: usize, offset: u64) -> Option<u32> {
        gic.distributor_state(offset)
    }
}
