//! Calls of a guest, by HVC or SMC (`hyp/abi`; SMCCC is DEN 0028, PSCI DEN 0022). Arguments are
//! untrusted until checked.

use core::sync::atomic::Ordering::Relaxed;

use abi::{call, error, query, smccc, status};
use plan::address::translate;
use plan::{Ipa, Memory};
use psci::{Action, ret};

use crate::arch::registers;
use crate::services::{doorbell, ipi, lifecycle, record, supervision, vgic, watchdog};
use crate::state::frame::Frame;
use crate::state::next::{Next, Stop, Until};
use crate::state::percpu::PerCpu;

/// Bits of a function number that choose one of Bulkhead's calls; the other bits are those of
/// [`call::VERSION`].
const OURS: u32 = 0xff;

/// Returns whether EL2 may have the call `function`: false for most of those that it does not have,
/// which get their answer at once.
#[inline(always)]
pub fn exists(function: u32) -> bool {
    /// Bits 31:24 without that of the SMC64 form: a fast call, and its owner (DEN 0028, 2.5).
    const STANDARD: u32 = psci::fid::VERSION >> 24;
    const VENDOR: u32 = smccc::VENDOR_UID >> 24;
    match function >> 24 & !(psci::fid::SMC64 >> 24) {
        STANDARD => psci::function(function).is_some(),
        VENDOR => true,
        _ => matches!(function, smccc::VERSION | smccc::ARCH_FEATURES | smccc::WATCHDOG),
    }
}

/// Answers the call in `frame`.
pub fn call(frame: &mut Frame, cpu: &mut PerCpu) -> Next {
    let function = frame.get(0) as u32;
    if function != call::RING {
        vgic::sample(cpu);
    }
    let result = if function == call::FAIL {
        cpu.fail_code = frame.get(1);
        return Next::Stop(Stop::Failed);
    } else if function & !OURS == call::VERSION {
        bulkhead(frame, cpu, function)
    } else if function == abi::smccc::WATCHDOG {
        watchdog::command(frame, cpu)
    } else if let Some(result) = smccc(frame, function) {
        result
    } else {
        return psci(frame, cpu, function);
    };
    frame.set(0, result as u64);
    Next::Resume
}

fn bulkhead(frame: &mut Frame, cpu: &mut PerCpu, function: u32) -> i64 {
    let (x1, x2) = (frame.get(1), frame.get(2));
    match function {
        call::VERSION => (i64::from(abi::REVISION_MAJOR) << 16) | i64::from(abi::REVISION_MINOR),
        call::RING => doorbell::ring(cpu, x1),
        call::MASK => doorbell::mask(cpu, x1, x2),
        call::QUERY => match x1 {
            query::VCPU => cpu.row.vcpu.into(),
            query::VCPUS => cpu.partition.vcpus.count.into(),
            query::CLASS => cpu.row.class.into(),
            query::ENDS => cpu.doorbell.count as i64,
            query::PARTITION => cpu.row.partition.into(),
            _ => error::BAD_ARGUMENT,
        },
        call::CHANNEL => {
            let Some(end) = end(cpu, x1) else {
                return error::BAD_HANDLE;
            };
            frame.set(1, end.tx_ipa);
            frame.set(2, end.tx_size);
            frame.set(3, end.rx_ipa);
            0
        }
        call::STATUS => {
            let pending = cpu.mine.word.is_pending(x1 as u32);
            let Some(counters) = cpu.doorbell.end(x1).and_then(|end| end.counters) else {
                return error::BAD_HANDLE;
            };
            let counter = match x2 {
                status::PENDING => return pending.into(),
                status::SENT => &counters.sent,
                status::COALESCED => &counters.coalesced,
                status::DEFERRED => &counters.deferred,
                status::RECEIVED => &counters.received,
                _ => return error::BAD_ARGUMENT,
            };
            counter.get() as i64
        }
        call::PEER => match end(cpu, x1) {
            Some(end) => {
                let peer = end.peer_partition as usize;
                // The state first: a peer that is seen to run has counted this start.
                let state = cpu.shared.state(peer);
                frame.set(1, cpu.shared.generation(peer));
                frame.set(2, cpu.shared.generation(cpu.row.partition as usize));
                state.into()
            }
            None => error::BAD_HANDLE,
        },
        call::ENTRIES => ipi::vcpu_core(cpu, x1 as usize)
            .and_then(|index| cpu.shared.core(index)?.entries.get(x2 as usize))
            .map_or(error::BAD_ARGUMENT, |entries| entries.load(Relaxed) as i64),
        call::WATCHDOG => watchdog::set(cpu, x1),
        call::CRASH_RECORD if cpu.partition.supervisor != 0 => record::call(frame, cpu),
        call::PARTITION..=call::SUPERVISE if cpu.partition.supervisor != 0 => {
            supervision::call(frame, cpu, function)
        }
        call::EL2_INSTRUCTIONS => {
            registers::el2_instructions().map_or(error::NOT_SUPPORTED, i64::from)
        }
        _ => error::NOT_SUPPORTED,
    }
}

fn end(cpu: &PerCpu, handle: u64) -> Option<&'static plan::End> {
    cpu.plan.slice(cpu.row.ends).get(handle as usize)
}

/// Answers the few calls of SMCCC that every hypervisor answers. Returns `None` for all others.
fn smccc(frame: &mut Frame, function: u32) -> Option<i64> {
    Some(match function {
        smccc::VERSION => smccc::VERSION_1_2,
        // EL2 provides none of the workarounds that a guest may ask for.
        smccc::ARCH_FEATURES
            if matches!(frame.get(1) as u32, smccc::VERSION | smccc::ARCH_FEATURES) =>
        {
            0
        }
        smccc::VENDOR_UID => {
            let [w0, w1, w2, w3] = abi::UID;
            frame.set(1, w1.into());
            frame.set(2, w2.into());
            frame.set(3, w3.into());
            w0.into()
        }
        smccc::VENDOR_REVISION => {
            frame.set(1, abi::REVISION_MINOR.into());
            abi::REVISION_MAJOR.into()
        }
        _ => return None,
    })
}

/// Answers PSCI calls and all unknown ones.
fn psci(frame: &mut Frame, cpu: &mut PerCpu, function: u32) -> Next {
    let arguments = [frame.get(1), frame.get(2), frame.get(3)];
    let memory = cpu.plan.slice::<Memory>(cpu.partition.memory);
    let in_memory = |ipa| translate(memory, Ipa(ipa)).is_some();
    let (me, vcpus) = (cpu.row.vcpu as usize, cpu.vcpus.len());
    let mut result = ret::SUCCESS;
    let mut next = Next::Resume;
    match cpu.state.power.call(function, arguments, me, vcpus, in_memory) {
        Action::Return(value) => result = value,
        Action::Wake { vcpu } => lifecycle::wake(cpu, vcpu),
        Action::Off => next = lifecycle::vcpu_off(cpu),
        Action::Suspend { resume: None } => next = Next::Idle(Until::Pending),
        Action::Suspend { resume: Some(start) } => {
            cpu.start = start;
            next = Next::Idle(Until::Woken);
        }
        Action::SystemOff => next = Next::Stop(Stop::Off),
        Action::SystemReset => next = Next::Stop(Stop::Reset),
    }
    frame.set(0, result as u64);
    next
}
