//! Why EL2 was entered, and who answers. The vectors call functions here, in `irq.rs` and in
//! `fault.rs`.
//!
//! Nothing here waits, locks, allocates or panics: whatever the guest did, there is an answer of
//! bounded length. A handler that ends or suspends the guest returns a [`Next`] other than
//! `Resume`, which `irq::follow` carries out.

mod abort;
pub mod fault;
mod hypercall;
pub mod irq;
mod mmio;
mod run;
mod sysreg;

use aarch64_cpu::registers::{ESR_EL2, Readable};
use abi::Reason;
use trap::ec;

use crate::arch::el1_context;
use crate::drivers::IS_V3;
use crate::services::{console, vgic};
use crate::state::frame::{ALL_GPRS, CALLER_SAVED, Frame};
use crate::state::next::Next;
use crate::state::percpu::PerCpu;

/// HVC #0 from AArch64, counted, that the vectors did not answer themselves.
pub extern "C" fn hypercall(frame: &mut Frame, cpu: &mut PerCpu) {
    // What guests measure a hypervisor by first: not worth a walk through all calls.
    if frame.get(0) as u32 == psci::fid::VERSION {
        return frame.set(0, psci::ret::VERSION_1_1 as u64);
    }
    other_hypercall(frame, cpu);
}

/// Outside, so that the answer above saves no registers for it.
#[inline(never)]
fn other_hypercall(frame: &mut Frame, cpu: &mut PerCpu) {
    let next = hypercall::call(frame, cpu);
    irq::follow(cpu, next);
}

/// What a guest's everyday work traps for: SGIs and emulated devices. False, with nothing done, for
/// all else, and if the access names a register that the frame has not yet.
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
        mmio::Fast::Nothing => mmio::emulate(frame, cpu, esr, CALLER_SAVED),
    }
}

/// Any other synchronous exception from the guest, and SError while it ran.
pub extern "C" fn synchronous(frame: &mut Frame, cpu: &mut PerCpu) {
    let next = answer(frame, cpu, ESR_EL2.get());
    irq::follow(cpu, next);
}

fn answer(frame: &mut Frame, cpu: &mut PerCpu, esr: u64) -> Next {
    vgic::sample(cpu);
    match trap::class(esr) {
        ec::SMC64 => {
            cpu.count(Reason::Smc);
            // A trapped SMC is not stepped over by hardware, unlike HVC (DDI 0487, D1.3.4.2).
            el1_context::skip_instruction();
            if esr as u16 == 0 {
                return hypercall::call(frame, cpu);
            }
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
        // What the core has and the guest was told that it does not have (TID3): undefined.
        ec::FP | ec::PAUTH | ec::LS64 | ec::SVE | ec::SME => {
            cpu.count(Reason::Sysreg);
            abort::undefined(cpu)
        }
        // SError too: without RAS nobody can tell whose access it was, but this core accesses only
        // its own partition's memory and devices.
        _ => fault::halt(cpu, esr),
    }
}

/// An exception from AArch32: partitions are AArch64 at every level.
pub extern "C" fn aarch32(_: &mut Frame, cpu: &mut PerCpu) {
    let next = fault::stop(cpu, "AArch32 code, which no partition may run");
    irq::follow(cpu, next);
}
