// SPDX-License-Identifier: MIT OR Apache-2.0
//! The board's own watchdog, which resets the machine if EL2 itself hangs. It runs only if the boot
//! command line says `bulkhead.watchdog=1`, and the console core pets it.

use core::sync::atomic::Ordering::Relaxed;

use plan::writes;

use crate::arch::timer;
use crate::boot::WATCHDOG;
use crate::state::deadlines::Deadline;
use crate::state::percpu::PerCpu;
use crate::state::plan_view::PlanView;

/// Sets the first deadline, on the console core.
pub fn start(cpu: &mut PerCpu) {
    if WATCHDOG.load(Relaxed) && cpu.console.uart.is_some() {
        on_deadline(cpu, timer::now());
        cpu.deadlines.arm();
    }
}

/// Pets the watchdog at tick `now`, and sets the next deadline. The caller arms the timer.
pub fn on_deadline(cpu: &mut PerCpu, now: u64) {
    pet(&cpu.plan);
    let period = timer::ticks(cpu.plan.header.machine.watchdog_period);
    cpu.deadlines.set(Deadline::BoardWatchdog, now + period);
}

/// Pets the watchdog, if it runs. The console core calls it, which maps the registers.
pub fn pet(plan: &PlanView) {
    if WATCHDOG.load(Relaxed) {
        plan.write(plan.header.machine.writes[writes::WATCHDOG]);
    }
}
