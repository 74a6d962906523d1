//! The physical interrupt controller: sends, takes and ends physical interrupts at EL2.
//!
//! EL2 keeps two SGIs, its timer and the maintenance interrupt of each core, and the console's
//! UART. Every other interrupt belongs to one partition, whose guest ends it through a list
//! register.
//!
//! [`GicDriver`] is what both architecture versions offer; `mod.rs` names the one that is built.

use console::LineBuffer;
use plan::{Core, Machine};
use trap::Common;
use vgic::Vcpu;

use super::distributor::Distributor;
use crate::arch::timer;
use crate::state::percpu::VgicBackend;

/// The physical SGI of doorbells and of requests between siblings. Firmware usually leaves SGIs 0
/// to 7 to the Non-secure world and keeps the others (IHI 0048, 2.2.1).
pub const DOORBELL: u32 = 0;
/// The physical SGI of control: start, stop, console.
pub const CONTROL: u32 = 1;
/// The maintenance interrupt (Server Base System Architecture, PPI assignments).
pub const MAINTENANCE: u32 = 25;
/// First of the special INTIDs, which are not interrupts (IHI 0069, 2.2.1; IHI 0048, 3.2.5).
pub const SPECIAL: u32 = 1020;
/// The private interrupts that EL2 keeps, one bit each.
pub const OWN: u32 = 1 << DOORBELL | 1 << CONTROL | 1 << MAINTENANCE | 1 << timer::INTID;

/// The private interrupts that EL2 needs: its own and the guest's timers, virtual and physical.
pub const NEEDED: u32 = OWN | 1 << 27 | 1 << 30;

/// Operations that EL2 needs of an interrupt controller. Defaults are for operations that one of
/// the two versions does not have.
pub trait GicDriver {
    /// The GIC's architecture version.
    const VERSION: u32;

    /// Remembers where the GIC of `machine` is, which the machine check has compared with the plan.
    /// `link` is the loader's choice of `GICH_LR.HW`.
    fn attach(_machine: &Machine, _link: Option<bool>) {}

    /// Checks that core `row` has the interrupt controller that the plan gives it. Returns what
    /// differs, or what firmware or a loader has not set up as EL2 needs it, in words that name
    /// both sides.
    fn check_core(row: &Core) -> Option<LineBuffer>;

    /// Returns the number of this core's list registers, at most 16.
    fn list_register_count() -> u64;

    /// Switches the distributor on, with every interrupt disabled.
    fn enable_distributor(gicd: &Distributor);

    /// Routes SPI `intid` to the core with affinity fields `mpidr`.
    fn route(gicd: &Distributor, intid: u32, mpidr: u64);

    /// Routes SPI `intid` at boot. Returns why EL2 cannot enable it, if it cannot.
    fn plan_route(gicd: &Distributor, intid: u32, mpidr: u64) -> Option<LineBuffer> {
        Self::route(gicd, intid, mpidr);
        gicd.check_enable(intid as usize / 32, 1 << (intid % 32))
    }

    /// Waits until writes that disabled interrupts have taken effect in the registers at `private`,
    /// and in the distributor if it is given (GICv2 has no such indication: a write takes effect at
    /// once).
    fn wait_for_disable(_gicd: Option<&Distributor>, _private: u64) {}

    /// Returns the address of the registers whose word 0 is that of core `row`, on a machine whose
    /// distributor is at `gicd`.
    fn private(row: &Core, gicd: u64) -> u64;

    /// Sets up this core's private interrupts (`words`) and CPU interface: EL2's own interrupts
    /// enabled, all others disabled.
    fn init_core(row: &Core, words: &Distributor);

    /// Returns the value with which [`Self::send`] sends physical SGI `intid` to core `mpidr`.
    fn sgi(mpidr: u64, intid: u32) -> u64;

    /// Sends `sgi`, made by [`Self::sgi`], after all earlier writes of this core, which the
    /// receiving core must see.
    fn send(sgi: u64);

    /// Acknowledges this core's most urgent physical interrupt; [`SPECIAL`] and up means none.
    fn acknowledge() -> u32;

    /// Ends an SGI of EL2's. An SGI sent after this arrives as a new one, so the caller must look
    /// at what the SGI announces only after this call.
    fn end_sgi(_intid: u32) {}

    /// Lets other interrupts in again while `intid` stays active.
    fn drop_priority(intid: u32);

    /// Ends an interrupt of EL2's own. The write that silenced its source must have taken effect
    /// before.
    fn deactivate(intid: u32);

    /// Sets the virtual CPU interface to its state after reset: no active priorities, all groups
    /// off.
    fn reset_guest_interface();

    /// Reads one of the registers that trap together with `ICC_DIR_EL1`.
    fn read_common(_register: Common) -> u64 {
        0
    }

    /// Writes one of the registers that trap together with `ICC_DIR_EL1`.
    fn write_common(_register: Common, _value: u64) {}

    /// Reads the emulated distributor (`part` is `None`), or the redistributor of vCPU `part`
    /// (GICv2: the page of `GICC_DIR`).
    fn guest_read(vcpu: Vcpu<VgicBackend>, part: Option<usize>, offset: u64, size: u64) -> u64;

    /// Writes the emulated distributor or redistributor: see [`Self::guest_read`].
    fn guest_write(
        vcpu: Vcpu<VgicBackend>,
        part: Option<usize>,
        offset: u64,
        size: u64,
        value: u64,
    );

    /// Returns what a read of the word at `offset` of the emulated distributor shows to `vcpu`, if
    /// that depends only on the state.
    fn guest_state(gic: &vgic::Gic, vcpu: usize, offset: u64) -> Option<u32>;

    /// Carries out the most frequent write of a word to the emulated distributor, an SGI to another
    /// vCPU. Returns false, with nothing done, for all others.
    fn fast_write(_vcpu: Vcpu<VgicBackend>, _offset: u64, _value: u32) -> bool {
        false
    }
}
