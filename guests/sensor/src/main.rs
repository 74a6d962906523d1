//! Demo guest: a compute core takes samples on its timer, a comm core sends them to `control`.
//!
//! The two cores share a queue in the partition's own memory. The compute core is never an end of a
//! channel, so a neighbour cannot affect it; the last lines printed here show how often EL2 ran
//! there, and why. If there is only one vCPU, it does both.
//!
//! Options on the command line: `seconds=N` (3), `messages=N`, or `until=key`, which runs until a
//! key is typed.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Reason;
use channel::{Consumer, Producer};
use rt::link::{self, Link};
use rt::log::info;
use rt::{Tree, console, fail, figures, interrupt, smp, timer};
use sensor::{CHANNEL, Message, SIZE, Sample, checksum};

/// Samples per second.
const RATE: u64 = 1000;
/// The compute core wakes the comm core once per this number of samples.
const BATCH: u64 = 10;
/// The SGI for that.
const SAMPLES_READY: u32 = 1;
/// Seconds that control may take for an answer.
const PATIENCE: u64 = 8;

/// The number of samples in all. After [`STOP`] is set, the core that takes them sets it to the
/// number taken so far.
static TOTAL: AtomicU64 = AtomicU64::new(u64::MAX);
/// Set when the samples are to end.
static STOP: AtomicBool = AtomicBool::new(false);

rt::main!(main);

fn main(tree: &'static Tree) {
    let number = |name| tree.option(name).and_then(|value| value.parse::<u64>().ok());
    let by_key = tree.option("until") == Some("key");
    let taker = tree.vcpus() - 1;
    let [class, taker_class] = [0, taker].map(|vcpu| tree.class(vcpu));
    let begin = format_args!("vCPU 0 ({class}) sends, vCPU {taker} ({taker_class}) takes");
    if by_key {
        info!("{begin} samples at {RATE} Hz until a key is typed");
    } else {
        let total = number("messages").unwrap_or_else(|| RATE * number("seconds").unwrap_or(3));
        TOTAL.store(total, Ordering::Relaxed);
        info!("{begin} {total} samples at {RATE} Hz");
    }
    let Some(mut link) = Link::open(tree, CHANNEL) else {
        fail!("no channel named {CHANNEL:?} at this vCPU")
    };
    link.wait_for_peer(patience()).unwrap_or_else(|error| fail!("{error}"));

    let (producer, mut samples) = link::queue(256 * 1024).expect("a power of two");
    let sampler = Sampler::new(producer);
    let mut own = None;
    if taker == 0 {
        own = Some(sampler);
    } else {
        interrupt::enable(SAMPLES_READY);
        let started = smp::start(taker, move || take_samples(sampler));
        started.unwrap_or_else(|error| fail!("vCPU {taker} does not start: {error}"));
    }

    let mut sums = Sums::default();
    let done = transfer(&mut link, &mut samples, &mut own, &mut sums, by_key);
    if let Err(error) = done {
        let peer = abi::state::NAMES[link.peer() as usize];
        fail!("after {} samples: {error} (control is {peer})", sums.sent);
    }
    report(tree, &link, &sums);
}

/// Takes one sample per period.
struct Sampler {
    queue: Producer<'static>,
    period: u64,
    /// Time and number of the next sample.
    due: u64,
    sequence: u64,
}

impl Sampler {
    fn new(queue: Producer<'static>) -> Self {
        let period = timer::frequency() / RATE;
        Self { queue, period, due: timer::now() + period, sequence: 0 }
    }

    fn is_done(&self) -> bool {
        self.sequence == TOTAL.load(Ordering::Relaxed)
    }

    fn take(&mut self) {
        let sample = Message::Sample(Sample { sequence: self.sequence, time: timer::now() });
        // The queue holds seconds of samples: if it is full, the comm core has stopped.
        if let Err(error) = self.queue.try_send(&sample.encode()) {
            fail!("sample {} was not taken: {error}", self.sequence);
        }
        self.sequence += 1;
        self.due += self.period;
        if STOP.load(Ordering::Relaxed) {
            TOTAL.store(self.sequence, Ordering::Relaxed);
        }
    }
}

/// Runs the compute core: one sample per period, and nothing else.
fn take_samples(mut sampler: Sampler) {
    while !sampler.is_done() {
        interrupt::wait_until(sampler.due);
        sampler.take();
        if sampler.sequence.is_multiple_of(BATCH) || sampler.is_done() {
            interrupt::send(SAMPLES_READY, 0);
        }
    }
}

/// The samples that were sent and those that control has confirmed.
#[derive(Default)]
struct Sums {
    sent: u64,
    confirmed: u64,
    /// Checksum over all samples sent, and over those up to each that is not confirmed yet.
    checksum: u64,
    unconfirmed: VecDeque<u64>,
}

/// Runs the comm core: passes samples on and checks control's confirmations, until control has
/// confirmed the end. `own` is given if this core also takes the samples. `by_key` means that a key
/// ends the run.
fn transfer(
    link: &mut Link,
    samples: &mut Consumer,
    own: &mut Option<Sampler>,
    sums: &mut Sums,
    by_key: bool,
) -> Result<(), link::Error> {
    let mut buffer = [0; SIZE];
    let mut ended = false;
    loop {
        let mut idle = true;
        if by_key && console::read().is_some() {
            STOP.store(true, Ordering::Relaxed);
        }
        own.take_if(|sampler| sampler.is_done());
        if let Some(sampler) = own
            && timer::now() >= sampler.due
        {
            sampler.take();
        }
        while let Ok((size, _)) = samples.recv(&mut buffer) {
            idle = false;
            let Some(Message::Sample(sample)) = Message::decode(&buffer[..size]) else {
                fail!("the queue between this partition's cores is broken")
            };
            link.push(&buffer, patience())?;
            sums.sent += 1;
            sums.checksum = checksum(sums.checksum, sample);
            sums.unconfirmed.push_back(sums.checksum);
        }
        let total = TOTAL.load(Ordering::Relaxed);
        if sums.sent == total && !ended {
            link.push(&Message::End { total }.encode(), patience())?;
            ended = true;
        }
        // The whole batch is published together, with one doorbell at most.
        link.flush()?;

        while let Some(size) = link.receive(&mut buffer)? {
            idle = false;
            match Message::decode(&buffer[..size]) {
                Some(Message::Ack { received, checksum }) => sums.confirm(received, checksum),
                Some(Message::Done { received, checksum }) => {
                    sums.confirm(received, checksum);
                    if received != total {
                        fail!("control has {received} of {total} samples");
                    }
                    return Ok(());
                }
                other => fail!("not an answer: {other:?}"),
            }
        }
        if idle && !link.wait_begin()? {
            // An SGI of the compute core also ends this wait.
            match (link.nap(own.as_ref().map_or_else(patience, |own| own.due)), &own) {
                (Err(link::Error::Timeout), Some(_)) => {}
                (result, _) => result?,
            }
        }
    }
}

impl Sums {
    /// Checks control's confirmation: it has `received` samples in all, with the sum `claimed`.
    /// Control may send the same one twice.
    fn confirm(&mut self, received: u64, claimed: u64) {
        while self.confirmed < received {
            let Some(sum) = self.unconfirmed.pop_front() else {
                fail!("control confirms {received} samples of {} sent", self.sent)
            };
            self.confirmed += 1;
            if self.confirmed == received && sum != claimed {
                fail!("control received other bytes than sensor sent, at sample {received}");
            }
        }
    }
}

fn report(tree: &Tree, link: &Link, sums: &Sums) {
    info!("all {} samples confirmed by control", sums.confirmed);
    figures::print_doorbells(link);
    figures::print_entries(tree);
    for vcpu in (0..tree.vcpus()).filter(|&vcpu| tree.class(vcpu) == "compute") {
        match figures::entries(vcpu, &Reason::FOREIGN) {
            0 => info!("  compute core  vCPU {vcpu}: no foreign entry"),
            count => fail!("{count} foreign entries on the compute core of vCPU {vcpu}"),
        }
    }
}

fn patience() -> u64 {
    timer::now() + PATIENCE * timer::frequency()
}
