//! EL2's work on this vCPU's core during a phase, and the guest's own counts. All are printed at
//! the end of the run.

use alloc::vec::Vec;

use abi::{Reason, call, status};
use rt::link::Link;
use rt::{hv, print, println, smp};

use crate::phase::Phase;

/// Calls between the reading of [`Reason::Hvc`] that starts a count (it counts itself) and the one
/// that ends it.
const OWN_CALLS: u64 = 3;

/// EL2's counters at one time.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    work: u32,
    entries: [u64; Reason::COUNT],
    doorbells: u64,
}

/// A guest's figures of a phase. Times are counter ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Time of the first operation that counts.
    pub first: u64,
    /// Time of the last one.
    pub last: u64,
    /// Sum over round trips.
    pub round: u64,
    /// Sum over messages from their sending to their being received.
    pub one_way: u64,
    /// The least time of sending, receiving or forwarding a burst, without waiting.
    pub burst: u64,
}

impl Times {
    /// Records the time of a burst.
    pub fn burst(&mut self, time: u64) {
        if self.burst == 0 || time < self.burst {
            self.burst = time;
        }
    }
}

/// Counts on one vCPU.
pub struct Counter {
    /// The cost of reading EL2's work.
    own_work: u32,
    start: Reading,
    done: Vec<(Phase, Reading, Times)>,
}

fn work() -> u32 {
    hv::hvc(call::EL2_INSTRUCTIONS.into(), [0; 3])[0] as u32
}

fn entries(reason: usize) -> u64 {
    hv::entries(smp::vcpu() as u64, reason).unwrap_or_default()
}

fn doorbells(links: &[&[Link]]) -> u64 {
    let handles = links.iter().flat_map(|links| links.iter());
    let sent = handles.map(|link| hv::status(link.node.handle, status::SENT).unwrap_or_default());
    sent.sum()
}

impl Counter {
    /// Returns a counter that has not counted yet.
    #[must_use]
    pub fn new() -> Self {
        let before = work();
        Self {
            own_work: work().wrapping_sub(before),
            start: Reading::default(),
            done: Vec::with_capacity(32),
        }
    }

    /// Starts a phase. `links` are those whose doorbells count.
    pub fn start(&mut self, links: &[&[Link]]) {
        self.start.doorbells = doorbells(links);
        // HVC is read last, because each later read counts as one.
        for reason in (0..Reason::COUNT).rev() {
            self.start.entries[reason] = entries(reason);
        }
        self.start.work = work();
    }

    /// Ends the phase.
    pub fn end(&mut self, phase: Phase, links: &[&[Link]], times: Times) {
        let mut reading = Reading {
            work: work().wrapping_sub(self.start.work).saturating_sub(self.own_work),
            ..Reading::default()
        };
        for (reason, start) in self.start.entries.iter().enumerate() {
            reading.entries[reason] = entries(reason) - start;
        }
        reading.entries[Reason::Hvc as usize] -= OWN_CALLS;
        reading.doorbells = doorbells(links) - self.start.doorbells;
        self.done.push((phase, reading, times));
    }

    /// Prints `phase KIND BYTES COUNT`, then names and values that are not zero.
    pub fn print(&self) {
        for (phase, reading, times) in &self.done {
            let (kind, bytes, count) = (phase.kind.name(), phase.bytes(), phase.count);
            print!("phase {kind} {bytes} {count} work {}", reading.work);
            let Times { first, last, round, one_way, burst } = *times;
            let own = [
                ("doorbells", reading.doorbells),
                ("first", first),
                ("last", last),
                ("round", round),
                ("one-way", one_way),
                ("burst", burst),
                ("messages", phase.burst() as u64),
            ];
            let reasons = Reason::NAMES.into_iter().zip(reading.entries);
            for (name, value) in own.into_iter().chain(reasons).filter(|(_, value)| *value != 0) {
                print!(" {name} {value}");
            }
            println!();
        }
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}
