//! Attacks by call: foreign handles, foreign cores, every function number.

use alloc::string::String;

use abi::{call, error, query, smccc, watchdog};
use rt::hv::smc;
use rt::{Tree, hv, interrupt, psci, timer};

use crate::format;
use crate::probe::{EC_UNDEFINED, Outcome, execute};

type Conduit = fn(u64, [u64; 3]) -> [u64; 4];

pub fn ring_foreign(_: &Tree) -> String {
    let own = hv::query(query::ENDS).unwrap_or_default();
    let edges = [0xff, 0x1_0000, 1 << 31, 1 << 32, 1 << 63, u64::MAX].into_iter();
    let mut refused = 0;
    // A handle is 64 bits wide: one that equals an own one only in its low half is foreign.
    for handle in (own..=200).chain(edges).chain((0..own).map(|handle| handle | 1 << 32)) {
        for function in [call::CHANNEL, call::RING, call::MASK, call::STATUS, call::PEER] {
            let x0 = hv::hvc(function.into(), [handle, 0, 0])[0] as i64;
            if x0 != error::BAD_HANDLE {
                rt::fail!("call {function:#x} with handle {handle:#x} answered {x0}");
            }
            refused += 1;
        }
    }
    for vcpu in (1..200).chain([u64::MAX]).map(|n| n + crate::vcpus() - 1) {
        if hv::entries(vcpu, 0).is_ok() {
            rt::fail!("EL2 reported the entries of foreign vCPU {vcpu}");
        }
        refused += 1;
    }
    format!("{refused} calls refused")
}

pub fn cpu_on_foreign(_: &Tree) -> String {
    const INVALID_PARAMETERS: i32 = -2;
    let low = crate::vcpus()..256;
    let odd = [0x100, 0x1_0000, 1 << 24, 1 << 30, 1 << 31, 1 << 32, 1 << 40, u64::MAX];
    let mut refused = 0;
    for target in low.chain(odd) {
        for entry in [0, 0x4008_0000, 0x7000_0000, u64::MAX] {
            for conduit in [hv::hvc as Conduit, smc] {
                for function in [psci::CPU_ON, psci::CPU_ON & !(1 << 30)] {
                    // The 32-bit form uses only the low half, which may be this vCPU's own number.
                    let own = (target as u32 as u64) < crate::vcpus();
                    if function & 1 << 30 == 0 && own {
                        continue;
                    }
                    let x0 = conduit(function.into(), [target, entry, 0])[0] as i32;
                    if x0 != INVALID_PARAMETERS {
                        rt::fail!("CPU_ON of {target:#x} at {entry:#x} answered {x0}");
                    }
                    refused += 1;
                }
            }
        }
    }
    format!("{refused} calls refused")
}

/// Calls that stop the caller, or put it to sleep.
const STOPPERS: [u32; 9] = [
    psci::CPU_SUSPEND,
    psci::CPU_SUSPEND & !(1 << 30),
    psci::CPU_OFF,
    psci::SYSTEM_OFF,
    psci::SYSTEM_RESET,
    psci::SYSTEM_RESET2,
    psci::SYSTEM_RESET2 | 1 << 30,
    call::FAIL,
    call::RING,
];

/// Whether the answer may be something other than NOT_SUPPORTED.
fn specified(function: u32) -> bool {
    // PSCI has 0x00 to 0x1f of the standard service (DEN 0028, section 7).
    let psci = function & !(1 << 30) & !0x1f == 0x8400_0000;
    let others = [smccc::VERSION, smccc::ARCH_FEATURES, smccc::VENDOR_UID, smccc::VENDOR_REVISION];
    psci || others.contains(&function) || (call::VERSION..=call::WATCHDOG).contains(&function)
}

/// All function numbers: 64 owners, fast and yielding, 32 and 64 bit, 1024 functions and the edges.
fn every(conduit: Conduit) -> String {
    let edges =
        [0x7fff, 0x8000, 0xfeff, 0xff00, 0xff01, 0xff02, 0xff03, 0xffff, 0x1_0000, 0xff_0000];
    // The features that exist are reported (DEN 0028, 7.3), and a workaround that is not offered is
    // not.
    const ARCH_WORKAROUND_1: u32 = 0x8000_8000;
    for (asked, must) in
        [(smccc::VERSION, 0), (smccc::ARCH_FEATURES, 0), (ARCH_WORKAROUND_1, smccc::NOT_SUPPORTED)]
    {
        let x0 = conduit(smccc::ARCH_FEATURES.into(), [asked.into(), 0, 0])[0];
        if x0 as u32 as i32 as i64 != must {
            rt::fail!("SMCCC_ARCH_FEATURES of {asked:#x} answered {x0:#x}");
        }
    }
    let (mut unknown, mut known) = (0, 0);
    for top in 0..256_u32 {
        for low in (0..0x400).chain(edges) {
            // `top`: bit 31 fast, bit 30 64-bit, then the owner.
            let function = top << 24 | low;
            if STOPPERS.contains(&function) {
                continue;
            }
            // Bits 63:32 do not belong to the function number (DEN 0028, 2.3).
            let x0 = conduit(0xdead_beef_0000_0000 | function as u64, [0; 3])[0];
            if specified(function) {
                known += 1;
            } else if x0 as u32 as i32 as i64 == smccc::NOT_SUPPORTED {
                unknown += 1;
            } else {
                rt::fail!("call {function:#x} answered {x0:#x}");
            }
        }
    }
    format!("{unknown} calls not supported, {known} specified")
}

pub fn hvc_all(_: &Tree) -> String {
    every(hv::hvc)
}

pub fn smc_all(_: &Tree) -> String {
    every(smc)
}

/// Sets the watchdog in every wrong and right way, and survives it.
pub fn set_watchdog(_: &Tree) -> String {
    const DAY: u64 = 24 * 60 * 60 * 1_000_000;
    const REFUSED: i64 = -2;
    let mut answers = 0;
    let mut must = |what: &str, x0: u64, wanted: i64| {
        if x0 as i64 != wanted {
            rt::fail!("{what} answered {x0:#x}");
        }
        answers += 1;
    };
    let bulkhead = |time| hv::hvc(call::WATCHDOG.into(), [time, 0, 0])[0];
    for time in [DAY + 1, u64::MAX, 1 << 63, 1 << 32 << 16] {
        must("WATCHDOG", bulkhead(time), error::BAD_ARGUMENT);
    }
    must("WATCHDOG", bulkhead(0), 0);
    let linux = |command: u32, argument| smc(smccc::WATCHDOG.into(), [command.into(), argument, 0]);
    let [x0, shortest, longest, _] = linux(watchdog::INIT, 0);
    must("INIT", x0, 0);
    if (shortest, longest) != (1, DAY / 1_000_000) {
        rt::fail!("time-outs of {shortest} to {longest} s");
    }
    must("PET before a time-out", linux(watchdog::PET, 0)[0], REFUSED);
    must("ENABLE before a time-out", linux(watchdog::ENABLE, 1)[0], REFUSED);
    for seconds in [0, longest + 1, u32::MAX.into()] {
        must("SET_TIMEOUT", linux(watchdog::SET_TIMEOUT, seconds)[0], REFUSED);
    }
    must("SET_TIMEOUT", linux(watchdog::SET_TIMEOUT, 2)[0], 0);
    must("ENABLE of 2", linux(watchdog::ENABLE, 2)[0], REFUSED);
    must("ENABLE", linux(watchdog::ENABLE, 1)[0], 0);
    let [x0, left, ..] = linux(watchdog::GET_TIMELEFT, 0);
    must("GET_TIMELEFT", x0, 0);
    if left > 2 {
        rt::fail!("{left} s left of 2");
    }
    must("command 5", linux(5, 0)[0], REFUSED);
    must("PET", linux(watchdog::PET, 0)[0], 0);
    // Longer in all than the time-out.
    for _ in 0..25 {
        must("WATCHDOG", bulkhead(2_000_000), 0);
        interrupt::wait_until(timer::now() + timer::milliseconds(100));
    }
    must("ENABLE of 0", linux(watchdog::ENABLE, 0)[0], 0);
    must("PET while it is off", linux(watchdog::PET, 0)[0], REFUSED);
    must("WATCHDOG", bulkhead(1_000_000), 0);
    must("WATCHDOG", bulkhead(0), 0);
    interrupt::wait_until(timer::now() + timer::milliseconds(1_100));
    format!("{answers} answers")
}

/// Keeps a watchdog that the manifest starts from being missed, for a minute, without a time-out of
/// its own.
pub fn pet(_: &Tree) -> String {
    const TIMES: u64 = 600;
    for time in 0..TIMES {
        let [x0, ..] = smc(smccc::WATCHDOG.into(), [watchdog::PET.into(), 0, 0]);
        if x0 != 0 {
            rt::fail!("PET {time} answered {x0:#x}");
        }
        interrupt::wait_until(timer::now() + timer::milliseconds(100));
    }
    format!("{TIMES} times")
}

/// Executes HVC or SMC with an immediate, which is not a call.
fn immediates(instruction: u32) -> String {
    let (mut refused, mut undefined) = (0, 0);
    for immediate in [1, 2, 3, 0x4a48, 0x7fff, 0x8000, 0xffff] {
        match execute(instruction | immediate << 5, [psci::SYSTEM_OFF.into(), 0, 0, 0]) {
            Outcome::Done([x0, ..]) if x0 as i64 == smccc::NOT_SUPPORTED => refused += 1,
            outcome if outcome.class() == Some(EC_UNDEFINED) => undefined += 1,
            other => rt::fail!("immediate {immediate:#x}: {other:x?}"),
        }
    }
    format!("{refused} not supported, {undefined} undefined")
}

pub fn hvc_imm(_: &Tree) -> String {
    immediates(0xd400_0002)
}

pub fn smc_imm(_: &Tree) -> String {
    immediates(0xd400_0003)
}

pub fn smc_off(_: &Tree) -> String {
    smc(psci::SYSTEM_OFF.into(), [0; 3]);
    "SYSTEM_OFF returned".into()
}

pub fn reset(_: &Tree) -> String {
    hv::hvc(psci::SYSTEM_RESET.into(), [0; 3]);
    "SYSTEM_RESET returned".into()
}

pub fn cpu_off(_: &Tree) -> String {
    psci::cpu_off()
}

pub fn cpu_suspend(_: &Tree) -> String {
    const COUNT: u64 = 50;
    // Standby returns when the timer's interrupt is pending, at each point of the sequence at which
    // it can come.
    for delay in 0..COUNT {
        timer::arm(timer::now() + delay * timer::milliseconds(1) / 10);
        let x0 = psci::suspend();
        if x0 != 0 {
            rt::fail!("CPU_SUSPEND answered {x0}");
        }
        rt::interrupt::wait();
    }
    for state in [1 << 24, 1 << 31, u64::from(u32::MAX), 1 << 16] {
        let x0 = hv::hvc(psci::CPU_SUSPEND.into(), [state, 1, 0])[0] as i32;
        if x0 >= 0 {
            rt::fail!("CPU_SUSPEND({state:#x}) to address 1 answered {x0}");
        }
    }
    format!("woke {COUNT} times")
}

pub fn fail(_: &Tree) -> String {
    hv::fail(0xbad)
}
