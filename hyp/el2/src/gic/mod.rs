//! The physical interrupt controller: who sends, takes and ends physical interrupts at EL2.
//!
//! EL2 keeps two SGIs, its timer and the maintenance interrupt of each core, and the console's UART. Every other
//! interrupt belongs to one partition, whose guest ends it itself through a hardware-linked list register.
//!
//! `v3.rs` and `v2.rs` offer the same functions; one of them is built, as the feature `gicv2` says.

#[cfg(feature = "gicv2")]
#[path = "v2.rs"]
mod driver;
#[cfg(not(feature = "gicv2"))]
#[path = "v3.rs"]
mod driver;
pub mod lists;
pub mod physical;

pub use driver::{
    VERSION, acknowledge, attach, check_core, deactivate, drop_priority, end_sgi, guest_read,
    guest_state, guest_write, init_core, list_register_count, quick_inbox, quick_write,
    read_common, reset_guest_interface, send, sgi, write_common,
};

use plan::{INTERRUPT_EDGE, INTERRUPT_PHYSICAL, Interrupt};

use crate::planned::Plan;

/// Whether this EL2 drives a GICv3, for which the vectors have short paths.
pub const IS_V3: bool = VERSION == 3;
/// The physical SGI of doorbells and of everything between siblings.
pub const DOORBELL: u32 = 8;
/// The physical SGI of control: start, stop, console.
pub const CONTROL: u32 = 9;
/// The maintenance interrupt (Server Base System Architecture, PPI assignments).
pub const MAINTENANCE: u32 = 25;
/// INTIDs from here on are answers, not interrupts (IHI 0069, 2.2.1; IHI 0048, 3.2.5).
pub const SPECIAL: u32 = 1020;
/// What EL2 keeps of the private interrupts, a bit each.
const OWN: u32 = 1 << DOORBELL | 1 << CONTROL | 1 << MAINTENANCE | 1 << crate::cpu::timer::INTID;

/// Sets up the distributor for all partitions: everything disabled, triggers and routes as planned. One core
/// calls it, before any guest runs: `ICFGR` words hold interrupts of several partitions, so nobody writes them later.
pub fn init_distributor(plan: &Plan) {
    let gicd = physical::distributor(plan.header.machine.gicd.base);
    driver::enable_distributor(gicd);
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
                driver::plan_route(gicd, intid, core.mpidr);
            }
        }
    }
    if let Some(console) = cores.get(plan.header.console_core as usize) {
        driver::plan_route(gicd, plan.header.machine.uart_intid, console.mpidr);
    }
}
