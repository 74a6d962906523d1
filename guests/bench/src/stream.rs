//! Messages from a source to a sink, directly or through a relay; neither end can tell the
//! difference. The phases are `bench::phase`'s.

use alloc::vec;
use alloc::vec::Vec;

use bench::count::{Counter, Times};
use bench::message::{HEADER, Header, Kind as Message};
use bench::phase::{self, BATCH, Kind, Phase, SIZES, patience};
use rt::link::{Error, Link};
use rt::{Tree, fail, hv, interrupt, timer};

/// The largest message.
const LARGEST: usize = SIZES[SIZES.len() - 1];

/// Milliseconds that the source waits before it starts.
const SETTLE: u64 = 5;

/// Sends, and times the answers.
pub fn source(tree: &'static Tree) {
    let mut end = End::open(tree);
    end.links[0].wait_for_peer(patience()).unwrap_or_else(|error| fail!("{error}"));
    // Other partitions still start or stop; they must not do so during a measurement.
    let settled = timer::now() + timer::milliseconds(SETTLE);
    while interrupt::wait_until(settled).is_some() {}
    let mut counter = Counter::new();
    for phase in phase::all(end.bell.is_some()) {
        // A round trip shows that both ends are ready, and makes the link's interrupts the most
        // recent ones, in every phase alike.
        end.say(Message::Start, phase.size);
        end.expect(Message::Start, phase.size);
        counter.start(&[&end.links]);
        let times = end.lead(phase).unwrap_or_else(|error| fail!("{phase:?}: {error}"));
        end.say(Message::End, phase.size);
        end.expect(Message::End, phase.size);
        counter.end(phase, &[&end.links], times);
    }
    end.say(Message::Stop, 0);
    counter.print();
}

/// Receives, checks and answers.
pub fn sink(tree: &'static Tree) {
    let mut end = End::open(tree);
    let mut counter = Counter::new();
    for phase in phase::all(end.bell.is_some()) {
        end.expect(Message::Start, phase.size);
        end.say(Message::Start, phase.size);
        counter.start(&[&end.links]);
        let times = end.follow(phase).unwrap_or_else(|error| fail!("{phase:?}: {error}"));
        end.expect(Message::End, phase.size);
        counter.end(phase, &[&end.links], times);
        end.say(Message::End, phase.size);
    }
    end.expect(Message::Stop, 0);
    counter.print();
}

/// One end of the stream.
struct End {
    /// A link per size.
    links: Vec<Link>,
    /// Handle and interrupt of the channel that has only doorbells.
    bell: Option<(u64, u32)>,
    buffer: Vec<u8>,
}

impl End {
    fn open(tree: &'static Tree) -> Self {
        let prefix = tree.option("links").unwrap_or_default();
        Self {
            links: phase::links(tree, prefix),
            bell: phase::bell(tree, prefix),
            buffer: vec![0x5a; LARGEST],
        }
    }

    /// Announces that a phase starts or ends.
    fn say(&mut self, kind: Message, size: usize) {
        let header = Header { kind, sequence: size as u32, time: 0 };
        let link = &mut self.links[size];
        let said = link.push(&header.encode(), patience());
        said.and_then(|()| link.flush()).unwrap_or_else(|error| fail!("{kind:?}: {error}"));
    }

    /// Waits for the peer's announcement.
    fn expect(&mut self, kind: Message, size: usize) {
        let mut bytes = [0; HEADER];
        let length = self.links[size].receive_wait(&mut bytes, patience());
        let length = length.unwrap_or_else(|error| fail!("no {kind:?}: {error}"));
        let header = Header::decode(&bytes[..length]);
        if header.kind != kind || header.sequence as usize != size {
            fail!("received {header:?}, expected {kind:?} of size {size}");
        }
    }

    fn lead(&mut self, phase: Phase) -> Result<Times, Error> {
        match phase.kind {
            Kind::Bells => Ok(self.ring(phase)),
            Kind::Ping => self.ping(phase),
            Kind::Stream => self.send(phase),
        }
    }

    fn follow(&mut self, phase: Phase) -> Result<Times, Error> {
        match phase.kind {
            Kind::Bells => {
                for _ in 0..phase.count {
                    self.await_bell();
                    self.ring_bell();
                }
                Ok(Times::default())
            }
            Kind::Ping => self.pong(phase),
            Kind::Stream => self.receive(phase),
        }
    }

    fn ring_bell(&self) {
        let rung = self.bell.map(|(handle, _)| hv::ring(handle));
        if rung != Some(Ok(0)) {
            fail!("a doorbell was not sent: {rung:?}");
        }
    }

    fn await_bell(&self) {
        let expected = self.bell.map(|(_, intid)| intid);
        while Some(interrupt::wait()) != expected {}
    }

    fn ring(&mut self, phase: Phase) -> Times {
        let mut times = Times::default();
        for _ in 0..phase.count {
            let start = timer::now();
            self.ring_bell();
            self.await_bell();
            times.round += timer::now() - start;
        }
        times
    }

    fn ping(&mut self, phase: Phase) -> Result<Times, Error> {
        let mut times = Times::default();
        let (link, bytes) = (&mut self.links[phase.size], phase.bytes());
        for round in 0..phase.count {
            let start = timer::now();
            put(link, &mut self.buffer[..bytes], round, start)?;
            link.flush()?;
            let length = link.receive_wait(&mut self.buffer, patience())?;
            let time = timer::now() - start;
            Header::decode(&self.buffer).check(round, bytes, length);
            times.round += time;
        }
        Ok(times)
    }

    fn pong(&mut self, phase: Phase) -> Result<Times, Error> {
        let mut times = Times::default();
        let (link, bytes) = (&mut self.links[phase.size], phase.bytes());
        for round in 0..phase.count {
            let length = link.receive_wait(&mut self.buffer, patience())?;
            let now = timer::now();
            let header = Header::decode(&self.buffer);
            header.check(round, bytes, length);
            times.one_way += now - header.time;
            put(link, &mut self.buffer[..bytes], round, now)?;
            link.flush()?;
        }
        Ok(times)
    }

    fn send(&mut self, phase: Phase) -> Result<Times, Error> {
        let mut times = Times { first: timer::now(), ..Times::default() };
        let (link, bytes) = (&mut self.links[phase.size], phase.bytes());
        for batch in (0..phase.count).step_by(BATCH) {
            // There must be room for the whole batch first, so that the end does not wait while it
            // is timed.
            link.lease(phase.batch_bytes() - 8, patience()).map(|_| ())?;
            for burst in (batch..batch + BATCH).step_by(phase.burst()) {
                let start = timer::now();
                for sequence in burst..burst + phase.burst() {
                    put(link, &mut self.buffer[..bytes], sequence, start)?;
                }
                times.burst(timer::now() - start);
            }
            link.flush()?;
        }
        Ok(times)
    }

    fn receive(&mut self, phase: Phase) -> Result<Times, Error> {
        let mut times = Times::default();
        let (link, bytes) = (&mut self.links[phase.size], phase.bytes());
        for batch in (0..phase.count).step_by(BATCH) {
            if !link.wait_for(phase.batch_bytes() as u32, patience())? {
                return Err(Error::Timeout);
            }
            for burst in (batch..batch + BATCH).step_by(phase.burst()) {
                let start = timer::now();
                for sequence in burst..burst + phase.burst() {
                    let length = link.receive(&mut self.buffer)?.unwrap_or(0);
                    Header::decode(&self.buffer).check(sequence, bytes, length);
                }
                times.burst(timer::now() - start);
            }
            link.flush()?;
            times.last = timer::now();
        }
        Ok(times)
    }
}

/// Puts a message of the phase into the ring without publishing it yet.
fn put(link: &mut Link, message: &mut [u8], sequence: usize, time: u64) -> Result<(), Error> {
    let header = Header { kind: Message::Data, sequence: sequence as u32, time };
    message[..HEADER].copy_from_slice(&header.encode());
    link.push(message, patience())
}
