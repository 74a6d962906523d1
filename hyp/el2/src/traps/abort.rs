//! Aborts and undefined instructions that EL2 makes a guest take: for addresses where nothing is,
//! and for instructions that it may not use.
//!
//! A guest that faults for ever only uses its own core's time. A guest that faults again at the
//! vector itself cannot handle the exception, so EL2 halts it with the first cause.

use aarch64_cpu::registers::*;
use abi::Reason;
use plan::{PARTITION_HALT_OUTSIDE, device};
use trap::{Answer, Cause};

use super::fault;
use crate::arch::el1_context;
use crate::state::next::{Fault, Next};
use crate::state::percpu::{InjectedAbort, PerCpu};

/// Answers the abort of an access that no emulated device answers, of a fetch, or of a walk of the
/// guest's own tables.
pub fn abort(cpu: &mut PerCpu, esr: u64) -> Next {
    let (far, hpfar) = (FAR_EL2.get(), HPFAR_EL2.get());
    let ipa = el1_context::fault_ipa();
    match trap::answer(esr) {
        Answer::Halt => return fault::halt(cpu, Cause::Fault),
        Answer::Maintained => {
            cpu.count(Reason::Abort);
            el1_context::skip_instruction();
            return Next::Resume;
        }
        Answer::Abort => {}
    }
    // The page of an emulated device exists for the guest, though the device does not answer pairs,
    // exclusives, fetches and walks.
    let emulated = trap::ipa_known(esr) && device::find(cpu.devices, ipa).is_some();
    if cpu.partition.flags & PARTITION_HALT_OUTSIDE != 0 && !emulated {
        return fault::halt(cpu, Cause::Fault);
    }
    let elr = ELR_EL2.get();
    if let Some(InjectedAbort { vector, cause }) = cpu.injected
        && elr == vector
        && ELR_EL1.get() == cause[1]
    {
        return stuck(cpu, Cause::FaultAtVector, cause);
    }
    let vector = match vector(cpu) {
        Ok(vector) => vector,
        Err(next) => return next,
    };
    let cause = [esr, elr, far, hpfar];
    cpu.injected = Some(InjectedAbort { vector, cause });
    cpu.count(Reason::Abort);
    let level = trap::walk_level(far, ipa.0, [TTBR0_EL1.get(), TTBR1_EL1.get()], TCR_EL1.get());
    FAR_EL1.set(far);
    el1_context::inject(vector, trap::syndrome(esr, el1_context::is_el0(), level));
    Next::Resume
}

/// Makes the guest take an Undefined Instruction exception at the instruction that trapped (DDI
/// 0487, D1.3.2).
pub fn undefined(cpu: &mut PerCpu) -> Next {
    const EC_UNKNOWN_IL: u64 = 1 << 25;
    match vector(cpu) {
        Ok(vector) => {
            el1_context::inject(vector, EC_UNKNOWN_IL);
            Next::Resume
        }
        Err(next) => next,
    }
}

/// Returns the vector of an exception that the guest takes now.
///
/// # Errors
/// The guest is at the vector already: it halts, with EL1's syndrome registers of the exception
/// that brought it there.
fn vector(cpu: &mut PerCpu) -> Result<u64, Next> {
    let vector = el1_context::vector();
    if ELR_EL2.get() == vector {
        let told = [ESR_EL1.get(), ELR_EL1.get(), FAR_EL1.get(), HPFAR_EL2.get()];
        return Err(stuck(cpu, Cause::ExceptionAtVector, told));
    }
    Ok(vector)
}

#[cold]
#[inline(never)]
fn stuck(cpu: &mut PerCpu, cause: Cause, registers: [u64; 4]) -> Next {
    cpu.count(Reason::Other);
    fault::stop_for(cpu, Fault { cause, registers })
}
