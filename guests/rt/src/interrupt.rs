//! Interrupts, taken one at a time where the program wants them: a GICv3 with PSTATE.I set for good.
//!
//! WFI returns as soon as an interrupt is pending although it is masked (DDI 0487, D1.6), and a pending interrupt stays
//! so until it is acknowledged: between looking at the world and sleeping no wake-up can be lost.

use core::ptr::NonNull;

use arm_gic::gicv3::{GicCpuInterface, GicV3, SgiTarget, SgiTargetGroup};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use spin::Mutex;

use crate::{MAX_VCPUS, Tree, mmu, smp, timer};

static GIC: Mutex<Option<GicV3<'static>>> = Mutex::new(None);

pub(crate) fn init(tree: &Tree) {
    let [(gicd, gicd_size), (gicr, gicr_size)] = tree.gic().expect("the device tree has no GICv3");
    mmu::map(gicd, gicd_size, mmu::Kind::Device);
    mmu::map(gicr, gicr_size, mmu::Kind::Device);
    let pointers = NonNull::new(gicd as *mut _).zip(NonNull::new(gicr as *mut _));
    let (gicd, gicr) = pointers.expect("a GIC at address 0");
    // SAFETY: the GIC's registers as the device tree names them, just mapped; this is the only driver of them.
    let gic = unsafe { GicV3::new(UniqueMmioPointer::new(gicd), gicr, MAX_VCPUS) };
    let mut gic = gic.expect("the GIC is no GICv3");
    gic.distributor().configure_default_settings();
    *GIC.lock() = Some(gic);
}

/// The vCPU's own part of the GIC; its timer is the one interrupt every vCPU uses.
pub(crate) fn init_vcpu() {
    let vcpu = smp::vcpu();
    if let Some(gic) = GIC.lock().as_mut() {
        gic.init_cpu(vcpu);
        gic.redistributor(vcpu)
            .expect("a redistributor for each vCPU")
            .configure_default_settings();
    }
    GicCpuInterface::set_priority_mask(0xff);
    GicCpuInterface::enable_group1(true);
    aarch64_cpu::asm::barrier::isb(aarch64_cpu::asm::barrier::SY);
    enable(timer::INTID);
}

/// Lets an interrupt through: an SGI or PPI to the calling vCPU, an SPI to the vCPU it is routed to.
///
/// # Panics
///
/// If the number is no interrupt's.
pub fn enable(intid: u32) {
    let id = IntId::try_from(intid).expect("an interrupt number");
    if let Some(gic) = GIC.lock().as_mut() {
        gic.enable_interrupt(id, Some(smp::vcpu()), true)
            .expect("an interrupt that the GIC has");
    }
}

/// Sends SGI `intid` (0 to 15) to one vCPU of this partition.
///
/// # Panics
///
/// If `intid` is not an SGI's.
pub fn send(intid: u32, vcpu: usize) {
    let target = SgiTarget::List {
        affinity3: 0,
        affinity2: 0,
        affinity1: 0,
        target_list: 1 << vcpu,
    };
    // What the SGI announces must be visible before it.
    aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::ISH);
    let sent = GicCpuInterface::send_sgi(IntId::sgi(intid), target, SgiTargetGroup::CurrentGroup1);
    sent.expect("an SGI");
    aarch64_cpu::asm::barrier::isb(aarch64_cpu::asm::barrier::SY);
}

/// Takes a pending interrupt: its INTID. The timer is disarmed with it, for its level would raise it again.
pub fn take() -> Option<u32> {
    let id = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1)?;
    let intid = u32::from(id);
    if intid == timer::INTID {
        timer::disarm();
    }
    GicCpuInterface::end_interrupt(id, InterruptGroup::Group1);
    Some(intid)
}

/// Sleeps until an interrupt arrives, and takes it.
pub fn wait() -> u32 {
    loop {
        if let Some(intid) = take() {
            return intid;
        }
        aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::SY);
        aarch64_cpu::asm::wfi();
    }
}

/// Like [`wait`], but no longer than until `deadline` ([`timer`] ticks): then `None`. Uses the vCPU's timer.
pub fn wait_until(deadline: u64) -> Option<u32> {
    timer::arm(deadline);
    loop {
        let intid = wait();
        if intid != timer::INTID {
            return Some(intid);
        }
        // An alarm of an earlier call may have been pending already.
        if timer::now() >= deadline {
            return None;
        }
        timer::arm(deadline);
    }
}
