//! Tests against a peer that writes anything, anywhere it can, at every moment.

use super::*;
use proptest::collection::vec;

/// What a hostile peer writes between two steps: a word of its region, with a plausible or an
/// arbitrary value.
#[derive(Clone, Debug)]
enum Attack {
    Index(usize, u32),
    Life(usize, u32),
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
    let length = prop_oneof![0_u64..200, any::<u64>(), (0_u64..40).prop_map(|n| u64::MAX - n)];
    let nudge = (0_u32..300).prop_map(|n| n.wrapping_sub(100));
    prop_oneof![
        1 => (index(), any::<u32>()).prop_map(|(at, value)| Attack::Index(at, value)),
        1 => (index(), any::<u32>()).prop_map(|(at, tag)| Attack::Life(at, tag)),
        3 => (index(), nudge).prop_map(|(at, by)| Attack::Nudge(at, by)),
        4 => (any::<usize>(), length).prop_map(|(at, value)| Attack::Data(at, value)),
    ]
}

impl Attack {
    fn strike(&self, memory: &Memory, spared: Option<usize>) {
        match *self {
            Self::Index(at, _) | Self::Life(at, _) | Self::Nudge(at, _) if Some(at) == spared => {}
            Self::Index(at, value) => memory.index(at).store(value.into(), Relaxed),
            Self::Life(at, tag) => memory.index(at).store(u64::from(tag) << 32, Relaxed),
            Self::Nudge(at, by) => {
                let index = memory.index(at);
                let value = index.load(Relaxed) as u32;
                index.store(value.wrapping_add(by).into(), Relaxed);
            }
            Self::Data(at, value) => memory.data[at % memory.data.len()].store(value, Relaxed),
        }
    }
}

/// Bytes of records that an honest end sent and received, by its own count.
#[derive(Default)]
struct Counts {
    sent: u32,
    received: u32,
}

impl Counts {
    fn record(len: usize) -> u32 {
        8 + len.next_multiple_of(8) as u32
    }

    /// Checks that the end's indices, which began at `start`, count what it did, independent of
    /// what the peer wrote meanwhile.
    fn check(&self, own: &Memory, start: u32) {
        let index = |at| (own.index(at).load(Relaxed) as u32).wrapping_sub(start);
        assert_eq!(index(layout::PRODUCED), self.sent);
        assert_eq!(index(layout::CONSUMED), self.received);
    }
}

/// Does one round of everything an honest end does. All results stay within bounds.
fn honest(tx: &mut Producer<'_>, rx: &mut Consumer<'_>, len: usize, counts: &mut Counts) {
    let mut buffer = [0; 512];
    let faults = (tx.faults(), rx.faults());
    match rx.recv(&mut buffer) {
        Ok((got, _)) => {
            assert!(got as u32 + 8 <= rx.capacity());
            counts.received = counts.received.wrapping_add(Counts::record(got));
        }
        Err(Error::PeerCorrupt) => assert_eq!(rx.faults(), faults.1 + 1),
        Err(error) => {
            let others = [Error::Empty, Error::NotConnected];
            assert!(others.contains(&error) || matches!(error, Error::BufferTooShort(_)));
        }
    }
    if let Ok(view) = rx.peek() {
        let span = view.words();
        assert_eq!(span.first.len() + span.second.len(), view.len().div_ceil(8));
        counts.received = counts.received.wrapping_add(Counts::record(view.len()));
        view.release().unwrap();
    }
    if tx.try_send(&message(7, len)).is_ok() {
        counts.sent = counts.sent.wrapping_add(Counts::record(len));
    }
    let _ = (tx.publish(), rx.publish());
    let (room, data) = (tx.wait_begin(len, 0), rx.wait_begin());
    assert!(tx.in_flight().is_ok_and(|used| used <= tx.capacity()) || tx.faults() > 0);
    assert!(rx.available().is_ok_and(|there| there <= rx.capacity()) || rx.faults() > 0);
    // A closed direction stays closed.
    assert!(faults.0 == 0 || room.is_err());
    assert!(faults.1 == 0 || data.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The peer writes any value to any word it can, between any two rounds, and each side waits in
    /// any way. The end stays in bounds, does not panic or loop for ever, and counts correctly.
    #[test]
    fn a_hostile_peer_stays_outside(
        rounds in vec((vec(attack(), 0..4), 0_usize..100), 0..3 * LENGTH),
        shift in 1_u32..6,
        start in start(),
        doorbells in any::<[bool; 2]>(),
    ) {
        let (mine, theirs) = (Memory::new(1 << shift, start), Memory::new(1 << shift, start));
        let mut regions = [mine.region(), theirs.region()];
        for (region, doorbells) in regions.iter_mut().zip(doorbells) {
            if !doorbells {
                *region = region.without_doorbells();
            }
        }
        let (mut tx, mut rx) = open(regions[0], regions[1]);
        let mut counts = Counts::default();
        for (attacks, len) in rounds {
            attacks.iter().for_each(|attack| attack.strike(&theirs, None));
            honest(&mut tx, &mut rx, len, &mut counts);
            counts.check(&mine, start);
        }
    }

    /// The peer writes noise to every word of its region, the index page included, before every
    /// round.
    #[test]
    fn noise_everywhere_stays_outside(
        seed in any::<u64>(), rounds in 1..=LENGTH, start in start(),
    ) {
        let (mine, theirs) = (Memory::new(16, start), Memory::new(16, start));
        let (mut tx, mut rx) = open(mine.region(), theirs.region());
        let (mut counts, mut seed) = (Counts::default(), seed);
        let mut next = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Most numbers are small, since small ones may pass a check.
            seed >> 32 >> (seed >> 58)
        };
        for round in 0..rounds {
            for word in &theirs.page {
                word.store((next() as u32).wrapping_add(start).into(), Relaxed);
            }
            theirs.data.iter().for_each(|word| word.store(next(), Relaxed));
            honest(&mut tx, &mut rx, round * 7, &mut counts);
            counts.check(&mine, start);
        }
    }

    /// A peer that breaks one direction does not break the other: here only its `CONSUMED` is
    /// honest.
    #[test]
    fn the_honest_direction_is_unharmed(
        rounds in vec((vec(attack(), 0..4), 0_usize..50), 0..3 * LENGTH), start in start(),
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

    /// A span reads back what was written, at any place, length and offset, and touches nothing
    /// else.
    #[test]
    fn a_span_holds_its_bytes(
        at in 0_u32..64, len in 0_usize..120, from in 0_usize..120, n in 0_usize..120,
    ) {
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

/// Ends the other thread, also when this one panics: the scope waits for both.
struct Stop<'a>(&'a core::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The peer writes concurrently, so that words change inside a call too.
#[test]
fn a_peer_that_never_stops_writing() {
    let (mine, theirs) = (Memory::new(16, 0), Memory::new(16, 0));
    let stop = core::sync::atomic::AtomicBool::new(false);
    let rounds = if cfg!(miri) { 10 } else { 50_000 };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seed = 1_u64;
            while !stop.load(Relaxed) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let value = (seed >> 33) as u32;
                theirs.data[value as usize % 16].store(u64::from(value >> 4 & 127), Relaxed);
                // Produced mostly advances as an honest one would; consumed jumps.
                theirs.index(layout::PRODUCED).fetch_add((value >> 8 & 8).into(), Relaxed);
                theirs.index(layout::CONSUMED).store((value >> 2 & 0xf8).into(), Relaxed);
            }
        });
        let _stop = Stop(&stop);
        let mut counts = Counts::default();
        for round in 0..rounds {
            let (mut tx, mut rx) = open(mine.region(), theirs.region());
            (0..4).for_each(|_| honest(&mut tx, &mut rx, round % 90, &mut counts));
            counts.check(&mine, 0);
        }
    });
}
