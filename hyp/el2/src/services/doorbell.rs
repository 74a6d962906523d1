//! Doorbells: one core's call becomes another core's virtual interrupt. `docs/doorbell.md`
//! describes each step.

use core::sync::atomic::Ordering::Acquire;

use abi::{Reason, error, ring, state};
use doorbell::{Bucket, Handles, Outcome};

use super::vgic;
use crate::arch::timer;
use crate::drivers::{
    Gic,
    gic::{DOORBELL, GicDriver, MAINTENANCE},
};
use crate::state::deadlines::Deadline;
use crate::state::functions::find;
use crate::state::percpu::{ChannelEnd, DoorbellState, PerCpu};

/// In place of an INTID: the end is a PCI function, which decides about the interrupt. No guest
/// owns this INTID, so the vectors' fast path never finds it deliverable, and leaves the doorbell
/// to [`deliver`].
const OF_FUNCTION: u32 = MAINTENANCE;

/// Makes this core's channel ends from their rows of the plan.
pub fn init(cpu: &mut PerCpu) {
    let rows = cpu.plan.slice::<plan::End>(cpu.row.ends);
    let counters = &cpu.mine.doorbells;
    let DoorbellState { ends, intids, .. } = &mut cpu.doorbell;
    for (((end, intid), row), counters) in ends.iter_mut().zip(intids).zip(rows).zip(counters) {
        let mut new = ChannelEnd::default();
        new.bucket = Bucket::new(timer::frequency(), row.rate, row.burst);
        new.counters = Some(counters);
        *intid = if row.view == plan::NO_VIEW { row.intid } else { OF_FUNCTION };
        // `plan::NO_CORE` is not a core's index.
        let index = row.peer_core as usize;
        let peer = cpu.cores.get(index).zip(cpu.shared.core(index));
        let partition = peer.map_or(usize::MAX, |_| row.peer_partition as usize);
        new.peer = Some(cpu.shared.state_word(partition));
        if let Some((core, theirs)) = peer {
            new.word = Some(&theirs.word);
            new.bit = 1 << (row.peer_handle & 63);
            new.sgi = Gic::sgi(core.mpidr, DOORBELL);
        }
        *end = new;
    }
}

/// Answers `RING`: sets this end's bit in the peer's pending word and sends one SGI to the peer's
/// core, unless the bit was already set, the peer masks it or the rate limit defers it.
pub fn ring(cpu: &mut PerCpu, handle: u64) -> i64 {
    let Some(end) = cpu.doorbell.end(handle) else {
        return error::BAD_HANDLE;
    };
    if end.word.is_some() && end.peer.map(|state| state.load(Acquire)) != Some(state::RUNNING) {
        return error::PEER_DOWN;
    }
    send(cpu, handle)
}

/// Does [`ring()`] whether or not the peer's partition runs.
fn send(cpu: &mut PerCpu, handle: u64) -> i64 {
    let Some(end) = cpu.doorbell.end(handle) else {
        return error::BAD_HANDLE;
    };
    let (Some(word), Some(counters)) = (end.word, end.counters) else {
        return error::NO_DOORBELL;
    };
    match end.bucket.ring(counters, word, end.bit.trailing_zeros(), timer::now) {
        Outcome::Notify => {
            Gic::send(end.sgi);
            ring::SENT
        }
        Outcome::Coalesced => ring::COALESCED,
        Outcome::Held => ring::SENT,
        Outcome::Deferred(at) => {
            if cpu.doorbell.deferred.defer(handle as u32, at) {
                set_deadline(cpu);
                cpu.deadlines.arm();
            }
            ring::DEFERRED
        }
    }
}

/// Handles the doorbell SGI: makes each waiting doorbell its end's virtual interrupt, and takes
/// siblings' requests.
pub fn handle_doorbell_sgi(cpu: &mut PerCpu) {
    let bits = cpu.mine.word.take();
    for handle in Handles(bits) {
        deliver(cpu, handle.into());
    }
    let sibling = vgic::vcpu(cpu).take_requests();
    // An earlier SGI's handler may have taken everything already. On a core without channel ends a
    // sibling sent the SGI.
    let foreign = bits != 0 || !sibling && cpu.doorbell.count != 0;
    cpu.count(if foreign { Reason::Doorbell } else { Reason::Sibling });
}

fn deliver(cpu: &mut PerCpu, handle: u64) {
    let intid = cpu.doorbell.intids.get(handle as usize);
    if let (Some(&intid), Some(counters)) = (intid, cpu.mine.doorbells.get(handle as usize)) {
        counters.received.count();
        if intid == OF_FUNCTION {
            deliver_to_function(cpu, handle);
        } else {
            vgic::vcpu(cpu).inject(intid);
        }
    }
}

/// Does the rest of [`deliver`] at an end that is a PCI function.
#[cold]
#[inline(never)]
fn deliver_to_function(cpu: &mut PerCpu, handle: u64) {
    let end = cpu.plan.slice::<plan::End>(cpu.row.ends).get(handle as usize);
    if let Some(found) = end.and_then(|end| find(cpu, end.view as usize))
        && found.function.arrive()
    {
        vgic::vcpu(cpu).inject(found.end.intid);
    }
}

/// Answers `MASK`.
pub fn mask(cpu: &mut PerCpu, handle: u64, on: u64) -> i64 {
    if handle >= cpu.doorbell.count {
        return error::BAD_HANDLE;
    }
    match on {
        1 => cpu.mine.word.mask(handle as u32),
        0 => {
            if cpu.mine.word.unmask(handle as u32) {
                deliver(cpu, handle);
            }
        }
        _ => return error::BAD_ARGUMENT,
    }
    0
}

/// Rings every peer of this core's after its partition has stopped or started again, whatever the
/// peer's state, so that a peer that waits for this end looks at `PEER`.
pub fn notify_peers(cpu: &mut PerCpu) {
    for handle in 0..cpu.doorbell.count {
        send(cpu, handle);
    }
}

/// Begins the next life of this core's ends: lifts the masks, and delivers what peers have rung
/// meanwhile.
pub fn restart(cpu: &mut PerCpu) {
    for handle in 0..cpu.doorbell.count {
        mask(cpu, handle, 0);
    }
}

/// Sends the doorbells whose time has come by tick `now`. The caller arms the timer.
#[inline(never)]
pub fn retry_deferred(cpu: &mut PerCpu, now: u64) {
    for handle in cpu.doorbell.deferred.due(now) {
        let Some(end) = cpu.doorbell.end(handle.into()) else {
            continue;
        };
        match end.word.map(|word| end.bucket.retry(word, end.bit.trailing_zeros(), now)) {
            Some(Outcome::Notify) => Gic::send(end.sgi),
            Some(Outcome::Deferred(at)) => {
                cpu.doorbell.deferred.defer(handle, at);
            }
            _ => {}
        }
    }
    set_deadline(cpu);
}

/// Sets the deadline to the time of the next deferred doorbell.
fn set_deadline(cpu: &mut PerCpu) {
    let at = cpu.doorbell.deferred.next().unwrap_or(timer::NEVER);
    cpu.deadlines.set(Deadline::Doorbell, at);
}
