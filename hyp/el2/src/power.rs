//! Starting and stopping: what PSCI's answers come to, how a partition ends, and the last line of the system.

use core::mem::replace;
use core::sync::atomic::Ordering::{AcqRel, Acquire};

use abi::{Reason, state};
use console::Line;
use psci::Start;

use crate::boot::off;
use crate::cpu::core::Core;
use crate::cpu::{cache, guest};
use crate::exits::take_interrupt;
use crate::shared::control;
use crate::{bell, gic, terminal};

/// Waits at EL2 until a sibling starts this vCPU, taking interrupts meanwhile, and starts it.
pub fn wait_for_start(core: &mut Core) -> ! {
    loop {
        if let Some(start) = core.state.power.take_start(core.row.vcpu as usize) {
            core.vgic().unpark();
            guest::enter(start);
        }
        cache::wait_for_interrupt();
        take_interrupt(core);
    }
}

/// The control SGI: what others want of this core.
pub fn control(core: &mut Core) {
    let bits = core.mine.control.swap(0, AcqRel);
    let console_alone = bits == control::CONSOLE;
    core.count(if console_alone {
        Reason::Console
    } else {
        Reason::Control
    });
    if bits & control::CONSOLE != 0 {
        terminal::drain(core);
        core.rearm();
    }
    if bits & control::INPUT != 0 && !core.stopped {
        terminal::typed(core);
    }
    // A start is taken by the loop that waits for one.
    if bits & control::STOP != 0 {
        stopped(core);
    }
}

/// Tells core `index` of the plan something: a bit of [`mod@control`].
pub fn tell(core: &Core, index: usize, bit: u32) {
    // A bit that is set already has its SGI on its way.
    if let Some(other) = core.shared.core(index)
        && other.control.fetch_or(bit, AcqRel) & bit == 0
        && let Some(row) = core.cores.get(index)
    {
        gic::send(gic::sgi(row.mpidr, gic::CONTROL));
    }
}

/// Plan index of the core of this partition's vCPU `vcpu`.
pub fn vcpu_core(core: &Core, vcpu: usize) -> Option<usize> {
    core.vcpus.get(vcpu).map(|&index| index as usize)
}

/// `CPU_ON` was granted: wakes the core of vCPU `vcpu`.
pub fn wake(core: &Core, vcpu: usize) -> i64 {
    if let Some(index) = vcpu_core(core, vcpu) {
        tell(core, index, control::START);
    }
    psci::ret::SUCCESS
}

/// `CPU_OFF` was granted.
pub fn vcpu_off(core: &mut Core) -> ! {
    core.vgic().park();
    if core.state.power.all_off() {
        partition_off(core, state::OFF);
    }
    wait_for_start(core)
}

/// `CPU_SUSPEND`: waits until an interrupt is pending for the vCPU. A WFI at EL2 does not wake for a virtual interrupt, so
/// the list registers are looked at before each.
pub fn suspend(core: &mut Core, resume: Option<Start>) -> i64 {
    while match resume {
        Some(_) => !core.vgic().is_woken(),
        None => !core.vgic().is_pending(),
    } {
        cache::wait_for_interrupt();
        take_interrupt(core);
    }
    match resume {
        Some(start) => {
            core.vgic().forget_priorities();
            guest::enter(start)
        }
        None => psci::ret::SUCCESS,
    }
}

/// The partition switched itself off or asked for a reset.
pub fn partition_off(core: &mut Core, to: u32) -> ! {
    if to == state::RESET {
        let mut line = about(core);
        end(core, to, Some(line.str("asked for a reset: halted")))
    }
    end(core, to, None)
}

/// `FAIL`: the partition gives itself up.
pub fn fail(core: &mut Core, code: u64) -> ! {
    let mut line = about(core);
    line.str("vCPU ")
        .dec(core.row.vcpu.into())
        .str(" gave the partition up: code ")
        .hex(code);
    end(core, state::FAILED, Some(&line))
}

/// Halts the partition for a fault on this core. `registers` are ESR, ELR, FAR and HPFAR of its cause, to which `more` adds.
pub fn halt(core: &mut Core, cause: &str, more: &str, registers: [u64; 4]) -> ! {
    core.mine.crash.record(registers);
    let mut line = about(core);
    line.str("vCPU ")
        .dec(core.row.vcpu.into())
        .str(" on core ")
        .dec(core.index as u64);
    line.str(" halted: ").str(cause).str(more);
    for (name, value) in [" (ESR ", " ELR ", " FAR ", " HPFAR "]
        .into_iter()
        .zip(registers)
    {
        line.str(name).hex(value);
    }
    end(core, state::HALTED, Some(line.str(")")))
}

/// The start of a line about this core's partition.
pub fn about(core: &Core) -> Line {
    let mut line = Line::default();
    line.name(&core.partition.name).str(": ");
    line
}

/// Stops the partition in state `to`.
fn end(core: &mut Core, to: u32, line: Option<&Line>) -> ! {
    // Of several vCPUs that stop it at once one wins; the others only wait.
    if core
        .shared
        .change_state(core.row.partition as usize, state::RUNNING, to)
    {
        core.state.power.halt_all();
        terminal::end(core);
        if let Some(line) = line {
            terminal::say(core, line);
        }
        terminal::say_lost(core, true);
        for index in core.vcpus.iter().map(|&index| index as usize) {
            if index != core.index {
                tell(core, index, control::STOP);
            }
        }
        if core.shared.global().alive.fetch_sub(1, AcqRel) == 1 {
            terminal::wake(core);
        }
    }
    stopped(core)
}

/// The partition has stopped: its peers are told, its interrupts are off, and this core takes EL2's own interrupts alone.
fn stopped(core: &mut Core) -> ! {
    // Once: where EL2 faults at one of these it comes here again, and the console's core has others' lines to print.
    if !replace(&mut core.stopped, true) {
        terminal::end(core);
        bell::farewell(core);
        core.vgic().reset();
    }
    loop {
        cache::wait_for_interrupt();
        take_interrupt(core);
    }
}

/// Whether every partition has stopped.
pub fn all_stopped(core: &Core) -> bool {
    core.shared.global().alive.load(Acquire) == 0
}

/// The system's last line: the nonce, and how each partition ended.
pub fn last_line(core: &Core) -> Line {
    let mut line = Line::default();
    line.str("end ")
        .digits(core.shared.global().nonce.load(Acquire), 16);
    for (index, partition) in core.plan.partitions().iter().enumerate() {
        let word = state::NAMES
            .get(core.shared.state(index) as usize)
            .copied()
            .unwrap_or("?");
        line.str(" ").name(&partition.name).str("=").str(word);
    }
    line
}

/// Switches the machine off, or leaves it waiting if the plan wants that or there is no way.
pub fn machine_off(core: &Core) -> ! {
    if core.plan.header.at_end == plan::END_POWER_OFF {
        off::machine_off(&core.plan);
    }
    loop {
        cache::wait_for_interrupt();
    }
}
