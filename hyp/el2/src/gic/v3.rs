//! GICv3 as EL2 drives it (IHI 0069): `arm-gic` wakes a core's redistributor and CPU interface, system registers do the
//! rest. The distributor is set up here: `arm-gic` would spend time and code on extended SPIs that no plan has.

use core::ptr::NonNull;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::ICH_VTR_EL2;
use arm_gic::UniqueMmioPointer;
use arm_gic::gicv3::registers::GicrSgi;
use arm_gic::gicv3::{GicCpuInterface, GicRedistributor};
use plan::{Core, INTERRUPT_EDGE, INTERRUPT_PHYSICAL, Interrupt};
use tock_registers::interfaces::{Readable, Writeable};
use vgic::Bank;

use super::physical::Words;
use super::{CONTROL, DOORBELL, MAINTENANCE};
use crate::cpu::{regs, timer};
use crate::planned::Plan;

/// `ICC_CTLR_EL1.EOImode`: ending an interrupt drops its priority alone, which hardware-linked list registers need.
const EOI_MODE: u64 = 1 << 1;

/// List registers of this core. Switches the system register interface on, without which EL2 could not read it.
pub fn list_register_count() -> u64 {
    GicCpuInterface::enable_system_register_el2(true);
    barrier::isb(barrier::SY);
    ICH_VTR_EL2.read(ICH_VTR_EL2::ListRegs) + 1
}

/// INTIDs of the distributor at `gicd`, private ones included (IHI 0069, GICD_TYPER.ITLinesNumber).
pub fn intids(gicd: u64) -> u32 {
    // SAFETY: the machine check saw the distributor there; boot's core alone runs.
    let words = unsafe { &*(gicd as *const Words) };
    32 * ((words.typer.get() & 0x1f) + 1)
}

/// The core whose redistributor lies where the plan has that of `row`: its affinity fields.
pub fn redistributor_affinity(row: &Core) -> u64 {
    redistributor(row).map_or(u64::MAX, |gicr| gicr.typer().core_mpidr())
}

fn redistributor(row: &Core) -> Option<GicRedistributor<'static>> {
    let base = NonNull::new(row.gicr as *mut GicrSgi)?;
    // SAFETY: the machine check saw the redistributors' region, in which the plan has this core's own; no other core
    // uses it, and this one makes no second use of it while this lives.
    Some(GicRedistributor::new(unsafe {
        UniqueMmioPointer::new(base)
    }))
}

/// `GICD_CTLR`: affinity routing, at this bit in the Non-secure view and in that of a single Security state.
const CTLR_ARE: u32 = 1 << 4;
/// `GICD_CTLR`: Group 1, likewise.
const CTLR_GROUP1: u32 = 1 << 1;
/// `GICD_CTLR.RWP`: a write is still on its way.
const CTLR_RWP: u32 = 1 << 31;
/// The priority of every physical interrupt, four to a word: the highest of the Non-secure half. A list register carries
/// the guest's own.
const PRIORITIES: u32 = 0x8080_8080;

/// Sets up the distributor for all partitions: everything disabled, Group 1, triggers and routes as planned. One core
/// calls it, before any guest runs: `ICFGR` words hold interrupts of several partitions, so nobody writes them later.
pub fn init_distributor(plan: &Plan) {
    // SAFETY: the machine check saw the distributor there; boot's core alone runs.
    let gicd = unsafe { &*(plan.header.machine.gicd.base as *const Words) };
    // Routing may change only while every group is off (IHI 0069, GICD_CTLR), and before it is on the SGI and PPI
    // registers of other cores do not take writes.
    gicd.ctlr.set(0);
    wait_for_write(gicd);
    gicd.ctlr.set(CTLR_ARE);
    wait_for_write(gicd);
    gicd.ctlr.set(CTLR_ARE | CTLR_GROUP1);
    for word in 1..=(gicd.typer.get() & 0x1f) as usize {
        reset(gicd, word);
    }
    wait_for_write(gicd);
    let cores = plan.cores();
    for partition in plan.partitions() {
        let vcpus: &[u32] = plan.slice(partition.vcpus);
        for interrupt in plan.slice::<Interrupt>(partition.interrupts) {
            let intid = interrupt.intid.into();
            if intid < 32 || interrupt.flags & INTERRUPT_PHYSICAL == 0 {
                continue;
            }
            if interrupt.flags & INTERRUPT_EDGE != 0 {
                gicd.set_edge(intid);
            }
            let core = vcpus.get(interrupt.vcpu as usize);
            if let Some(core) = core.and_then(|&core| cores.get(core as usize)) {
                gicd.route(intid, core.mpidr);
            }
        }
    }
    if let Some(console) = cores.get(plan.header.console_core as usize) {
        gicd.route(plan.header.machine.uart_intid, console.mpidr);
    }
}

/// Disables the 32 interrupts of `word` and forgets what firmware left of them.
fn reset(words: &Words, word: usize) {
    words.write(Bank::ClearEnable, word, !0);
    words.write(Bank::ClearPending, word, !0);
    words.write(Bank::ClearActive, word, !0);
    words.configure(word, PRIORITIES);
}

fn wait_for_write(gicd: &Words) {
    while gicd.ctlr.get() & CTLR_RWP != 0 {
        core::hint::spin_loop();
    }
}

/// Sets up this core's redistributor and CPU interface, with EL2's own interrupts enabled and everything else disabled.
pub fn init_core(row: &Core, words: &Words) {
    if let Some(mut gicr) = redistributor(row) {
        // Awake already is what firmware leaves on some machines, and fine.
        let _ = gicr.mark_core_awake();
    }
    reset(words, 0);
    words.write(
        Bank::SetEnable,
        0,
        1 << DOORBELL | 1 << CONTROL | 1 << MAINTENANCE | 1 << timer::INTID,
    );
    GicCpuInterface::set_priority_mask(0xff);
    regs::set_icc_bpr1(0);
    regs::set_icc_ctlr(EOI_MODE);
    GicCpuInterface::enable_group1(true);
    barrier::isb(barrier::SY);
}

/// What sends physical SGI `intid` to the one core `mpidr`: see [`send`].
pub fn sgi(mpidr: u64, intid: u32) -> u64 {
    // ICC_SGI1R_EL1: Aff3 in 55:48, RS in 47:44, Aff2 in 39:32, INTID in 27:24, Aff1 in 23:16, TargetList in 15:0.
    let affinity =
        (mpidr & 0xff_0000_0000) << 16 | (mpidr & 0xff_0000) << 16 | (mpidr & 0xff00) << 8;
    let target = (mpidr & 0xf0) << 40 | 1 << (mpidr & 0xf);
    affinity | target | u64::from(intid) << 24
}

/// Sends `sgi`, made by the function of that name, after everything this core wrote before: the core that reacts must see it.
#[inline(always)]
pub fn send(sgi: u64) {
    barrier::dsb(barrier::ISHST);
    regs::set_icc_sgi1r(sgi);
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
