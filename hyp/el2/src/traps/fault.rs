//! Faults that halt a partition: its own ones that EL2 cannot answer, and those of EL2 on its core.

use aarch64_cpu::registers::{ELR_EL2, ESR_EL2, FAR_EL2, HPFAR_EL2, Readable, TPIDR_EL2};
use abi::Reason;

use super::irq;
use crate::arch::unreachable_state;
use crate::boot;
use crate::state::next::{Fault, Next, Stop};
use crate::state::percpu::PerCpu;

/// Halts the partition for the cause that `esr` gives.
#[cold]
pub fn halt(cpu: &mut PerCpu, esr: u64) -> Next {
    stop(cpu, trap::cause(esr))
}

/// Halts the partition for `cause`, with the registers of the exception that EL2 was entered for.
pub fn stop(cpu: &mut PerCpu, cause: &'static str) -> Next {
    cpu.count(Reason::Other);
    stop_for(cpu, Fault { cause, detail: "", registers: fault_registers() })
}

/// Stops the partition for a fault.
pub fn stop_for(cpu: &mut PerCpu, fault: Fault) -> Next {
    cpu.fault = fault;
    Next::Stop(Stop::Fault)
}

fn fault_registers() -> [u64; 4] {
    [ESR_EL2.get(), ELR_EL2.get(), FAR_EL2.get(), HPFAR_EL2.get()]
}

/// Handles an exception of EL2 itself, which is a defect of Bulkhead. The core prints a line and
/// its partition is halted; the others continue. `cpu` is null before the core has its state: then
/// boot refuses the machine.
pub extern "C" fn fault(cpu: *mut PerCpu) -> ! {
    // SAFETY: TPIDR_EL2 is this core's state once it has one, and the code that held the borrow
    // does not continue.
    match unsafe { cpu.as_mut() } {
        Some(cpu) => give_up(cpu, "fault in EL2", fault_registers()),
        None => boot::fault::fault(fault_registers()),
    }
}

fn give_up(cpu: &mut PerCpu, cause: &'static str, registers: [u64; 4]) -> ! {
    cpu.fault = Fault { cause, detail: "", registers };
    irq::follow(cpu, Next::Stop(Stop::Defect));
    unreachable_state()
}

#[panic_handler]
fn panic(_: &::core::panic::PanicInfo) -> ! {
    // SAFETY: TPIDR_EL2 is this core's state once it has one, and the code that held the borrow
    // does not continue.
    match unsafe { (TPIDR_EL2.get() as *mut PerCpu).as_mut() } {
        Some(cpu) => give_up(cpu, "panic in EL2", [0; 4]),
        None => unreachable_state(),
    }
}
