//! GICv3 as EL2 drives it (IHI 0069): `arm-gic` sets it up, system registers do the rest.

use core::ptr::NonNull;

use aarch64_cpu::asm::barrier;
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicDistributor, GicRedistributor};
use arm_gic::{IntId, Trigger, UniqueMmioPointer};
use plan::{Core, INTERRUPT_EDGE, INTERRUPT_PHYSICAL, Interrupt};

use super::{CONTROL, DOORBELL, MAINTENANCE};
use crate::cpu::{cache, regs, timer};
use crate::planned::Plan;

/// `ICC_CTLR_EL1.EOImode`: ending an interrupt drops its priority alone, which hardware-linked list registers need.
const EOI_MODE: u64 = 1 << 1;

/// INTID of the first shared interrupt.
const FIRST_SPI: u32 = 32;

/// List registers of this core. Switches the system register interface on, without which EL2 could not read it.
pub fn list_register_count() -> u64 {
    GicCpuInterface::enable_system_register_el2(true);
    barrier::isb(barrier::SY);
    (regs::ich_vtr() & 0x1f) + 1
}

/// Sets up the distributor for all partitions. One core calls it, before any guest runs: `ICFGR` words hold interrupts of
/// several partitions, so nobody writes them later.
pub fn init_distributor(plan: &Plan) {
    let Some(base) = NonNull::new(plan.header.machine.gicd.base as *mut Gicd) else {
        return;
    };
    // SAFETY: the machine check saw the distributor there, this core's tables map it as Device memory, and no other core
    // touches it before the barrier that follows.
    let mut gicd = GicDistributor::new(unsafe { UniqueMmioPointer::new(base) });
    gicd.enable_all_interrupts(false);
    gicd.configure_default_settings();
    let cores = plan.cores();
    let mut route = |intid: u32, edge: bool, mpidr: u64| {
        let intid = IntId::spi(intid.wrapping_sub(FIRST_SPI));
        // The planner keeps INTIDs in range; one that is not has no register and stays disabled.
        let _ = gicd.set_trigger(intid, if edge { Trigger::Edge } else { Trigger::Level });
        let _ = gicd.set_routing(intid, Some(mpidr));
    };
    for partition in plan.partitions() {
        let vcpus: &[u32] = plan.slice(partition.vcpus);
        for interrupt in plan.slice::<Interrupt>(partition.interrupts) {
            let core = vcpus
                .get(interrupt.vcpu as usize)
                .and_then(|&core| cores.get(core as usize));
            if let (Some(core), true, true) = (
                core,
                interrupt.intid >= 32,
                interrupt.flags & INTERRUPT_PHYSICAL != 0,
            ) {
                route(
                    interrupt.intid.into(),
                    interrupt.flags & INTERRUPT_EDGE != 0,
                    core.mpidr,
                );
            }
        }
    }
    if let Some(console) = cores.get(plan.header.console_core as usize) {
        route(plan.header.machine.uart_intid, false, console.mpidr);
    }
}

/// Sets up this core's redistributor and CPU interface, with EL2's own interrupts enabled and everything else disabled.
pub fn init_core(row: &Core) {
    if let Some(base) = NonNull::new(row.gicr as *mut GicrSgi) {
        // SAFETY: the plan names this core's own redistributor, which its tables alone map; boot runs once a core.
        let mut gicr = GicRedistributor::new(unsafe { UniqueMmioPointer::new(base) });
        // Awake already is what firmware leaves on some machines, and fine.
        let _ = gicr.mark_core_awake();
        gicr.configure_default_settings();
        for intid in [
            IntId::sgi(DOORBELL),
            IntId::sgi(CONTROL),
            IntId::ppi(MAINTENANCE - 16),
            IntId::ppi(timer::INTID - 16),
        ] {
            let _ = gicr.enable_interrupt(intid, true);
        }
    }
    GicCpuInterface::set_priority_mask(0xff);
    regs::set_icc_bpr1(0);
    regs::set_icc_ctlr(EOI_MODE);
    GicCpuInterface::enable_group1(true);
    barrier::isb(barrier::SY);
}

/// Sends physical SGI `intid` to the one core `mpidr`, after everything this core wrote before.
#[inline(always)]
pub fn send(mpidr: u64, intid: u32) {
    // ICC_SGI1R_EL1: Aff3 in 55:48, RS in 47:44, Aff2 in 39:32, INTID in 27:24, Aff1 in 23:16, TargetList in 15:0.
    let affinity =
        (mpidr & 0xff_0000_0000) << 16 | (mpidr & 0xff_0000) << 16 | (mpidr & 0xff00) << 8;
    let target = (mpidr & 0xf0) << 40 | 1 << (mpidr & 0xf);
    cache::publish();
    regs::set_icc_sgi1r(affinity | target | u64::from(intid) << 24);
    barrier::isb(barrier::SY);
}

/// Acknowledges this core's most urgent physical interrupt; [`super::SPECIAL`] and up is none.
#[inline(always)]
pub fn acknowledge() -> u32 {
    regs::icc_iar1() as u32 & 0xff_ffff
}

/// Lets other interrupts in again while `intid` stays active.
#[inline(always)]
pub fn drop_priority(intid: u32) {
    regs::set_icc_eoir1(intid.into());
}

/// Ends an interrupt of EL2's own.
#[inline(always)]
pub fn deactivate(intid: u32) {
    regs::set_icc_dir(intid.into());
}
