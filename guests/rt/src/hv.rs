//! Calls to Bulkhead: `abi::call`, one function each. docs/guest-abi.md describes them.

use core::arch::asm;

use abi::{Reason, call, query};

/// The answer to a call: a value, or one of `abi::error`.
pub type Answer = Result<u64, i64>;

macro_rules! conduit {
    ($(#[$doc:meta])* $name:ident, $instruction:literal) => {
        $(#[$doc])*
        pub fn $name(function: u64, arguments: [u64; 3]) -> [u64; 4] {
            let [mut x0, mut x1, mut x2, mut x3] =
                [function, arguments[0], arguments[1], arguments[2]];
            // SAFETY: DEN 0028: a call changes x0 to x3 at most, and EL2 writes no memory of the
            // guest. It is a compiler barrier (no `nomem`): a doorbell must not overtake the
            // message it announces.
            unsafe {
                asm!(
                    $instruction,
                    inout("x0") x0,
                    inout("x1") x1,
                    inout("x2") x2,
                    inout("x3") x3,
                    options(nostack),
                );
            }
            [x0, x1, x2, x3]
        }
    };
}

conduit! {
    /// Makes any call of the SMC Calling Convention by HVC; returns X0 to X3 after it.
    hvc, "hvc #0"
}

conduit! {
    /// Does by SMC what [`hvc`] does by HVC.
    smc, "smc #0"
}

fn answer(function: u32, a: u64, b: u64) -> Answer {
    let x0 = hvc(function.into(), [a, b, 0])[0];
    if (x0 as i64) < 0 { Err(x0 as i64) } else { Ok(x0) }
}

/// Returns the ABI revision: major in bits 31:16, minor in 15:0. An error if the hypervisor is not
/// Bulkhead.
pub fn version() -> Answer {
    answer(call::VERSION, 0, 0)
}

/// Returns one fact about the caller: an item of `abi::query`.
pub fn query(item: u64) -> Answer {
    answer(call::QUERY, item, 0)
}

/// Returns the number of the calling vCPU.
pub fn vcpu() -> Answer {
    query(query::VCPU)
}

/// Sends a doorbell to the peer; returns one of `abi::ring`.
pub fn ring(handle: u64) -> Answer {
    answer(call::RING, handle, 0)
}

/// Holds doorbells of this end back, or lets them through again.
pub fn mask(handle: u64, on: bool) -> Answer {
    answer(call::MASK, handle, on.into())
}

/// Returns a counter of a channel end: an item of `abi::status`.
pub fn status(handle: u64, item: u64) -> Answer {
    answer(call::STATUS, handle, item)
}

/// The answer of [`peer`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    /// State of the peer's partition: one of `abi::state`.
    pub state: u32,
    /// Its generation.
    pub generation: u16,
    /// The generation of the caller's partition.
    pub own_generation: u16,
}

/// Returns the state of the peer's partition, and both generations.
pub fn peer(handle: u64) -> Result<Peer, i64> {
    let [x0, x1, x2, _] = hvc(call::PEER.into(), [handle, 0, 0]);
    let peer = Peer { state: x0 as u32, generation: x1 as u16, own_generation: x2 as u16 };
    if (x0 as i64) < 0 { Err(x0 as i64) } else { Ok(peer) }
}

/// Returns how often EL2 was entered on the core of this partition's `vcpu` for `reason` (0 to
/// [`Reason::COUNT`]` - 1`).
pub fn entries(vcpu: u64, reason: usize) -> Answer {
    debug_assert!(reason < Reason::COUNT);
    answer(call::ENTRIES, vcpu, reason as u64)
}

/// Sets the partition's watchdog to a time-out in microseconds; 0 switches it off.
pub fn watchdog(microseconds: u64) -> Answer {
    answer(call::WATCHDOG, microseconds, 0)
}

/// The answer of [`partition`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Its state: one of `abi::state`.
    pub state: u32,
    /// Its generation.
    pub generation: u16,
    /// Its starts since boot.
    pub starts: u32,
    /// Its number of vCPUs.
    pub vcpus: u32,
}

/// Returns the state of a partition. Only a supervisor may call it.
pub fn partition(partition: u64) -> Result<Partition, i64> {
    let [x0, x1, x2, x3] = hvc(call::PARTITION.into(), [partition, 0, 0]);
    let found =
        Partition { state: x0 as u32, generation: x1 as u16, starts: x2 as u32, vcpus: x3 as u32 };
    if (x0 as i64) < 0 { Err(x0 as i64) } else { Ok(found) }
}

/// Orders a partition to stop or start: an item of `abi::supervise`. Only a supervisor may call it.
pub fn supervise(partition: u64, order: u64) -> Answer {
    answer(call::SUPERVISE, partition, order)
}

/// Gives the partition up. If the hypervisor is not Bulkhead, switches the machine off.
pub fn fail(code: u64) -> ! {
    hvc(call::FAIL.into(), [code, 0, 0]);
    crate::psci::system_off()
}
