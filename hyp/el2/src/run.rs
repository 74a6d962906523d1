//! What a core does from the moment its MMU is on: make ready, meet the others, run its guest or wait to be started.

use core::sync::atomic::Ordering::{AcqRel, Acquire};

use aarch64_cpu::asm::{self, barrier};
use console::Line;
use plan::{Load, Memory, Range};

use crate::boot::leftovers;
use crate::cpu::core::Core;
use crate::cpu::{cache, guest};
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
        load(core);
    }
    meet(core);
    core.vgic().reset();
    cache::switch_el2_tables(row.ttbr_run);
    terminal::init(core);
    if core.index == 0 {
        let mut line = Line::default();
        line.str(console::STARTED);
        terminal::say(core, &line);
    }
    guest::init(core);
    power::wait_for_start(core)
}

/// Clears this partition's memory and the channel pages it writes, and copies its pristine images: whatever boot left
/// there, other partitions' images too, is gone. Guests start with their caches off, so all of it is cleaned to the point
/// of coherency.
fn load(core: &Core) {
    let plan = &core.plan;
    let memory = plan.slice::<Memory>(core.partition.memory).iter();
    let channels = plan.slice::<Range>(core.partition.clears).iter();
    let ranges = memory
        .map(|piece| (piece.base, piece.size))
        .chain(channels.map(|range| (range.base, range.size)));
    for (base, size) in ranges.clone() {
        // SAFETY: the plan gives this partition the range, its load tables map it, and no guest runs yet.
        unsafe { cache::clear_range(base, size) };
    }
    for row in plan.slice::<Load>(core.partition.loads) {
        let (source, target) = (row.source as *const u8, row.target as *mut u8);
        // SAFETY: the planner puts source and target into different ranges, both mapped by the load tables alone and
        // owned by this partition; no guest runs yet.
        unsafe { core::ptr::copy_nonoverlapping(source, target, row.size as usize) };
    }
    for (base, size) in ranges {
        cache::clean_invalidate(base, size);
    }
    cache::invalidate_instructions();
}

/// Waits until every core is here: no guest runs before all are loaded and the interrupt controller is set up.
fn meet(core: &Core) {
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
    while global.ready.load(Acquire) < core.shared.cores().len() as u32 {
        asm::wfe();
    }
}
