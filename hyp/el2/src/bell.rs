//! Doorbells: one core's call becomes another core's virtual interrupt. `docs/doorbell.md` follows one all the way.

use abi::{Reason, error, ring, state};
use doorbell::{Handles, Outcome, Ring};

use crate::cpu::core::Core;
use crate::cpu::timer;
use crate::gic;

/// `RING`: sets this end's bit in the peer's pending word and sends one SGI to the peer's core, unless the bit was set
/// already, the peer masks it or the rate limit says later.
pub fn ring(core: &mut Core, handle: u64) -> i64 {
    let ends = core.ends;
    let Some((end, bell)) = ends
        .get(handle as usize)
        .zip(core.bells.get_mut(handle as usize))
    else {
        return error::BAD_HANDLE;
    };
    if core.shared.state(end.peer_partition as usize) != state::RUNNING {
        return error::PEER_DOWN;
    }
    let peer = end.peer_core as usize;
    // `plan::NO_CORE` is no core's index.
    let Some(theirs) = core.shared.core(peer) else {
        return error::NO_DOORBELL;
    };
    match bell.ring(&theirs.line, end.peer_handle, timer::now) {
        Outcome::Notify => {
            core.send(peer, gic::DOORBELL);
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
    for handle in Handles(bits) {
        deliver(core, handle as usize);
    }
    let sibling = core.vgic().inbox();
    // An SGI may find everything taken along by an earlier one: on a core without ends a sibling sent it.
    let foreign = bits != 0 || !sibling && !core.ends.is_empty();
    core.count(if foreign {
        Reason::Doorbell
    } else {
        Reason::Sibling
    });
}

fn deliver(core: &mut Core, handle: usize) {
    if let (Some(bell), Some(end)) = (core.bells.get_mut(handle), core.ends.get(handle)) {
        bell.received = bell.received.wrapping_add(1);
        core.vgic().inject(end.intid);
    }
}

/// `MASK`.
pub fn mask(core: &mut Core, handle: u64, on: u64) -> i64 {
    if handle >= core.ends.len() as u64 {
        return error::BAD_HANDLE;
    }
    match on {
        1 => core.mine.line.mask(handle as u32),
        0 => {
            if core.mine.line.unmask(handle as u32) {
                deliver(core, handle as usize);
            }
        }
        _ => return error::BAD_ARGUMENT,
    }
    0
}

/// This core's partition has stopped: rings every peer once, past limit and mask's usual path, so that one that waits for
/// this end looks at `PEER`.
pub fn farewell(core: &mut Core) {
    for (end, bell) in core.ends.iter().zip(&mut core.bells) {
        let peer = end.peer_core as usize;
        if let Some(theirs) = core.shared.core(peer) {
            if theirs.line.ring(end.peer_handle) != Ring::Coalesced {
                bell.sent = bell.sent.wrapping_add(1);
            }
            if let Some(row) = core.cores.get(peer) {
                gic::send(row.mpidr, gic::DOORBELL);
            }
        }
    }
}

/// Sends the doorbells whose time has come.
pub fn retry_deferred(core: &mut Core) {
    let now = timer::now();
    for handle in core.deferred.due(now) {
        let index = handle as usize;
        let ends = core.ends;
        let Some((end, bell)) = ends.get(index).zip(core.bells.get_mut(index)) else {
            continue;
        };
        let peer = end.peer_core as usize;
        let Some(theirs) = core.shared.core(peer) else {
            continue;
        };
        match bell.retry(&theirs.line, end.peer_handle, now) {
            Outcome::Notify => core.send(peer, gic::DOORBELL),
            Outcome::Deferred(at) => {
                core.deferred.defer(handle, at);
            }
            Outcome::Coalesced | Outcome::Held => {}
        }
    }
}
