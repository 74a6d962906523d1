//! One vCPU on its core: delivery of interrupts, and what keeps list registers in step with the shared words.

use crate::hardware::Hardware;
use crate::state::{Delivery, Gic};

/// The vCPU that runs on this core, for as long as EL2 handles one entry. Every method acts for that vCPU.
pub struct Vcpu<'a, H: Hardware> {
    gic: &'a Gic,
    own: usize,
    delivery: &'a mut Delivery,
    hardware: &'a mut H,
}

/// Which register a guest wrote to send an SGI (IHI 0069, section 12.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiRegister {
    /// `ICC_SGI0R_EL1`.
    Sgi0r,
    /// `ICC_SGI1R_EL1`.
    Sgi1r,
    /// `ICC_ASGI1R_EL1`.
    Asgi1r,
}

impl<'a, H: Hardware> Vcpu<'a, H> {
    /// vCPU `own` of `gic` on its core. `delivery` is the one that only this vCPU uses.
    #[inline(always)]
    pub fn new(gic: &'a Gic, own: usize, delivery: &'a mut Delivery, hardware: &'a mut H) -> Self {
        Self {
            gic,
            own,
            delivery,
            hardware,
        }
    }
}

// The signatures come first, so that hyp/el2 can be written against them; the next commit gives them their bodies.
#[allow(unused_variables)]
impl<H: Hardware> Vcpu<'_, H> {
    /// Puts the own core's share into the state after a reset: list registers empty, control bits off, private interrupts disabled
    /// in the redistributor; on vCPU 0 the SPIs too (disabled, inactive, routed as planned). Delivers nothing until [`Self::unpark`].
    /// Call it on each core after [`Gic::init`], vCPU 0 first of all.
    pub fn reset(&mut self) {}
    /// The guest is off (CPU_OFF, or not started): pending list registers go back to latches or hardware, nothing is delivered.
    pub fn park(&mut self) {}
    /// The guest is about to run: turns the virtual CPU interface on and delivers what is pending.
    pub fn unpark(&mut self) {}
    /// A software interrupt that this core raises: a channel's edge. Coalesces with one that is pending.
    /// An INTID the partition does not own, or a physical one, is ignored.
    #[inline]
    pub fn inject(&mut self, intid: u32) {}
    /// The line of a software level-sensitive interrupt (PL011) is now `high`. Any core of the partition may say so.
    pub fn set_level(&mut self, intid: u32, high: bool) {}
    /// EL2 acknowledged and priority-dropped (not deactivated) physical interrupt `intid`, which the partition owns. False: it does not, EL2 must deal with it.
    #[inline]
    pub fn physical(&mut self, intid: u32) -> bool {
        false
    }
    /// After a kick: does what siblings asked. False: nothing was asked.
    #[inline]
    pub fn inbox(&mut self) -> bool {
        false
    }
    /// The maintenance interrupt.
    pub fn maintenance(&mut self) {}
    /// Whether a list register is pending: a WFI at EL2 on the guest's behalf (CPU_SUSPEND) must not wait then.
    pub fn is_pending(&self) -> bool {
        false
    }
    /// The guest wrote `value` to an SGI register. SGIs to vCPUs that do not exist go nowhere.
    #[inline]
    pub fn send_sgi(&mut self, register: SgiRegister, value: u64) {}
    /// The guest wrote `intid` to `ICC_DIR_EL1`, trapped by [`control::TDIR`](crate::control::TDIR).
    pub fn deactivate(&mut self, intid: u32) {}
    /// The guest reads `size` bytes at `offset` of the distributor (64 KiB).
    pub fn gicd_read(&mut self, offset: u64, size: u64) -> u64 {
        0
    }
    /// The guest writes `size` bytes at `offset` of the distributor.
    pub fn gicd_write(&mut self, offset: u64, size: u64, value: u64) {}
    /// The guest reads `size` bytes at `offset` from the first redistributor: 128 KiB a vCPU.
    pub fn gicr_read(&mut self, offset: u64, size: u64) -> u64 {
        0
    }
    /// The guest writes `size` bytes at `offset` from the first redistributor.
    pub fn gicr_write(&mut self, offset: u64, size: u64, value: u64) {}
}
