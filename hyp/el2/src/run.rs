//! What a core does from the moment its MMU is on: make ready, meet the others, run its guest or wait to be started.

use core::sync::atomic::Ordering::{AcqRel, Acquire};

use aarch64_cpu::asm::{self, barrier};
use console::Line;

use crate::boot::leftovers;
use crate::cpu::core::Core;
use crate::cpu::guest;
use crate::load::{self, Progress};
use crate::planned::Plan;
use crate::{gic, power, terminal};

/// Step 6 of boot. `row` is this core's row of the plan.
pub extern "C" fn run_core(row: &'static plan::Core) -> ! {
    leftovers::clear();
    let plan = Plan::here();
    // SAFETY: `boot/entry.rs` comes here once a core, on its own stack, right after it switched its MMU on.
    let core = unsafe { &mut *Core::init(row, plan) };
    gic::init_core(row, core.lists.private);
    if row.vcpu == 0 {
        core.state.init(core.partition, &plan);
    }
    let mut progress = Progress::new(core);
    load::load(core, &mut progress);
    meet(core, &mut progress);
    // First: a fault of EL2's own on this core, further on, leaves the others their console.
    terminal::init(core);
    core.vgic().reset();
    if core.index == 0 {
        let mut line = Line::default();
        line.str(console::STARTED);
        terminal::say(core, &line);
    }
    guest::init(core);
    power::wait_for_start(core)
}

/// Waits until every core is here: no guest runs before all are loaded and the interrupt controller is set up.
fn meet(core: &Core, progress: &mut Progress) {
    let global = core.shared.global();
    if core.row.vcpu == 0 {
        core.shared.change_state(
            core.row.partition as usize,
            abi::state::LOADING,
            abi::state::RUNNING,
        );
        global.alive.fetch_add(1, AcqRel);
    }
    global.ready.fetch_add(1, AcqRel);
    barrier::dsb(barrier::ISHST);
    asm::sev();
    while global.ready.load(Acquire) < core.shared.core_count() as u32 {
        progress.look(core);
        asm::wfe();
    }
}
