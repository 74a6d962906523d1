//! GICv3, by `arm-gic`.

use core::ptr::NonNull;

use aarch64_cpu::asm::barrier;
use arm_gic::gicv3::{GicCpuInterface, GicV3, SgiTarget, SgiTargetGroup};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use spin::Mutex;

use crate::{MAX_VCPUS, smp};

static GIC: Mutex<Option<GicV3<'static>>> = Mutex::new(None);

pub fn init(gicd: u64, gicr: u64) {
    let pointers = NonNull::new(gicd as *mut _).zip(NonNull::new(gicr as *mut _));
    let (gicd, gicr) = pointers.expect("a GIC at address 0");
    // SAFETY: the GIC's registers that the device tree names, just mapped; this is the only driver
    // of them.
    let gic = unsafe { GicV3::new(UniqueMmioPointer::new(gicd), gicr, MAX_VCPUS) };
    let mut gic = gic.expect("the GIC is not a GICv3");
    gic.distributor().configure_default_settings();
    *GIC.lock() = Some(gic);
}

pub fn init_vcpu() {
    let vcpu = smp::vcpu();
    if let Some(gic) = GIC.lock().as_mut() {
        gic.init_cpu(vcpu);
        gic.redistributor(vcpu)
            .expect("a redistributor for each vCPU")
            .configure_default_settings();
    }
    GicCpuInterface::set_priority_mask(0xff);
    GicCpuInterface::enable_group1(true);
    barrier::isb(barrier::SY);
}

pub fn enable(intid: u32) {
    let id = IntId::try_from(intid).expect("an interrupt number");
    if let Some(gic) = GIC.lock().as_mut() {
        gic.enable_interrupt(id, Some(smp::vcpu()), true).expect("an interrupt that the GIC has");
    }
}

pub fn send(intid: u32, vcpu: usize) {
    let target =
        SgiTarget::List { affinity3: 0, affinity2: 0, affinity1: 0, target_list: 1 << vcpu };
    let sent = GicCpuInterface::send_sgi(IntId::sgi(intid), target, SgiTargetGroup::CurrentGroup1);
    sent.expect("an SGI");
    barrier::isb(barrier::SY);
}

#[inline]
pub fn acknowledge() -> Option<u32> {
    GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1).map(u32::from)
}

#[inline]
pub fn end(intid: u32) {
    if let Ok(id) = IntId::try_from(intid) {
        GicCpuInterface::end_interrupt(id, InterruptGroup::Group1);
    }
}
