//! The last step of boot, with the MMU on: a core sets itself up, waits for the others, and runs
//! its guest or waits for its start.

use core::sync::atomic::Ordering::AcqRel;

use super::irq;
use crate::arch::el1_context;
use crate::boot::{leftovers, reset_cause};
use crate::drivers::distributor::distributor;
use crate::drivers::{Gic, gic::GicDriver};
use crate::services::load::{self, Progress};
use crate::services::{board_watchdog, console, doorbell, ivshmem, record, vgic, watchdog};
use crate::state::next::{Next, Until};
use crate::state::percpu::{PerCpu, VgicBackend};
use crate::state::plan_view::PlanView;
use ::console::{LineBuffer, STARTED};

/// Does step 6 of boot (`boot/entry.rs` calls it by this name). `row` is this core's row of the
/// plan.
// SAFETY: no other function of EL2 has this name.
#[unsafe(no_mangle)]
extern "C" fn run_core(row: &'static plan::Core) -> ! {
    leftovers::clear();
    let plan = PlanView::here();
    let backend = VgicBackend::new(row, &plan);
    // SAFETY: `boot/entry.rs` comes here once per core, on its own stack, right after it switched
    // its MMU on.
    let cpu = unsafe { &mut *PerCpu::init(row, plan, backend) };
    doorbell::init(cpu);
    ivshmem::init(cpu);
    Gic::init_core(row, distributor(cpu.vgic.backend.private));
    if row.vcpu == 0 {
        cpu.state.init(cpu.partition, &plan);
    }
    let mut progress = Progress::new(cpu);
    load::load(cpu, &mut progress);
    boot_barrier(cpu, &mut progress);
    // The console comes first: if EL2 faults later on this core, the others still have their
    // console.
    console::init(cpu);
    board_watchdog::start(cpu);
    vgic::vcpu(cpu).reset();
    ivshmem::start(cpu);
    if cpu.index == 0 {
        if let Some(cause) = reset_cause() {
            let mut line = LineBuffer::default();
            line.str("cause of the last reset: ").hex(cause);
            console::print_line(cpu, &line);
        }
        let mut line = LineBuffer::default();
        line.str(STARTED);
        console::print_line(cpu, &line);
    }
    el1_context::init(row);
    if row.vcpu == 0 {
        watchdog::start(cpu);
    }
    record::tell_kept(cpu);
    irq::run(cpu, Next::Idle(Until::Started))
}

/// Waits until every core is here: guests run only after all are loaded and the interrupt
/// controller is set up.
fn boot_barrier(cpu: &PerCpu, progress: &mut Progress) {
    if cpu.row.vcpu == 0 {
        cpu.shared.start(cpu.row.partition as usize, abi::state::LOADING);
        cpu.shared.global.alive.fetch_add(1, AcqRel);
    }
    let ready = &cpu.shared.global.ready;
    load::arrive(ready);
    load::meet(cpu, ready, cpu.cores.len() as u32, progress);
}
