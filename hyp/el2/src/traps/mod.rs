//! The handlers of entries to EL2, by reason. The vectors call functions here, in `irq.rs` and in
//! `fault.rs`.
//!
//! Code here does not wait, lock, allocate or panic: each action of a guest is answered in bounded
//! time. A handler that ends or suspends the guest returns a [`Next`] other than `Resume`, which
//! `irq::follow` carries out.

mod abort;
pub mod fault;
mod hypercall;
pub mod irq;
mod mmio;
mod run;
mod sysreg;

use aarch64_cpu::registers::{ESR_EL2, Readable};
use abi::Reason;
use trap::{Cause, ec};

use crate::arch::{el1_context, opaque_true};
use crate::drivers::IS_V3;
use crate::services::{console, vgic};
use crate::state::frame::{ALL_GPRS, CALLER_SAVED, Frame};
use crate::state::next::Next;
use crate::state::percpu::PerCpu;

/// `ESR_EL2` of SMC #0 from AArch64: the class, and IL for an instruction of 32 bits.
const SMC_0: u64 = (ec::SMC64 as u64) << 26 | 1 << 25;

/// Answers HVC #0 from AArch64 that the vectors have counted and did not answer themselves.
pub extern "C" fn hypercall(frame: &mut Frame, cpu: &mut PerCpu) {
    // Benchmarks of hypervisors use this call, so it is answered before the search through all
    // calls.
    let function = frame.get(0) as u32;
    if function == psci::fid::VERSION {
        return frame.set(0, psci::ret::VERSION_1_1 as u64);
    }
    if !hypercall::exists(function) {
        return frame.set(0, abi::error::NOT_SUPPORTED as u64);
    }
    other_hypercall(frame, cpu);
}

/// Answers all other calls. It is a separate function so that [`hypercall()`] saves no registers
/// for it.
#[inline(never)]
fn other_hypercall(frame: &mut Frame, cpu: &mut PerCpu) {
    let next = hypercall::call(frame, cpu);
    irq::follow(cpu, next);
}

/// Answers SMC #0 from AArch64 as [`hypercall()`] does HVC #0. Returns true.
#[inline(never)]
fn secure_call(frame: &mut Frame, cpu: &mut PerCpu) -> bool {
    cpu.count(Reason::Smc);
    // A trapped SMC is not stepped over by hardware, unlike HVC (DDI 0487, D1.3.4.2).
    el1_context::skip_instruction();
    hypercall(frame, cpu);
    opaque_true()
}

/// Answers the traps of a guest's usual work: SGIs, calls by SMC and emulated devices. Returns
/// false, with nothing done, for all others, and if the access names a register that is not in the
/// frame yet.
#[unsafe(link_section = ".text.hot")]
pub extern "C" fn trapped(frame: &mut Frame, cpu: &mut PerCpu, esr: u64) -> bool {
    // `send_sgi` does all others, from `synchronous`.
    if IS_V3
        && let Some(rt) = trap::sgi1r_source(esr)
        && CALLER_SAVED >> rt & 1 != 0
        && vgic::vcpu(cpu).fast_send_sgi(frame.get(rt))
    {
        cpu.count(Reason::Sysreg);
        el1_context::skip_instruction();
        return true;
    }
    match mmio::fast(frame, cpu, esr) {
        mmio::Fast::All => true,
        mmio::Fast::Settle(offset, waits) => mmio::settle(cpu, offset, waits),
        mmio::Fast::Send(byte) => console::send(cpu, byte),
        mmio::Fast::Nothing if esr == SMC_0 => secure_call(frame, cpu),
        mmio::Fast::Nothing => mmio::emulate(frame, cpu, esr, CALLER_SAVED),
    }
}

/// Answers any other synchronous exception from the guest, and SError while it ran.
pub extern "C" fn synchronous(frame: &mut Frame, cpu: &mut PerCpu) {
    let next = answer(frame, cpu, ESR_EL2.get());
    irq::follow(cpu, next);
}

fn answer(frame: &mut Frame, cpu: &mut PerCpu, esr: u64) -> Next {
    vgic::sample(cpu);
    match trap::class(esr) {
        ec::SMC64 => {
            if esr == SMC_0 {
                secure_call(frame, cpu);
                return Next::Resume;
            }
            cpu.count(Reason::Smc);
            el1_context::skip_instruction();
            frame.set(0, abi::error::NOT_SUPPORTED as u64);
            Next::Resume
        }
        // SMCCC uses only immediate 0; the others name interfaces of other hypervisors (DEN 0028,
        // 2.9).
        ec::HVC64 => {
            cpu.count(Reason::Hvc);
            frame.set(0, abi::error::NOT_SUPPORTED as u64);
            Next::Resume
        }
        ec::SYSREG => {
            cpu.count(Reason::Sysreg);
            sysreg::access(frame, cpu, trap::sysreg_access(esr))
        }
        ec::DATA_ABORT if mmio::emulate(frame, cpu, esr, ALL_GPRS) => Next::Resume,
        ec::DATA_ABORT | ec::INSTRUCTION_ABORT => abort::abort(cpu, esr),
        // These are features that the core has and that the ID registers hide from the guest
        // (TID3): undefined.
        ec::FP | ec::PAUTH | ec::LS64 | ec::SVE | ec::SME => {
            cpu.count(Reason::Sysreg);
            abort::undefined(cpu)
        }
        // This includes SError: without RAS the access that caused it is unknown, but this core
        // accesses only its own partition's memory and devices.
        _ => fault::halt(cpu, Cause::Fault),
    }
}

/// Halts the partition for an exception from AArch32: partitions are AArch64 at every level.
pub extern "C" fn aarch32(_: &mut Frame, cpu: &mut PerCpu) {
    let next = fault::halt(cpu, Cause::AArch32);
    irq::follow(cpu, next);
}
