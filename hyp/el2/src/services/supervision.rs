// SPDX-License-Identifier: MIT OR Apache-2.0
//! Supervision: a supervisor partition and the console's monitor read the states and counters of
//! all partitions and order them to stop or start. A partition's own cores carry orders out.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ::console::Facts;
use abi::{Reason, call, error, state, supervise};
use doorbell::{Counters, Outcome};

use super::ipi;
use crate::arch::timer;
use crate::state::frame::Frame;
use crate::state::percpu::PerCpu;
use crate::state::plan_view::PlanView;
use crate::state::shared::{Shared, control};

/// Answers a supervisor's call.
pub fn call(frame: &mut Frame, cpu: &mut PerCpu, function: u32) -> i64 {
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
        call::SUPERVISE => match vcpu as u64 {
            order @ supervise::STOP..=supervise::RESTART => match cpu.orders.admit(timer::now) {
                Outcome::Notify => self::order(cpu, partition, order),
                _ => error::TOO_MANY,
            },
            _ => error::BAD_ARGUMENT,
        },
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
pub struct View<'a> {
    pub plan: &'a PlanView,
    pub cores: &'static [plan::Core],
    pub shared: &'a Shared,
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
pub fn order(cpu: &PerCpu, partition: usize, order: u64) -> i64 {
    let (Some(life), Some(leader)) =
        (cpu.shared.global.lives.get(partition), View::new(cpu).core(partition, 0))
    else {
        return error::BAD_ARGUMENT;
    };
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
