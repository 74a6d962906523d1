// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console's monitor, on the console core.

use core::sync::atomic::Ordering::Relaxed;

use ::console::{After, Facts};
use abi::{Reason, error, state};
use doorbell::Counters;

use super::{View, order};
use crate::drivers::pl011::Uart;
use crate::state::percpu::{ConsoleState, PerCpu};

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

/// Does a step of the monitor, unless the partitions' lines go first. It is a separate function so
/// that the console's drain saves no registers for it.
#[inline(never)]
pub fn drain(cpu: &mut PerCpu, uart: Uart) -> Option<After> {
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
