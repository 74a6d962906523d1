//! A relay like a trusted broker: takes a source's messages, checks them, copies them and forwards
//! them to a sink, and answers the other way round. It has the same rings, waits and batches as a
//! direct channel, knows the order of senders, and copies each message once, from ring to ring:
//! only the path differs.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

use bench::count::{Counter, Times};
use bench::forward::{forward, one};
use bench::message::{HEADER, Header, Kind as Message};
use bench::phase::{self, BATCH, Kind, Phase, patience};
use rt::link::{Error, Link};
use rt::{Tree, fail, hv, interrupt, timer};

rt::main!(main);

fn main(tree: &'static Tree) {
    let [up, down] = ["up", "down"].map(|side| tree.option(side).unwrap_or_default());
    let mut relay = Relay {
        up: phase::links(tree, up),
        down: phase::links(tree, down),
        bells: phase::bell(tree, up).zip(phase::bell(tree, down)),
    };
    let mut counter = Counter::new();
    for phase in phase::all(relay.bells.is_some()) {
        relay.control(Message::Start, phase);
        counter.start(&[&relay.up, &relay.down]);
        let times = relay.serve(phase).unwrap_or_else(|error| fail!("{phase:?}: {error}"));
        relay.control(Message::End, phase);
        counter.end(phase, &[&relay.up, &relay.down], times);
    }
    one(&mut relay.up[0], &mut relay.down[0], control(Message::Stop))
        .unwrap_or_else(|error| fail!("{error}"));
    counter.print();
}

struct Relay {
    /// Links to the source.
    up: Vec<Link>,
    /// Links to the sink.
    down: Vec<Link>,
    /// The channels that have only doorbells: handle and interrupt of each.
    bells: Option<((u64, u32), (u64, u32))>,
}

impl Relay {
    /// Forwards the start or end of a phase, and the answer to it.
    fn control(&mut self, kind: Message, phase: Phase) {
        let (up, down) = (&mut self.up[phase.size], &mut self.down[phase.size]);
        let passed = one(up, down, control(kind)).and_then(|()| one(down, up, control(kind)));
        passed.unwrap_or_else(|error| fail!("{kind:?}: {error}"));
    }

    fn serve(&mut self, phase: Phase) -> Result<Times, Error> {
        let mut times = Times::default();
        let (up, down) = (&mut self.up[phase.size], &mut self.down[phase.size]);
        let bytes = phase.bytes();
        match phase.kind {
            Kind::Bells => {
                if let Some(((up, from_up), (down, from_down))) = self.bells {
                    for _ in 0..phase.count {
                        pass(from_up, down);
                        pass(from_down, up);
                    }
                }
            }
            Kind::Ping => {
                for round in 0..phase.count {
                    one(up, down, |header, length| header.check(round, bytes, length))?;
                    one(down, up, |header, length| header.check(round, bytes, length))?;
                }
            }
            Kind::Stream => {
                for batch in (0..phase.count).step_by(BATCH) {
                    if !up.wait_for(phase.batch_bytes() as u32, patience())? {
                        return Err(Error::Timeout);
                    }
                    // There must be room for the batch, so that the relay does not wait while it is
                    // timed.
                    down.lease(phase.batch_bytes() - 8, patience()).map(|_| ())?;
                    for burst in (batch..batch + BATCH).step_by(phase.burst()) {
                        let start = timer::now();
                        for sequence in burst..burst + phase.burst() {
                            let check =
                                |header: Header, length| header.check(sequence, bytes, length);
                            if !forward(up, down, check)? {
                                fail!("message {sequence} of {bytes} bytes is not there");
                            }
                        }
                        times.burst(timer::now() - start);
                    }
                    down.flush()?;
                    up.flush()?;
                }
            }
        }
        Ok(times)
    }
}

/// Takes a doorbell and sends one on.
fn pass(from: u32, to: u64) {
    while interrupt::wait() != from {}
    if hv::ring(to) != Ok(0) {
        fail!("a doorbell was not passed on");
    }
}

/// Returns the check of a message that starts or ends something.
fn control(kind: Message) -> impl Fn(Header, usize) {
    move |header, length| {
        if header.kind != kind || length != HEADER {
            fail!("received {header:?} of {length} bytes, expected {kind:?}");
        }
    }
}
