//! Faults that halt a partition: its own ones that EL2 cannot answer, and those of EL2 on its core.

use aarch64_cpu::registers::{ELR_EL2, ESR_EL2, FAR_EL2, HPFAR_EL2, Readable, SPSR_EL2, TPIDR_EL2};
use abi::Reason;
use trap::Cause;

use super::irq;
use crate::arch::unreachable_state;
use crate::boot;
use crate::state::frame::Frame;
use crate::state::next::{Fault, Next, Stop};
use crate::state::percpu::PerCpu;

/// Halts the partition for `cause`, with the registers of the exception that EL2 was entered for.
#[cold]
pub fn halt(cpu: &mut PerCpu, cause: Cause) -> Next {
    cpu.count(Reason::Other);
    stop_for(cpu, Fault { cause, registers: fault_registers() })
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
/// boot refuses the machine. `frame` has EL2's registers, and its stack pointer as x0.
pub extern "C" fn fault(cpu: *mut PerCpu, frame: *const Frame) -> ! {
    // SAFETY: TPIDR_EL2 is this core's state once it has one, and the code that held the borrow
    // does not continue. The vector then made the frame on the core's stack.
    let Some((cpu, frame)) = (unsafe { cpu.as_mut().map(|cpu| (cpu, &*frame)) }) else {
        boot::fault::fault(fault_registers())
    };
    cpu.fault = Fault { cause: Cause::El2Fault, registers: fault_registers() };
    cpu.left = [ELR_EL2.get(), SPSR_EL2.get()];
    irq::stop(cpu, Stop::Defect, Some(frame))
}

#[panic_handler]
fn panic(_: &::core::panic::PanicInfo) -> ! {
    // SAFETY: TPIDR_EL2 is this core's state once it has one, and the code that held the borrow
    // does not continue.
    match unsafe { (TPIDR_EL2.get() as *mut PerCpu).as_mut() } {
        Some(cpu) => {
            cpu.fault = Fault { cause: Cause::El2Panic, registers: [0; 4] };
            irq::stop(cpu, Stop::Defect, None)
        }
        None => unreachable_state(),
    }
}
