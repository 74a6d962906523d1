//! Demo guest: receives what `sensor` sends, checks every byte and every number, and answers each
//! batch.
//!
//! This is also the shortest complete program over a channel. Read it from `main` down: it opens
//! the channel by name, takes the messages that are there, answers, and sleeps until the next
//! doorbell.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use rt::link::{Error, Link};
use rt::log::info;
use rt::{Tree, fail, figures, timer};
use sensor::{CHANNEL, Message, SIZE, Sample, checksum};

/// Seconds that the sensor may be silent.
const PATIENCE: u64 = 8;

rt::main!(main);

// vCPU 0 starts here, with the MMU, the heap and the console ready. `tree` is the partition's
// device tree.
fn main(tree: &'static Tree) {
    info!("vCPU 0 ({}) waits for samples", tree.class(0));
    let Some(mut link) = Link::open(tree, CHANNEL) else {
        fail!("no channel named {CHANNEL:?} at this vCPU")
    };

    let mut seen = Seen::default();
    let done = receive(&mut link, &mut seen);
    if let Err(error) = done {
        let peer = abi::state::NAMES[link.peer() as usize];
        fail!("after {} samples: {error} (sensor is {peer})", seen.samples);
    }

    info!("{} samples, {} bytes: none lost, none wrong", seen.samples, seen.bytes);
    figures::print_doorbells(&link);
    figures::print_entries(tree);

    // The answer comes only now, because the sensor prints its own figures when it has it.
    let done = Message::Done { received: seen.samples, checksum: seen.checksum };
    let sent = link.push(&done.encode(), patience()).and_then(|()| link.flush());
    sent.unwrap_or_else(|error| fail!("{error}"));
    // Returning from here powers the partition off.
}

/// Messages that have arrived so far.
#[derive(Default)]
struct Seen {
    samples: u64,
    bytes: u64,
    checksum: u64,
    latest: u64,
}

/// Takes messages until the sensor announces the end.
fn receive(link: &mut Link, seen: &mut Seen) -> Result<(), Error> {
    let mut buffer = [0; SIZE];
    let mut next_line = timer::now() + timer::frequency();
    let mut confirmed = 0;
    loop {
        // Takes all messages that are there: a batch.
        while let Some(size) = link.receive(&mut buffer)? {
            match Message::decode(&buffer[..size]) {
                Some(Message::Sample(sample)) => seen.take(sample, size),
                Some(Message::End { total }) if total == seen.samples => return Ok(()),
                Some(Message::End { total }) => {
                    fail!("received {} of {total} samples", seen.samples)
                }
                other => fail!("after sample {}: not a sample: {other:?}", seen.samples),
            }
        }

        // One answer for all of them. `flush` shows it to the sensor, with a doorbell only if the
        // sensor sleeps.
        if seen.samples != confirmed {
            confirmed = seen.samples;
            let ack = Message::Ack { received: seen.samples, checksum: seen.checksum };
            link.push(&ack.encode(), patience())?;
            link.flush()?;
        }

        if timer::now() >= next_line {
            next_line += timer::frequency();
            info!("{} samples so far", seen.samples);
        }

        // Sleep until the next doorbell. `wait` checks once more after it has asked for one, so
        // none is missed.
        link.wait(patience())?;
    }
}

impl Seen {
    /// Checks one sample; `Message::decode` has checked that its bytes belong together.
    fn take(&mut self, sample: Sample, size: usize) {
        if sample.sequence != self.samples {
            fail!("received sample {}, expected {}", sample.sequence, self.samples);
        }
        if sample.time < self.latest {
            fail!("sample {} is older than the one before", sample.sequence);
        }
        self.latest = sample.time;
        self.samples += 1;
        self.bytes += size as u64;
        self.checksum = checksum(self.checksum, sample);
    }
}

fn patience() -> u64 {
    timer::now() + PATIENCE * timer::frequency()
}
