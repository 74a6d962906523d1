// SPDX-License-Identifier: MIT OR Apache-2.0
//! Restart: a partition that has stopped is loaded again and starts, by the work of its own cores.
//!
//! 1. The core that stops the partition plans the next start ([`Planned`]), and every core of the
//!    partition comes to rest ([`rest`]).
//! 2. Once all rest and the delay is over, the core of vCPU 0 tells the others ([`next`]), and
//!    all of them load the partition ([`begin`], [`step`]). Between two steps they take interrupts,
//!    since one of them may be the console core.
//! 3. The core of vCPU 0 clears the partition's state, and the partition runs ([`finish`]).

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use ::console::LineBuffer;
use abi::{state, supervise};
use psci::restart::{Policy, Restart};

use super::load::{self, Step};
use super::{console, doorbell, ipi, ivshmem, supervision, vgic, watchdog};
use crate::arch::{cache, el1_context, timer};
use crate::boot::leftovers;
use crate::state::deadlines::Deadline;
use crate::state::next::{Next, Stop, Until};
use crate::state::percpu::PerCpu;
use crate::state::shared::{Life, control};

/// The next start of a partition that stops now, or none because its limit is reached.
pub struct Planned {
    now: u64,
    restart: Option<Restart>,
}

impl Planned {
    /// Asks the partition's policy.
    pub fn new(cpu: &PerCpu) -> Self {
        let row = &cpu.partition.policy;
        let policy = Policy {
            limit: row.limit,
            within: timer::ticks(row.within),
            delay: timer::ticks(row.delay),
            back_off: row.back_off.into(),
        };
        let now = timer::now();
        Self { now, restart: life(cpu).and_then(|life| life.history.next(now, &policy)) }
    }

    /// Ordered: at once, and the window of restarts begins anew.
    pub fn now() -> Self {
        Self { now: timer::now(), restart: Some(Restart { number: 0, delay: 0 }) }
    }

    /// Returns whether the policy allows a restart.
    pub fn is_allowed(&self) -> bool {
        self.restart.is_some()
    }

    /// Records it, on the core that has changed the partition's state, and adds it to `line`.
    pub fn record(&self, cpu: &PerCpu, line: &mut LineBuffer) {
        let policy = &cpu.partition.policy;
        let (Some(life), Some(restart)) = (life(cpu), self.restart) else {
            line.str("halted after ").dec(policy.limit.into());
            let (unit, name) = match policy.within % 1_000_000 {
                0 => (1_000_000, " s"),
                _ => (1000, " ms"),
            };
            line.str(" restarts in ").dec(policy.within / unit).str(name);
            return;
        };
        life.history.record(self.now, restart);
        life.next.store((self.now + restart.delay).max(1), Release);
        if restart.number == 0 {
            line.str("at once");
            return;
        }
        line.str("restart ").dec(restart.number.into()).str(" of ").dec(policy.limit.into());
        line.str(" in ").dec(restart.delay / timer::ticks(1000).max(1)).str(" ms");
    }
}

/// Returns the stops and starts of this core's partition.
pub fn life(cpu: &PerCpu) -> Option<&'static Life> {
    cpu.shared.global.lives.get(cpu.row.partition as usize)
}

/// Counts this core among those that rest after the partition's stop.
pub fn rest(cpu: &PerCpu) {
    if let Some(life) = life(cpu) {
        life.resting.fetch_add(1, Release);
    }
    if let Some(leader) = ipi::vcpu_core(cpu, 0) {
        ipi::send_control(cpu, leader, control::START);
    }
}

/// Arms the timer of vCPU 0's core for the start that is planned.
pub fn set_deadline(cpu: &mut PerCpu) {
    let next = life(cpu).map_or(0, |life| life.next.load(Acquire));
    let is_planned = cpu.row.vcpu == 0 && next != 0 && !is_final(cpu);
    let at = if is_planned { next } else { timer::NEVER };
    cpu.deadlines.set(Deadline::Restart, at);
    cpu.deadlines.set(Deadline::ConsoleLook, timer::NEVER);
    cpu.deadlines.set(Deadline::Watchdog, timer::NEVER);
    cpu.deadlines.arm();
}

/// Returns what this core, which rests, does next, if its partition starts again now. The core of
/// vCPU 0 decides it for all.
pub fn next(cpu: &mut PerCpu) -> Option<Next> {
    let life = life(cpu)?;
    let at = life.next.load(Acquire);
    let all_rest = life.resting.load(Acquire) == cpu.vcpus.len() as u32;
    if cpu.shared.state(cpu.row.partition as usize) != state::RESTARTING {
        return None;
    }
    if cpu.row.vcpu == 0 && at != 0 && at <= timer::now() && all_rest {
        life.next.store(0, Relaxed);
        use_tables(cpu.row.ttbr_load);
        load::disconnect(cpu);
        if !quiesce(cpu) {
            use_tables(cpu.row.ttbr_run);
            return Some(Next::Stop(Stop::Device));
        }
        life.resting.store(0, Relaxed);
        if let Some(loading) = cpu.shared.global.loading.get(cpu.row.partition as usize) {
            loading.restart();
        }
        life.reloads.fetch_add(1, Release);
        for &index in cpu.vcpus.iter().skip(1) {
            ipi::send_control(cpu, index as usize, control::START);
        }
    }
    (life.reloads.load(Acquire) != cpu.reloads).then_some(Next::Reload)
}

/// Drops an order to start or restart this core's partition, which is about to run. From then on
/// such an order is for the new life.
fn forget_starts(cpu: &PerCpu) {
    let forget = |order| (order != supervise::STOP).then_some(0);
    if let Some(life) = life(cpu) {
        let _ = life.order.fetch_update(AcqRel, Acquire, forget);
    }
}

/// Switches to a root of this core's row.
pub fn use_tables(root: u64) {
    // SAFETY: the callers have it from the row; both roots map all that EL2 uses.
    unsafe { cache::switch_el2_tables(root) };
}

/// Writes the registers that silence the partition's devices, through the loading tables. Returns
/// false if one of them does not read back as written.
fn quiesce(cpu: &PerCpu) -> bool {
    cpu.plan.slice::<plan::Write>(cpu.partition.policy.quiesce).iter().all(|write| {
        let register = write.address as *mut u32;
        // SAFETY: the board's data names a register of a device that only this partition has, and
        // the loading tables map it.
        unsafe {
            register.write_volatile(write.value);
            register.read_volatile() == write.value
        }
    })
}

/// Begins to load the partition: silences what may have reached the distributor from a sibling that
/// still ran when this core came to rest.
pub fn begin(cpu: &mut PerCpu) -> Step {
    cpu.reloads = cpu.reloads.wrapping_add(1);
    cpu.deadlines.set(Deadline::Restart, timer::NEVER);
    leftovers::clear();
    cpu.deadlines.arm();
    vgic::vcpu(cpu).reset();
    use_tables(cpu.row.ttbr_load);
    Step::Fill
}

/// Returns what this core does instead of loading on, if the partition has no next life: EL2 failed
/// on a sibling, or the whole system ends. Any other stop waits for [`finish`], since a sibling may
/// have come there already.
pub fn interrupted(cpu: &PerCpu) -> Option<Next> {
    let next = if cpu.shared.global.ending.load(Acquire) != 0 {
        Next::Stop(Stop::BySibling)
    } else if life(cpu).is_some_and(|life| life.damaged.load(Acquire) != 0) {
        Next::Idle(Until::Restarted)
    } else {
        return None;
    };
    use_tables(cpu.row.ttbr_run);
    Some(next)
}

/// Returns whether the partition has stopped and does not start again.
pub fn is_final(cpu: &PerCpu) -> bool {
    let state = cpu.shared.state(cpu.row.partition as usize);
    !matches!(state, state::RUNNING | state::RESTARTING)
}

/// Does a step, and returns the next one, or `None` once the partition is loaded and its state
/// cleared.
pub fn step(cpu: &mut PerCpu, now: Step) -> Option<Step> {
    let partition = cpu.row.partition as usize;
    let loading = cpu.shared.global.loading.get(partition)?;
    let next = load::step(cpu, now, 1);
    match next {
        // All cores have come to the end of `load`, so none of them uses the state.
        Step::Done if now != Step::Done => {
            if cpu.row.vcpu == 0 {
                clear(cpu);
            }
            load::arrive(&loading.arrived);
            Some(Step::Done)
        }
        Step::Done if loading.arrived.load(Acquire) >= 3 * cpu.vcpus.len() as u32 => None,
        _ => Some(next),
    }
}

/// Clears the partition's state. From now on it runs, though no vCPU has started.
fn clear(cpu: &mut PerCpu) {
    let terminal = cpu.terminal;
    cpu.state.clear();
    cpu.state.init(cpu.partition, &cpu.plan);
    cpu.state.uart.reset(&terminal.output, &terminal.input);
    vgic::vcpu(cpu).reset();
    let mut line = console::partition_line(cpu);
    line.str("starts again");
    console::print_line(cpu, &line);
    forget_starts(cpu);
    cpu.shared.start(cpu.row.partition as usize, state::RESTARTING);
    supervision::announce(cpu);
}

/// Sets this core up for the partition's next life.
pub fn finish(cpu: &mut PerCpu) {
    if cpu.row.vcpu != 0 {
        vgic::vcpu(cpu).reset();
    }
    el1_context::init(cpu.row);
    cpu.injected = None;
    cpu.stopped = false;
    ivshmem::show(cpu, true);
    doorbell::restart(cpu);
    doorbell::notify_peers(cpu);
    // A sibling that runs already may have asked while this core was still stopped.
    ivshmem::take_requests(cpu);
    if cpu.row.vcpu == 0 {
        watchdog::start(cpu);
    }
    cpu.deadlines.arm();
}

/// Returns what this core does in the life that it is set up for. The core of vCPU 0 does not wait
/// for its siblings, so that life may already be over.
pub fn begin_life(cpu: &PerCpu) -> Next {
    match cpu.shared.state(cpu.row.partition as usize) {
        state::RUNNING => Next::Idle(Until::Started),
        _ => Next::Stop(Stop::BySibling),
    }
}
