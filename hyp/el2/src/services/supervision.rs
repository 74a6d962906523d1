// SPDX-License-Identifier: MIT OR Apache-2.0
//! Supervision: a supervisor partition and the console's monitor read the states and counters of
//! all partitions and order them to stop or start. A partition's own cores carry orders out.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use ::console::{After, Facts};
use abi::{Reason, call, error, state, supervise};
use doorbell::Counters;

use super::restart::{self, Planned};
use super::{console, ipi, vgic};
use crate::drivers::pl011::Uart;
use crate::state::frame::Frame;
use crate::state::next::{Next, Stop};
use crate::state::percpu::{ConsoleState, PerCpu};
use crate::state::plan_view::PlanView;
use crate::state::shared::{Shared, control};

/// Answers a supervisor's call.
pub fn call(frame: &mut Frame, cpu: &PerCpu, function: u32) -> i64 {
    let [partition, vcpu, item] = [1, 2, 3].map(|register| frame.get(register) as usize);
    let Some(row) = cpu.plan.partitions().get(partition) else {
        return error::BAD_ARGUMENT;
    };
    let view = View::new(cpu);
    match function {
        call::PARTITION => {
            // The state first: a partition that is seen to run has counted this start.
            let state = cpu.shared.state(partition);
            frame.set(1, cpu.shared.generation(partition));
            frame.set(2, cpu.shared.starts(partition).into());
            frame.set(3, row.vcpus.count.into());
            state.into()
        }
        call::SUPERVISE => order(cpu, partition, vcpu as u64),
        _ => {
            let Some(core) = view.core(partition, vcpu) else {
                return error::BAD_ARGUMENT;
            };
            if function == call::PARTITION_ENTRIES {
                return view.entries(core, item).map_or(error::BAD_ARGUMENT, |count| count as i64);
            }
            let (Some(_), Some(counters)) = (view.peer(core, item), view.counters(core, item))
            else {
                return error::BAD_HANDLE;
            };
            frame.set(1, counters.coalesced.get());
            frame.set(2, counters.deferred.get());
            frame.set(3, counters.received.get());
            counters.sent.get() as i64
        }
    }
}

/// All partitions and cores, as supervisors and the monitor see them.
struct View<'a> {
    plan: &'a PlanView,
    cores: &'static [plan::Core],
    shared: &'a Shared,
}

impl<'a> View<'a> {
    fn new(cpu: &'a PerCpu) -> Self {
        Self { plan: &cpu.plan, cores: cpu.cores, shared: &cpu.shared }
    }

    /// Returns the index of the core of a partition's vCPU.
    fn core(&self, partition: usize, vcpu: usize) -> Option<usize> {
        let row = self.plan.partitions().get(partition)?;
        self.plan.slice::<u32>(row.vcpus).get(vcpu).map(|&index| index as usize)
    }

    /// Returns the counters of a core's channel end.
    fn counters(&self, core: usize, handle: usize) -> Option<&'static Counters> {
        self.shared.core(core)?.doorbells.get(handle)
    }
}

impl Facts for View<'_> {
    fn name(&self, partition: usize) -> Option<&'static [u8]> {
        self.plan.partitions().get(partition).map(|row| &row.name[..])
    }

    fn state(&self, partition: usize) -> Option<&'static str> {
        state::NAMES.get(self.shared.state(partition) as usize).copied()
    }

    fn restarts(&self, partition: usize) -> u32 {
        self.shared.starts(partition).saturating_sub(1)
    }

    fn owner(&self, core: usize) -> Option<(usize, usize)> {
        self.cores.get(core).map(|row| (row.partition as usize, row.vcpu as usize))
    }

    fn reason(&self, reason: usize) -> Option<&'static str> {
        Reason::NAMES.get(reason).copied()
    }

    fn entries(&self, core: usize, reason: usize) -> Option<u64> {
        self.shared.core(core)?.entries.get(reason).map(|count| count.load(Relaxed))
    }

    fn peer(&self, core: usize, end: usize) -> Option<usize> {
        let ends = self.plan.slice::<plan::End>(self.cores.get(core)?.ends);
        ends.get(end).map(|end| end.peer_partition as usize)
    }

    fn doorbells(&self, core: usize, end: usize, counter: usize) -> Option<u64> {
        let Counters { sent, coalesced, deferred, .. } = self.counters(core, end)?;
        [sent, coalesced, deferred].get(counter).map(|counter| counter.get())
    }
}

/// Gives `partition` an order, an item of [`supervise`], and tells the core of its vCPU 0.
fn order(cpu: &PerCpu, partition: usize, order: u64) -> i64 {
    let (Some(life), Some(leader)) =
        (cpu.shared.global.lives.get(partition), View::new(cpu).core(partition, 0))
    else {
        return error::BAD_ARGUMENT;
    };
    match order {
        supervise::STOP..=supervise::RESTART => {}
        _ => return error::BAD_ARGUMENT,
    }
    if order != supervise::STOP && life.damaged.load(Acquire) != 0 {
        return error::DAMAGED;
    }
    life.order.store(order, Release);
    ipi::send_control(cpu, leader, control::ORDER);
    0
}

/// Tells every supervisor that the state of this core's partition has changed.
pub fn announce(cpu: &PerCpu) {
    for (index, row) in cpu.plan.partitions().iter().enumerate() {
        if row.supervisor != 0
            && let Some(leader) = View::new(cpu).core(index, 0)
        {
            ipi::send_control(cpu, leader, control::NOTICE);
        }
    }
}

/// Handles the requests of a supervisor or of the monitor in `bits`, and what tells a supervisor
/// of other partitions.
pub fn requests(cpu: &mut PerCpu, bits: u32) -> Next {
    if bits & control::NOTICE != 0 && !cpu.stopped {
        let intid = cpu.partition.supervisor;
        vgic::vcpu(cpu).inject(intid);
    }
    if bits & control::ORDER != 0 { obey(cpu) } else { Next::Resume }
}

/// Drops an order to start or restart this core's partition, which is about to run. From then on
/// such an order is for the new life.
pub fn forget_starts(cpu: &PerCpu) {
    let forget = |order| (order != supervise::STOP).then_some(0);
    if let Some(life) = restart::life(cpu) {
        let _ = life.order.fetch_update(AcqRel, Acquire, forget);
    }
}

/// Carries out the order of this core's partition, on the core of vCPU 0.
pub fn obey(cpu: &PerCpu) -> Next {
    let Some(life) = restart::life(cpu) else {
        return Next::Resume;
    };
    // While the partition is loaded the order waits for [`restart::finish`].
    if cpu.stopped && life.next.load(Acquire) == 0 && !restart::is_final(cpu) {
        return Next::Resume;
    }
    match (life.order.swap(0, Acquire), cpu.shared.state(cpu.row.partition as usize)) {
        (supervise::STOP, state::RUNNING | state::RESTARTING) => {
            return Next::Stop(Stop::Ordered);
        }
        (supervise::RESTART, state::RUNNING) => return Next::Stop(Stop::OrderedRestart),
        (0 | supervise::STOP, _) | (_, state::RUNNING) => {}
        _ => start_now(cpu),
    }
    Next::Resume
}

/// Starts the partition, which has stopped, at once and with a new window of restarts: the core of
/// vCPU 0 was ordered to. Does nothing if it must not start, or if the whole system ends.
fn start_now(cpu: &PerCpu) {
    let (global, partition) = (cpu.shared.global, cpu.row.partition as usize);
    let state = cpu.shared.state(partition);
    let Some(life) = restart::life(cpu) else {
        return;
    };
    let mut line = console::partition_line(cpu);
    line.str("ordered to start: ");
    if state != state::RESTARTING {
        let more = |alive: u32| (alive != 0).then_some(alive.wrapping_add(1));
        if life.damaged.load(Acquire) != 0
            || global.ending.load(Acquire) != 0
            || global.alive.fetch_update(AcqRel, Acquire, more).is_err()
        {
            return;
        }
        // Only this core changes a final state.
        cpu.shared.change_state(partition, state, state::RESTARTING);
        announce(cpu);
    }
    Planned::now().record(cpu, &mut line);
    console::print_line(cpu, &line);
}

/// Does a step of the monitor, unless the partitions' lines go first. It is a separate function so
/// that [`console::drain`] saves no registers for it.
#[inline(never)]
pub fn drain_monitor(cpu: &mut PerCpu, uart: Uart) -> Option<After> {
    let waiting = &cpu.shared.global.waiting;
    let ConsoleState { monitor, mux, .. } = &mut cpu.console;
    if !monitor.goes_first(|| waiting.next(0).is_some(), || mux.pause()) {
        return None;
    }
    if monitor.is_pressed() {
        take_key(cpu);
        return Some(After::More);
    }
    let view = View { plan: &cpu.plan, cores: cpu.cores, shared: &cpu.shared };
    Some(monitor.drain(&uart, &view))
}

/// Gives the monitor the key that was pressed, and carries out the order that it completes.
#[inline(never)]
fn take_key(cpu: &mut PerCpu) {
    if let Some(given) = cpu.console.monitor.take_key() {
        cpu.console.monitor.answer(match order(cpu, given.partition, given.what) {
            0 => "bulkhead: order given\r\n",
            error::DAMAGED => "bulkhead: EL2 failed in it: it never starts again\r\n",
            _ => "bulkhead: no such partition\r\n",
        });
    }
}
