//! The ring against a queue, and against a peer that writes anything.

use super::*;
use core::sync::atomic::Ordering::Relaxed;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Fewer cases where an interpreter runs them.
const CASES: u32 = if cfg!(miri) { 8 } else { 256 };

/// A region's memory.
pub struct Memory {
    page: Vec<AtomicU32>,
    data: Vec<AtomicU64>,
}

impl Memory {
    /// Cleared, `words` of data, all indices at `start` (a multiple of 8).
    pub fn new(words: usize, start: u32) -> Self {
        let page: Vec<AtomicU32> = (0..128).map(|_| AtomicU32::new(0)).collect();
        for offset in [layout::PRODUCED, layout::CONSUMED] {
            page[offset / 4].store(start, Relaxed);
        }
        let data = (0..words).map(|_| AtomicU64::new(0)).collect();
        Self { page, data }
    }

    pub fn region(&self) -> Region<'_> {
        Region::new(Indices::new(&self.page).unwrap(), &self.data).unwrap()
    }

    fn index(&self, offset: usize) -> &AtomicU32 {
        &self.page[offset / 4]
    }
}

/// Every index value worth starting from: at zero, and one that wraps soon.
fn start() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), (0_u32..64).prop_map(|n| 0_u32.wrapping_sub(n * 8))]
}

fn message(n: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (n as usize * 31 + i) as u8).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Parts(usize, usize),
    Lease(usize, usize),
    Abandon(usize),
    Publish,
    Recv,
    Drain(usize),
    WaitData,
    WaitRoom(usize, u32),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || 0_usize..80;
    prop_oneof![
        3 => len().prop_map(Step::Send),
        2 => (len(), len()).prop_map(|(a, b)| Step::Parts(a, b)),
        1 => (len(), len()).prop_map(|(a, b)| Step::Lease(a, b)),
        1 => len().prop_map(Step::Abandon),
        1 => Just(Step::Publish),
        3 => Just(Step::Recv),
        1 => (0_usize..9).prop_map(Step::Drain),
        1 => Just(Step::WaitData),
        1 => (len(), 0_u32..600).prop_map(|(a, b)| Step::WaitRoom(a, b)),
        1 => Just(Step::Reopen),
    ]
}

/// What the ring must do: queues of what is written and what is published, and whether each side waits for a doorbell.
struct Model {
    capacity: usize,
    hidden: VecDeque<Vec<u8>>,
    shown: VecDeque<Vec<u8>>,
    /// Bytes whose room has not been given back.
    used: usize,
    sent: u64,
}

impl Model {
    fn size(len: usize) -> usize {
        8 + len.next_multiple_of(8)
    }

    fn expect(&self, len: usize) -> Result<(), Error> {
        if Self::size(len) > self.capacity {
            Err(Error::TooLong)
        } else if self.used + Self::size(len) > self.capacity {
            Err(Error::Full)
        } else {
            Ok(())
        }
    }

    fn next(&mut self, len: usize) -> Vec<u8> {
        self.sent += 1;
        message(self.sent, len)
    }

    fn push(&mut self, message: Vec<u8>) {
        self.used += Self::size(message.len());
        self.hidden.push_back(message);
    }

    fn publish(&mut self) {
        self.shown.append(&mut self.hidden);
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let message = self.shown.pop_front()?;
        self.used -= Self::size(message.len());
        Some(message)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes, order, room and emptiness are exactly a queue's, across every wrap of the data and of the indices.
    #[test]
    fn it_is_a_queue(steps in vec(step(), 0..200), shift in 1_u32..7, start in start()) {
        let (a, b) = (Memory::new(1 << shift, start), Memory::new(2, start));
        let (mut tx, _) = open(a.region(), b.region());
        let (_, mut rx) = open(b.region(), a.region());
        let mut model = Model {
            capacity: 8 << shift, hidden: VecDeque::new(), shown: VecDeque::new(), used: 0, sent: 0,
        };
        let mut buffer = [0; 600];
        for step in steps {
            match step {
                Step::Send(len) => {
                    let bytes = model.next(len);
                    let expected = model.expect(len);
                    prop_assert_eq!(tx.try_send(&bytes).map(|_| ()), expected);
                    if expected.is_ok() {
                        model.push(bytes);
                        model.publish();
                    }
                }
                Step::Parts(first, second) => {
                    let bytes = model.next(first + second);
                    let (head, tail) = bytes.split_at(first);
                    let expected = model.expect(bytes.len());
                    prop_assert_eq!(tx.push(&[head, &[], tail]), expected);
                    if expected.is_ok() {
                        model.push(bytes);
                    }
                }
                Step::Lease(room, len) => {
                    let expected = model.expect(room);
                    let len = len.min(room);
                    let bytes = model.next(len);
                    match tx.reserve(room) {
                        Ok(mut lease) => {
                            prop_assert_eq!(lease.write(room, &[0]), Err(Error::TooLong));
                            for (at, byte) in bytes.iter().enumerate().rev() {
                                lease.write(at, &[*byte]).unwrap();
                            }
                            lease.commit(len);
                            model.push(bytes);
                        }
                        Err(error) => prop_assert_eq!(Err(error), expected),
                    }
                }
                Step::Abandon(len) => {
                    prop_assert_eq!(tx.reserve(len).map(|_| ()), model.expect(len));
                }
                Step::Publish => {
                    let _ = tx.publish();
                    model.publish();
                }
                Step::Recv => match model.take() {
                    Some(bytes) => {
                        if let Some(short) = bytes.len().checked_sub(1) {
                            let error = Error::BufferTooShort(bytes.len());
                            prop_assert_eq!(rx.recv(&mut buffer[..short]), Err(error));
                        }
                        let (len, _) = rx.recv(&mut buffer).unwrap();
                        prop_assert_eq!(&buffer[..len], &bytes[..]);
                    }
                    None => prop_assert_eq!(rx.recv(&mut buffer), Err(Error::Empty)),
                },
                Step::Drain(most) => {
                    for _ in 0..most {
                        let Ok(view) = rx.peek() else { break };
                        let bytes = model.take().unwrap();
                        let half = bytes.len() / 2;
                        let mut out = vec![0; bytes.len()];
                        view.read(half, &mut out[half..]).unwrap();
                        view.read(0, &mut out[..half]).unwrap();
                        prop_assert_eq!(&out, &bytes);
                        prop_assert_eq!(view.read(1, &mut out), Err(Error::TooLong));
                        view.release();
                    }
                    let _ = rx.publish();
                }
                Step::WaitData => {
                    let wait = rx.wait_begin().unwrap();
                    prop_assert_eq!(wait.ready, !model.shown.is_empty());
                    // Asleep: exactly the first message needs a doorbell.
                    if !wait.ready {
                        let waiting = !model.hidden.is_empty();
                        prop_assert_eq!(tx.publish().needed(), waiting);
                        model.publish();
                        if model.expect(0).is_ok() {
                            let bytes = model.next(0);
                            prop_assert_eq!(tx.try_send(&bytes).unwrap().needed(), !waiting);
                            model.push(bytes);
                            model.publish();
                        }
                    }
                }
                Step::WaitRoom(len, room) => {
                    let wait = tx.wait_begin(len, room);
                    match model.expect(len) {
                        Err(Error::TooLong) => prop_assert_eq!(wait, Err(Error::TooLong)),
                        expected => {
                            model.publish();
                            prop_assert_eq!(wait.unwrap().ready, expected.is_ok());
                            // Asleep: a doorbell comes when that much is free, and not before.
                            let room = (room as usize).clamp(Model::size(len), model.capacity);
                            let mut asleep = expected.is_err();
                            while asleep {
                                model.take().unwrap();
                                let (_, doorbell) = rx.recv(&mut buffer).unwrap();
                                let free = model.capacity - model.used;
                                prop_assert_eq!(doorbell.needed(), free >= room);
                                asleep = !doorbell.needed();
                            }
                        }
                    }
                }
                Step::Reopen => {
                    let _ = (tx.publish(), rx.publish());
                    model.publish();
                    tx = open(a.region(), b.region()).0;
                    rx = open(b.region(), a.region()).1;
                }
            }
        }
        let _ = tx.publish();
        model.publish();
        while let Some(bytes) = model.take() {
            let (len, _) = rx.recv(&mut buffer).unwrap();
            prop_assert_eq!(&buffer[..len], &bytes[..]);
        }
        prop_assert_eq!(rx.recv(&mut buffer), Err(Error::Empty));
        prop_assert_eq!((tx.faults(), rx.faults()), (0, 0));
    }
}

/// What a hostile peer writes between two steps: a word of its region, with values near what is plausible or any.
#[derive(Clone, Debug)]
enum Attack {
    Index(usize, u32),
    Nudge(usize, u32),
    Data(usize, u64),
}

fn attack() -> impl Strategy<Value = Attack> {
    let index = || {
        prop::sample::select(vec![
            layout::PRODUCED,
            layout::CONSUMED,
            layout::WANT_DATA,
            layout::WANT_ROOM,
        ])
    };
    let length = prop_oneof![
        0_u64..200,
        any::<u64>(),
        (0_u64..40).prop_map(|n| u64::MAX - n)
    ];
    prop_oneof![
        1 => (index(), any::<u32>()).prop_map(|(at, value)| Attack::Index(at, value)),
        3 => (index(), (0_u32..300).prop_map(|n| n.wrapping_sub(100))).prop_map(|(at, by)| Attack::Nudge(at, by)),
        4 => (any::<usize>(), length).prop_map(|(at, value)| Attack::Data(at, value)),
    ]
}

impl Attack {
    fn strike(&self, memory: &Memory, spared: Option<usize>) {
        match *self {
            Self::Index(at, _) | Self::Nudge(at, _) if Some(at) == spared => {}
            Self::Index(at, value) => memory.index(at).store(value, Relaxed),
            Self::Nudge(at, by) => {
                memory.index(at).fetch_add(by, Relaxed);
            }
            Self::Data(at, value) => memory.data[at % memory.data.len()].store(value, Relaxed),
        }
    }
}

/// One round of everything an honest end does. Whatever it is told stays within bounds.
fn honest(tx: &mut Producer<'_>, rx: &mut Consumer<'_>, len: usize) {
    let mut buffer = [0; 512];
    let faults = (tx.faults(), rx.faults());
    match rx.recv(&mut buffer) {
        Ok((got, _)) => assert!(got as u32 + 8 <= rx.capacity()),
        Err(Error::PeerCorrupt) => assert_eq!(rx.faults(), faults.1 + 1),
        Err(error) => assert!(matches!(error, Error::Empty | Error::BufferTooShort(_))),
    }
    if let Ok(view) = rx.peek() {
        let span = view.words();
        assert_eq!(span.first.len() + span.second.len(), view.len().div_ceil(8));
        view.release();
    }
    let _ = tx.try_send(&message(7, len));
    let _ = (tx.publish(), rx.publish());
    let (room, data) = (tx.wait_begin(len, 0), rx.wait_begin());
    assert!(tx.in_flight().is_ok_and(|used| used <= tx.capacity()) || tx.faults() > 0);
    assert!(rx.available().is_ok_and(|there| there <= rx.capacity()) || rx.faults() > 0);
    // A direction once closed stays closed.
    assert!(faults.0 == 0 || room.is_err());
    assert!(faults.1 == 0 || data.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    /// Anything at all in every word the peer can write, between any two rounds: in bounds, no panic, no endless loop.
    #[test]
    fn a_hostile_peer_stays_outside(
        rounds in vec((vec(attack(), 0..4), 0_usize..100), 0..60), shift in 1_u32..6, start in start(),
    ) {
        let (mine, theirs) = (Memory::new(1 << shift, start), Memory::new(1 << shift, start));
        let (mut tx, mut rx) = open(mine.region(), theirs.region());
        for (attacks, len) in rounds {
            attacks.iter().for_each(|attack| attack.strike(&theirs, None));
            honest(&mut tx, &mut rx, len);
        }
    }

    /// A peer that breaks one direction has not broken the other: here it only keeps its `CONSUMED` honest.
    #[test]
    fn the_honest_direction_is_unharmed(
        rounds in vec((vec(attack(), 0..4), 0_usize..50), 0..60), start in start(),
    ) {
        let (mine, theirs) = (Memory::new(16, start), Memory::new(16, start));
        let (mut tx, mut rx) = open(mine.region(), theirs.region());
        // The peer's receiving half is honest; what it sends is not.
        let (_, mut peer) = open(theirs.region(), mine.region());
        let mut buffer = [0; 200];
        for (attacks, len) in rounds {
            for attack in &attacks {
                attack.strike(&theirs, Some(layout::CONSUMED));
                let _ = (rx.recv(&mut buffer), rx.wait_begin());
            }
            let bytes = message(3, len);
            let _ = tx.try_send(&bytes).unwrap();
            let (got, _) = peer.recv(&mut buffer).unwrap();
            prop_assert_eq!(&buffer[..got], &bytes[..]);
        }
        prop_assert_eq!(tx.faults(), 0);
    }

    /// A span reads back what was written, at any place, length and offset, and touches nothing else.
    #[test]
    fn a_span_holds_its_bytes(at in 0_u32..64, len in 0_usize..120, from in 0_usize..120, n in 0_usize..120) {
        let memory = Memory::new(16, 0);
        memory.data.iter().for_each(|word| word.store(u64::MAX, Relaxed));
        let span = Span::new(&memory.data, at * 8, len);
        let from = from.min(len);
        let bytes = message(9, n.min(len - from));
        span.write(from, &bytes);
        let (mut whole, mut part) = (vec![0; len], vec![0; bytes.len()]);
        span.read(0, &mut whole);
        span.read(from, &mut part);
        prop_assert_eq!(&part, &bytes);
        prop_assert_eq!(&whole[from..from + bytes.len()], &bytes[..]);
        let others = whole[..from].iter().chain(&whole[from + bytes.len()..]);
        prop_assert!(others.copied().all(|byte| byte == 0xff));
        let inside = (len.div_ceil(8), at as usize % 16);
        for i in inside.0..16 {
            prop_assert_eq!(memory.data[(inside.1 + i) % 16].load(Relaxed), u64::MAX);
        }
    }
}

/// A peer that scribbles at the very same time, so that words change inside a call too.
#[test]
fn a_peer_that_never_stops_writing() {
    let (mine, theirs) = (Memory::new(16, 0), Memory::new(16, 0));
    let stop = core::sync::atomic::AtomicBool::new(false);
    let rounds = if cfg!(miri) { 60 } else { 50_000 };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seed = 1_u64;
            while !stop.load(Relaxed) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let value = (seed >> 33) as u32;
                theirs.data[value as usize % 16].store(u64::from(value >> 4 & 127), Relaxed);
                // Produced mostly advances as an honest one would; consumed jumps.
                theirs
                    .index(layout::PRODUCED)
                    .fetch_add(value >> 8 & 8, Relaxed);
                theirs
                    .index(layout::CONSUMED)
                    .store(value >> 2 & 0xf8, Relaxed);
            }
        });
        for round in 0..rounds {
            let (mut tx, mut rx) = open(mine.region(), theirs.region());
            (0..4).for_each(|_| honest(&mut tx, &mut rx, round % 90));
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn regions_have_one_shape() {
    let page: Vec<AtomicU32> = (0..128).map(|_| AtomicU32::new(0)).collect();
    assert_eq!(Indices::new(&page[..96]).unwrap_err(), Error::BadGeometry);
    let data: Vec<AtomicU64> = (0..24).map(|_| AtomicU64::new(0)).collect();
    for words in [1, 3, 24] {
        let region = Region::new(Indices::new(&page).unwrap(), &data[..words]);
        assert_eq!(region.unwrap_err(), Error::BadGeometry);
    }
}

#[test]
fn a_batch_is_one_publication() {
    let (a, b) = (Memory::new(64, 0), Memory::new(64, 0));
    let (mut tx, _) = open(a.region(), b.region());
    let (_, mut rx) = open(b.region(), a.region());
    assert!(!rx.wait_begin().unwrap().ready);
    (0..8).for_each(|n| tx.push(&[&message(n, 9)]).unwrap());
    assert_eq!(rx.available(), Ok(0));
    assert!(tx.publish().needed());
    assert!(!tx.publish().needed());
    assert_eq!(rx.available(), Ok(8 * 24));
    assert_eq!(rx.watch().load(Relaxed), 8 * 24);
}
