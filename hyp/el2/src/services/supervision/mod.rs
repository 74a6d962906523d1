// SPDX-License-Identifier: MIT OR Apache-2.0
//! Supervision: a supervisor partition and the console's monitor read the states and counters of
//! all partitions and order them to stop or start. A partition's own cores carry orders out.

pub mod monitor;
pub mod orders;

use core::sync::atomic::Ordering::{Acquire, Release};

use ::console::Facts;
use abi::{call, error, supervise};
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

/// Gives `partition` an order, an item of [`supervise`], and tells the core of its vCPU 0.
fn order(cpu: &PerCpu, partition: usize, order: u64) -> i64 {
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
