//! Calls of a guest, by HVC or SMC (`hyp/abi`; SMCCC is DEN 0028, PSCI DEN 0022). Arguments are claims until checked.

use core::sync::atomic::Ordering::Relaxed;

use abi::{call, error, query, smccc, status};
use plan::Memory;
use psci::Action;

use crate::bell;
use crate::cpu::core::{Bell, Core};
use crate::power;
use crate::vectors::Frame;

/// Bits of a function number that name one of Bulkhead's calls once the rest is [`call::VERSION`]'s.
const OURS: u32 = 0xff;

/// Answers the call in `frame`.
#[inline(never)]
pub fn call(frame: &mut Frame, core: &mut Core) {
    let function = frame.get(0) as u32;
    if function != call::RING {
        core.sample();
    }
    let result = if function & !OURS == call::VERSION {
        bulkhead(frame, core, function)
    } else {
        standard(frame, core, function)
    };
    frame.set(0, result as u64);
}

fn bulkhead(frame: &mut Frame, core: &mut Core, function: u32) -> i64 {
    let (x1, x2) = (frame.get(1), frame.get(2));
    match function {
        call::VERSION => (i64::from(abi::REVISION_MAJOR) << 16) | i64::from(abi::REVISION_MINOR),
        call::RING => bell::ring(core, x1),
        call::MASK => bell::mask(core, x1, x2),
        call::QUERY => match x1 {
            query::VCPU => core.row.vcpu.into(),
            query::VCPUS => core.partition.vcpus.count.into(),
            query::CLASS => core.row.class.into(),
            query::ENDS => core.bell_count as i64,
            query::PARTITION => core.row.partition.into(),
            _ => error::BAD_ARGUMENT,
        },
        call::CHANNEL => {
            let Some(end) = end(core, x1) else {
                return error::BAD_HANDLE;
            };
            frame.set(1, end.tx_ipa);
            frame.set(2, end.tx_size);
            frame.set(3, end.rx_ipa);
            0
        }
        call::STATUS => {
            let pending = core.mine.line.is_pending(x1 as u32);
            let Some(Bell { end, .. }) = core.bell(x1) else {
                return error::BAD_HANDLE;
            };
            match x2 {
                status::PENDING => pending.into(),
                status::SENT => end.sent as i64,
                status::COALESCED => end.coalesced as i64,
                status::DEFERRED => end.deferred as i64,
                status::RECEIVED => end.received as i64,
                _ => error::BAD_ARGUMENT,
            }
        }
        call::PEER => match end(core, x1) {
            Some(end) => core.shared.state(end.peer_partition as usize).into(),
            None => error::BAD_HANDLE,
        },
        call::ENTRIES => power::vcpu_core(core, x1 as usize)
            .and_then(|index| core.shared.core(index)?.entries.get(x2 as usize))
            .map_or(error::BAD_ARGUMENT, |entries| entries.load(Relaxed) as i64),
        call::FAIL => power::fail(core, x1),
        call::WORK => crate::cpu::regs::work().map_or(error::NOT_SUPPORTED, i64::from),
        _ => error::NOT_SUPPORTED,
    }
}

fn end(core: &Core, handle: u64) -> Option<&'static plan::End> {
    core.plan.slice(core.row.ends).get(handle as usize)
}

/// Everything that is not Bulkhead's own: PSCI and the few calls of SMCCC that every hypervisor answers.
fn standard(frame: &mut Frame, core: &mut Core, function: u32) -> i64 {
    match function {
        smccc::VERSION => return smccc::VERSION_1_2,
        // None of the workarounds that a guest may ask for is EL2's to give.
        smccc::ARCH_FEATURES
            if matches!(frame.get(1) as u32, smccc::VERSION | smccc::ARCH_FEATURES) =>
        {
            return 0;
        }
        smccc::VENDOR_UID => {
            let [w0, w1, w2, w3] = abi::UID;
            frame.set(1, w1.into());
            frame.set(2, w2.into());
            frame.set(3, w3.into());
            return w0.into();
        }
        smccc::VENDOR_REVISION => {
            frame.set(1, abi::REVISION_MINOR.into());
            return abi::REVISION_MAJOR.into();
        }
        _ => {}
    }
    let arguments = [frame.get(1), frame.get(2), frame.get(3)];
    let memory = core.plan.slice::<Memory>(core.partition.memory);
    let in_memory = |ipa: u64| {
        memory
            .iter()
            .any(|piece| ipa >= piece.ipa && ipa - piece.ipa < piece.size)
    };
    let (me, vcpus) = (core.row.vcpu as usize, core.vcpus.len());
    let states = &core.state.power;
    match states.call(function, arguments, me, vcpus, in_memory) {
        Action::Return(result) => result,
        Action::Wake { vcpu } => power::wake(core, vcpu),
        Action::Off => power::vcpu_off(core),
        Action::Suspend { resume } => power::suspend(core, resume),
        Action::SystemOff => power::partition_off(core, abi::state::OFF),
        Action::SystemReset => power::partition_off(core, abi::state::RESET),
    }
}
