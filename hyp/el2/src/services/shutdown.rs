//! The end of the system, after every partition has stopped.

use core::sync::atomic::Ordering::{AcqRel, Acquire};

use ::console::LineBuffer;
use abi::state;

use super::{console, record};
use crate::arch::cache;
use crate::boot::end;
use crate::state::percpu::PerCpu;

/// Returns whether the system has ended and this core is the console core, which has to shut it
/// down.
pub fn is_due(cpu: &PerCpu) -> bool {
    cpu.console.uart.is_some() && cpu.shared.global.alive.load(Acquire) == 0
}

/// Counts this core's partition as stopped for good. The last one ends the system.
pub fn leave(cpu: &PerCpu) {
    if cpu.shared.global.alive.fetch_sub(1, AcqRel) == 1 {
        console::wake_console_core(cpu);
    }
}

/// Prints what waits and the system's last line, and ends the machine as the plan says. All
/// partitions have stopped, so no guest waits.
pub fn shut_down(cpu: &mut PerCpu) -> ! {
    console::flush(cpu);
    while record::tell(cpu, true) {
        console::flush(cpu);
    }
    console::print_line(cpu, &last_line(cpu));
    console::flush(cpu);
    let header = cpu.plan.header;
    end::end_machine(header.at_end, &cpu.plan, &header.machine.writes);
    loop {
        cache::wait_for_interrupt();
    }
}

/// Returns the system's last line: the nonce, and how each partition ended.
fn last_line(cpu: &PerCpu) -> LineBuffer {
    let mut line = LineBuffer::default();
    line.str("end ").hex16(cpu.shared.global.nonce.load(Acquire));
    for (index, partition) in cpu.plan.partitions().iter().enumerate() {
        let word = state::NAMES.get(cpu.shared.state(index) as usize).copied().unwrap_or("?");
        line.str(" ").name(&partition.name).str("=").str(word);
    }
    line
}
