// SPDX-License-Identifier: MIT OR Apache-2.0
//! A partition's watchdog: one tick for the whole partition, watched by each core that has set it.

use core::sync::atomic::Ordering::Relaxed;

use abi::{error, watchdog};
use psci::ret;

use crate::arch::timer;
use crate::state::deadlines::Deadline;
use crate::state::frame::Frame;
use crate::state::next::{Next, Stop};
use crate::state::percpu::PerCpu;

const SECOND: u64 = 1_000_000;
const LONGEST: u64 = watchdog::LONGEST * SECOND;

/// Sets the time for the partition's first call, if its policy has one. The core of vCPU 0 calls
/// it at each start.
pub fn start(cpu: &mut PerCpu) {
    let first = cpu.partition.policy.first;
    if first != 0 {
        begin(cpu, timer::ticks(first));
    }
}

/// Answers the call `WATCHDOG`.
pub fn set(cpu: &mut PerCpu, microseconds: u64) -> i64 {
    match microseconds {
        0 if cpu.partition.policy.first != 0 => return error::BAD_ARGUMENT,
        0 => cpu.state.watchdog.end.store(0, Relaxed),
        1..=LONGEST => begin(cpu, timer::ticks(microseconds).max(1)),
        _ => return error::BAD_ARGUMENT,
    }
    0
}

/// Answers the call of Linux's driver `arm,smc-wdt`.
pub fn command(frame: &mut Frame, cpu: &mut PerCpu) -> i64 {
    let argument = u64::from(frame.get(2) as u32);
    let frequency = timer::frequency();
    let period = cpu.state.watchdog.period.load(Relaxed);
    match frame.get(1) as u32 {
        watchdog::INIT => {
            frame.set(1, 1);
            frame.set(2, watchdog::LONGEST);
        }
        watchdog::SET_TIMEOUT if (1..=watchdog::LONGEST).contains(&argument) => {
            cpu.state.watchdog.period.store(argument * frequency, Relaxed);
        }
        watchdog::ENABLE if argument == 0 && set(cpu, 0) == 0 => {}
        watchdog::ENABLE if argument == 1 && period != 0 => begin(cpu, period),
        watchdog::PET if period != 0 && cpu.state.watchdog.end.load(Relaxed) != 0 => {
            begin(cpu, period);
        }
        watchdog::GET_TIMELEFT => {
            let end = cpu.state.watchdog.end.load(Relaxed);
            frame.set(1, end.saturating_sub(timer::now()) / frequency.max(1));
        }
        _ => return ret::INVALID_PARAMETERS,
    }
    ret::SUCCESS
}

/// Begins a time-out of `ticks`, which is the period from now on.
fn begin(cpu: &mut PerCpu, ticks: u64) {
    let end = timer::now() + ticks;
    cpu.state.watchdog.period.store(ticks, Relaxed);
    cpu.state.watchdog.end.store(end, Relaxed);
    cpu.deadlines.set(Deadline::Watchdog, end);
    cpu.deadlines.arm();
}

/// Handles this core's deadline at tick `now`: stops the partition if no core has set the watchdog
/// since. The caller arms the timer.
pub fn on_deadline(cpu: &mut PerCpu, now: u64) -> Next {
    let end = cpu.state.watchdog.end.load(Relaxed);
    if end != 0 && end <= now {
        return Next::Stop(Stop::Watchdog);
    }
    cpu.deadlines.set(Deadline::Watchdog, if end == 0 { timer::NEVER } else { end });
    Next::Resume
}
