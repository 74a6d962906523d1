// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows between partitions: doorbells, messages and streams, directly and through the relay.
//!
//! All partitions have the same counter, so the peer's answer has the time at which it saw the
//! message: the lead has both ways from it.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use bench::forward::one;
use bench::message::{HEADER, Header, Kind as Content};
use bench::phase::patience;
use bench::rendezvous::Rendezvous;
use report::Histogram;
use rt::link::{Error, Link};
use rt::{Tree, Wait, fail, hv, interrupt, timer};

use crate::crew::{Crew, Desk, Task};
use crate::output::Output;
use crate::plan::{Kind, Path, Row, SIZES, SMALL};
use crate::solo::span;
use crate::{load, stamp};

/// The word of a doorbell's page that has the sender's time.
const STAMP: usize = 0;

/// One end's channels to one other partition.
struct Side {
    bell: Rendezvous,
    /// Small rings, by way of waiting.
    small: [Link; 3],
    /// Large rings, with doorbells.
    large: Link,
}

/// Ways of waiting, in the order of [`Side::small`].
const WAYS: [Wait; 3] = [Wait::Doorbell, Wait::Wfe, Wait::Poll];

impl Side {
    fn open(tree: &Tree, prefix: &str) -> Self {
        let link = |name: &str| {
            let name = format!("{prefix}-{name}");
            Link::open(tree, &name)
                .unwrap_or_else(|| fail!("no channel named {name:?} at this vCPU"))
        };
        let bell = Rendezvous::open(tree, &format!("{prefix}-bell"));
        interrupt::enable(bell.intid);
        Self { bell, small: WAYS.map(|way| link(way.word())), large: link("large") }
    }

    fn link(&mut self, row: &Row) -> &mut Link {
        if row.bytes > SMALL {
            return &mut self.large;
        }
        match row.way {
            Wait::Doorbell => &mut self.small[0],
            Wait::Wfe => &mut self.small[1],
            Wait::Poll => &mut self.small[2],
        }
    }

    /// Stores a time for the other end, and wakes it in the row's way.
    fn tell(&self, way: Wait, time: u64) {
        self.bell.tell(STAMP, time);
        if way == Wait::Doorbell && hv::ring(self.bell.handle) != Ok(0) {
            fail!("a doorbell was not sent");
        }
    }

    /// Returns the time that the other end stores in place of `seen`, and the time at which this
    /// end sees it.
    fn hear(&self, way: Wait, seen: u64) -> (u64, u64) {
        let word = self.bell.words(STAMP).1;
        match way {
            Wait::Doorbell => loop {
                let now = stamp::interrupt(self.bell.intid, true, || ());
                let value = word.load(Ordering::Acquire);
                if value != seen {
                    return (value, now);
                }
            },
            Wait::Wfe | Wait::Poll => stamp::word(word, seen, way),
        }
    }

    fn heard(&self) -> u64 {
        self.bell.words(STAMP).1.load(Ordering::Acquire)
    }
}

/// The lead's channels.
pub struct Ends {
    direct: Side,
    relayed: Side,
    buffer: Vec<u8>,
}

impl Ends {
    /// Opens the lead's ends.
    pub fn lead(tree: &Tree) -> Self {
        Self {
            direct: Side::open(tree, "direct"),
            relayed: Side::open(tree, "up"),
            buffer: vec![0x5a; SIZES[SIZES.len() - 1]],
        }
    }

    fn side(&mut self, path: Path) -> (&mut Side, &mut [u8]) {
        match path {
            Path::Direct => (&mut self.direct, &mut self.buffer),
            Path::Relayed => (&mut self.relayed, &mut self.buffer),
        }
    }

    /// Measures the copy of a message into a ring that has room. The message is not sent.
    pub fn push(&mut self, row: &Row, values: &mut Histogram) {
        let (side, buffer) = self.side(Path::Direct);
        let link = side.link(row);
        for _ in 0..row.count {
            let lease = link.lease(row.bytes, patience());
            let mut lease = lease.unwrap_or_else(|error| fail!("{row:?}: {error}"));
            // A lease that is not committed leaves the ring as it was.
            values.record(span(|| {
                if lease.write(0, &buffer[..row.bytes]).is_err() {
                    fail!("{row:?}: the lease is too short");
                }
            }));
        }
    }
}

/// Measures a row with the others, and reports it.
pub fn measure(crew: &mut Crew, ends: &mut Ends, row: &Row, output: &mut Output) {
    crew.serve(row);
    let mut values = [Histogram::new(), Histogram::new()];
    let (side, buffer) = ends.side(row.path);
    let done = match row.kind {
        Kind::Bell => {
            bells(side, row, &mut values);
            Ok(())
        }
        Kind::Message => messages(side.link(row), buffer, row, &mut values),
        _ => stream(side.link(row), buffer, row, &mut values[0]),
    };
    done.unwrap_or_else(|error| fail!("{row:?}: {error}"));
    crew.served(row);
    match row.reports() {
        1 => output.row(row, "", &values[0]),
        _ => {
            output.row(row, "-one-way", &values[0]);
            output.row(row, "-there-back", &values[1]);
        }
    }
}

fn bells(side: &Side, row: &Row, [one_way, round]: &mut [Histogram; 2]) {
    let mut seen = side.heard();
    for _ in 0..row.count {
        let start = timer::now();
        side.tell(row.way, start);
        let (there, now) = side.hear(row.way, seen);
        seen = there;
        one_way.record(there.saturating_sub(start));
        round.record(now - start);
    }
}

/// Writes a message's first bytes and puts it into the ring.
fn put(link: &mut Link, message: &mut [u8], sequence: u64, time: u64) -> Result<(), Error> {
    let header = Header { kind: Content::Data, sequence: sequence as u32, time };
    message[..HEADER].copy_from_slice(&header.encode());
    link.push(message, patience())
}

/// Takes the answer to message `sequence`; returns the peer's time.
fn answer(link: &mut Link, sequence: u64) -> Result<u64, Error> {
    let mut bytes = [0; HEADER];
    let length = link.receive_wait(&mut bytes, patience())?;
    let header = Header::decode(&bytes);
    header.check(sequence as usize, HEADER, length);
    Ok(header.time)
}

fn messages(
    link: &mut Link,
    buffer: &mut [u8],
    row: &Row,
    [one_way, round]: &mut [Histogram; 2],
) -> Result<(), Error> {
    for sequence in 0..row.count {
        let start = timer::now();
        put(link, &mut buffer[..row.bytes], sequence, start)?;
        link.flush()?;
        let there = answer(link, sequence)?;
        round.record(timer::now() - start);
        one_way.record(there.saturating_sub(start));
    }
    Ok(())
}

fn stream(
    link: &mut Link,
    buffer: &mut [u8],
    row: &Row,
    values: &mut Histogram,
) -> Result<(), Error> {
    for round in 0..row.count {
        let start = timer::now();
        for message in 0..row.burst() {
            put(link, &mut buffer[..row.bytes], round * row.burst() + message, start)?;
            link.flush()?;
        }
        let there = answer(link, (round + 1) * row.burst() - 1)?;
        values.record(there.saturating_sub(start));
    }
    Ok(())
}

/// Runs the peer.
pub fn peer(tree: &'static Tree) {
    let mut desk = Desk::open(tree, "tasks-peer");
    let mut direct = Side::open(tree, "direct");
    let mut relayed = Side::open(tree, "down");
    let mut buffer = vec![0; SIZES[SIZES.len() - 1]];
    loop {
        match desk.next() {
            Task::Serve(row) => {
                let side = match row.path {
                    Path::Direct => &mut direct,
                    Path::Relayed => &mut relayed,
                };
                echo(side, &mut buffer, &row).unwrap_or_else(|error| fail!("{row:?}: {error}"));
            }
            Task::Load(load) => load::run(&desk, load),
            Task::Restart => desk.restart(),
            Task::Stop => return,
        }
        desk.done();
    }
}

/// Answers what the lead sends.
fn echo(side: &mut Side, buffer: &mut [u8], row: &Row) -> Result<(), Error> {
    if row.kind == Kind::Bell {
        // The lead may have sent the first one already: what was heard last is what it answered.
        let mut seen = side.bell.words(STAMP + 1).0.load(Ordering::Relaxed);
        for _ in 0..row.count {
            let (there, now) = side.hear(row.way, seen);
            seen = there;
            side.tell(row.way, now);
        }
        side.bell.tell(STAMP + 1, seen);
        return Ok(());
    }
    let is_stream = row.kind == Kind::Stream;
    let burst = if is_stream { row.burst() } else { 1 };
    let link = side.link(row);
    for sequence in 0..row.count * burst {
        let length = link.receive_wait(buffer, patience())?;
        let now = timer::now();
        Header::decode(buffer).check(sequence as usize, row.bytes, length);
        if (sequence + 1) % burst == 0 {
            put(link, &mut [0; HEADER], sequence, now)?;
            link.flush()?;
        }
    }
    Ok(())
}

/// Runs the relay.
pub fn relay(tree: &'static Tree) {
    let mut desk = Desk::open(tree, "tasks-relay");
    let mut up = Side::open(tree, "up");
    let mut down = Side::open(tree, "down");
    loop {
        match desk.next() {
            Task::Serve(row) => {
                pass(&mut up, &mut down, &row).unwrap_or_else(|error| fail!("{row:?}: {error}"));
            }
            Task::Load(load) => load::run(&desk, load),
            Task::Restart => desk.restart(),
            Task::Stop => return,
        }
        desk.done();
    }
}

/// Passes on what the lead sends, and the answers.
fn pass(up: &mut Side, down: &mut Side, row: &Row) -> Result<(), Error> {
    if row.kind == Kind::Bell {
        let mut seen_up = up.bell.words(STAMP + 1).0.load(Ordering::Relaxed);
        let mut seen_down = down.heard();
        for _ in 0..row.count {
            seen_up = up.hear(row.way, seen_up).0;
            down.tell(row.way, seen_up);
            seen_down = down.hear(row.way, seen_down).0;
            up.tell(row.way, seen_down);
        }
        up.bell.tell(STAMP + 1, seen_up);
        return Ok(());
    }
    let is_stream = row.kind == Kind::Stream;
    let burst = if is_stream { row.burst() } else { 1 };
    let (up, down) = (up.link(row), down.link(row));
    for round in 0..row.count {
        for message in 0..burst {
            let sequence = (round * burst + message) as usize;
            one(up, down, |header, length| header.check(sequence, row.bytes, length))?;
        }
        let sequence = ((round + 1) * burst - 1) as usize;
        one(down, up, |header, length| header.check(sequence, HEADER, length))?;
    }
    Ok(())
}
