//! Doorbells: one core's call becomes another core's virtual interrupt. `docs/doorbell.md` follows one all the way.

use core::sync::atomic::Ordering::Acquire;

use abi::{Reason, error, ring, state};
use doorbell::{Handles, Outcome};

use crate::cpu::core::Core;
use crate::cpu::timer;
use crate::gic;

/// `RING`: sets this end's bit in the peer's pending word and sends one SGI to the peer's core, unless the bit was set
/// already, the peer masks it or the rate limit says later.
pub fn ring(core: &mut Core, handle: u64) -> i64 {
    let Some(bell) = core.bell(handle) else {
        return error::BAD_HANDLE;
    };
    let Some(line) = bell.line else {
        return error::NO_DOORBELL;
    };
    if bell.peer.map(|state| state.load(Acquire)) != Some(state::RUNNING) {
        return error::PEER_DOWN;
    }
    match bell.end.ring(line, bell.handle, timer::now) {
        Outcome::Notify => {
            gic::send(bell.sgi);
            ring::SENT
        }
        Outcome::Coalesced => ring::COALESCED,
        Outcome::Held => ring::SENT,
        Outcome::Deferred(at) => {
            if core.deferred.defer(handle as u32, at) {
                core.rearm();
            }
            ring::DEFERRED
        }
    }
}

/// The doorbell SGI: every doorbell that waits becomes its end's virtual interrupt, and so does what siblings left.
pub fn take(core: &mut Core) {
    let bits = core.mine.line.take();
    if bits == 0 && gic::quick_inbox(core.vgic()) {
        return core.count(Reason::Sibling);
    }
    for handle in Handles(bits) {
        deliver(core, handle.into());
    }
    let sibling = core.vgic().inbox();
    // An SGI may find everything taken along by an earlier one: on a core without ends a sibling sent it.
    let foreign = bits != 0 || !sibling && core.bell_count != 0;
    core.count(if foreign {
        Reason::Doorbell
    } else {
        Reason::Sibling
    });
}

fn deliver(core: &mut Core, handle: u64) {
    if let Some(bell) = core.bell(handle) {
        bell.end.received = bell.end.received.wrapping_add(1);
        let intid = bell.intid;
        core.vgic().inject(intid);
    }
}

/// `MASK`.
pub fn mask(core: &mut Core, handle: u64, on: u64) -> i64 {
    if handle >= core.bell_count {
        return error::BAD_HANDLE;
    }
    match on {
        1 => core.mine.line.mask(handle as u32),
        0 => {
            if core.mine.line.unmask(handle as u32) {
                deliver(core, handle);
            }
        }
        _ => return error::BAD_ARGUMENT,
    }
    0
}

/// This core's partition has stopped: rings every peer once, past limit and mask's usual path, so that one that waits for
/// this end looks at `PEER`.
pub fn farewell(core: &mut Core) {
    for bell in &mut core.bells {
        if let Some(line) = bell.line {
            if line.ring(bell.handle) != Outcome::Coalesced {
                bell.end.sent = bell.end.sent.wrapping_add(1);
            }
            gic::send(bell.sgi);
        }
    }
}

/// Sends the doorbells whose time has come.
pub fn retry_deferred(core: &mut Core) {
    let now = timer::now();
    for handle in core.deferred.due(now) {
        let Some(bell) = core.bell(handle.into()) else {
            continue;
        };
        match bell.line.map(|line| bell.end.retry(line, bell.handle, now)) {
            Some(Outcome::Notify) => gic::send(bell.sgi),
            Some(Outcome::Deferred(at)) => {
                core.deferred.defer(handle, at);
            }
            _ => {}
        }
    }
}
