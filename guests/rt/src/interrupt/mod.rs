//! Interrupts, taken one at a time when the program asks for them: a GICv3 or GICv2 with PSTATE.I
//! always set.
//!
//! WFI returns as soon as an interrupt is pending although it is masked (DDI 0487, D1.6), and a
//! pending interrupt stays so until it is acknowledged: no wake-up is lost between a check of the
//! state and the sleep.

mod v2;
mod v3;

use spin::Once;

use crate::tree::GicNode;
use crate::{Tree, mmu, timer};

/// Whether the GIC is a GICv2; it does not change after [`init`].
static IS_V2: Once<bool> = Once::new();

#[inline]
fn is_v2() -> bool {
    IS_V2.get().is_some_and(|&is| is)
}

pub(crate) fn init(tree: &Tree) {
    let GicNode { version, regs } = tree.gic_node().expect("the device tree has no GIC");
    for (base, size) in regs {
        mmu::map(base, size, mmu::Kind::Device);
    }
    let [(gicd, _), (second, _)] = regs;
    match version {
        2 => v2::init(gicd, second),
        _ => v3::init(gicd, second),
    }
    IS_V2.call_once(|| version == 2);
}

/// Sets up the vCPU's own part of the GIC. Every vCPU uses the interrupt of its timer, which is
/// enabled here.
pub(crate) fn init_vcpu() {
    match is_v2() {
        true => v2::init_vcpu(),
        false => v3::init_vcpu(),
    }
    enable(timer::INTID);
}

/// Enables an interrupt: an SGI or PPI to the calling vCPU, an SPI to the vCPU it is routed to.
///
/// # Panics
///
/// If the number is not an interrupt's.
pub fn enable(intid: u32) {
    match is_v2() {
        true => v2::enable(intid),
        false => v3::enable(intid),
    }
}

/// Sends SGI `intid` (0 to 15) to one vCPU of this partition.
///
/// # Panics
///
/// If `intid` is not an SGI's.
pub fn send(intid: u32, vcpu: usize) {
    // Data that the SGI announces must be visible before it.
    aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::ISH);
    match is_v2() {
        true => v2::send(intid, vcpu),
        false => v3::send(intid, vcpu),
    }
}

/// An acknowledged interrupt, which [`Taken::end`] ends.
#[derive(Clone, Copy, Debug)]
#[must_use = "it stays active until it is ended"]
pub struct Taken(u32);

impl Taken {
    /// Returns its INTID.
    pub fn intid(self) -> u32 {
        // On GICv2 the bits above name the vCPU that sent an SGI.
        self.0 & if is_v2() { 0x3ff } else { 0xff_ffff }
    }

    /// Ends the interrupt.
    #[inline]
    pub fn end(self) {
        match is_v2() {
            true => v2::end(self.0),
            false => v3::end(self.0),
        }
    }
}

/// Acknowledges the pending interrupt with the highest priority, if there is one.
#[inline]
pub fn acknowledge() -> Option<Taken> {
    match is_v2() {
        true => v2::acknowledge(),
        false => v3::acknowledge(),
    }
    .map(Taken)
}

/// Takes a pending interrupt; returns its INTID. A timer's interrupt also disarms the timer, whose
/// level would raise it again.
pub fn take() -> Option<u32> {
    let taken = acknowledge()?;
    if taken.intid() == timer::INTID {
        timer::disarm();
    }
    taken.end();
    Some(taken.intid())
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

/// Waits like [`wait`], but at most until `deadline` ([`timer`] ticks): then `None`. Uses the
/// vCPU's timer.
pub fn wait_until(deadline: u64) -> Option<u32> {
    timer::arm(deadline);
    loop {
        let intid = wait();
        if intid != timer::INTID {
            return Some(intid);
        }
        // The alarm of an earlier call may have been pending already.
        if timer::now() >= deadline {
            return None;
        }
        timer::arm(deadline);
    }
}
