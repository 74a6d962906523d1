// SPDX-License-Identifier: MIT OR Apache-2.0
//! Orders to this core's partition, which its own cores carry out, and news of other partitions for
//! a supervisor.

use core::sync::atomic::Ordering::{AcqRel, Acquire};

use abi::{state, supervise};

use super::announce;
use crate::services::restart::{self, Planned};
use crate::services::{console, vgic};
use crate::state::next::{Next, Stop};
use crate::state::percpu::PerCpu;
use crate::state::shared::control;

/// Handles the requests of a supervisor or of the monitor in `bits`, and what tells a supervisor
/// of other partitions.
pub fn requests(cpu: &mut PerCpu, bits: u32) -> Next {
    if bits & control::NOTICE != 0 && !cpu.stopped {
        let intid = cpu.partition.supervisor;
        vgic::vcpu(cpu).inject(intid);
    }
    if bits & control::ORDER != 0 { obey(cpu) } else { Next::Resume }
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
