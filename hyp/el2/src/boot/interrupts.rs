//! The distributor's set-up, once for all partitions.

use plan::{INTERRUPT_EDGE, INTERRUPT_PHYSICAL, Interrupt};

use super::refuse::refuse_gic;
use crate::drivers::distributor::distributor;
use crate::drivers::{Gic, gic::GicDriver};
use crate::state::plan_view::PlanView;

/// Sets up the distributor: everything disabled, triggers and routes as planned. One core calls it,
/// before any guest runs: `ICFGR` words hold interrupts of several partitions, so no core writes
/// them later.
pub fn init_distributor(plan: &PlanView) {
    let gicd = distributor(plan.header.machine.gicd.base);
    Gic::enable_distributor(gicd);
    let cores = plan.cores();
    let route = |intid, core: &plan::Core| {
        if let Some(words) = Gic::plan_route(gicd, intid, core.mpidr) {
            refuse_gic(&words)
        }
    };
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
                route(intid, core);
            }
        }
    }
    if let Some(console) = cores.get(plan.header.console_core as usize) {
        route(plan.header.machine.uart_intid, console);
    }
}
