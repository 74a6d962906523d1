//! The rate limit against its definition, and whole histories of rings, masks, takes and timers
//! against the counters.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// Factor on the length of a case: longer if Miri does not run it.
const LENGTH: usize = if cfg!(miri) { 1 } else { 20 };

#[test]
fn a_line_is_one_cache_line() {
    assert_eq!((size_of::<PendingWord>(), align_of::<PendingWord>()), (64, 64));
}

#[test]
fn burst_then_rate() {
    use Outcome::{Deferred, Notify};
    let mut bucket = Bucket::new(1000, 10, 3);
    assert_eq!([0; 3].map(|now| bucket.admit(|| now)), [Notify; 3]);
    assert_eq!(bucket.admit(|| 0), Deferred(100));
    assert_eq!(bucket.admit(|| 99), Deferred(100));
    assert_eq!(bucket.admit(|| 100), Notify);
    assert_eq!(bucket.admit(|| 100), Deferred(200));
    // Idle time fills it to the burst and no further.
    assert_eq!([10_000; 3].map(|now| bucket.admit(|| now)), [Notify; 3]);
    assert_eq!(bucket.admit(|| 10_000), Deferred(10_100));
}

#[test]
fn no_limit_admits_without_a_look_at_the_counter() {
    let mut bucket = Bucket::new(62_500_000, 0, 0);
    for _ in 0..4 {
        let outcome = bucket.admit(|| unreachable!("no limit, no time"));
        assert_eq!(outcome, Outcome::Notify);
    }
}

#[test]
fn every_outcome_and_its_count() {
    let word = PendingWord::default();
    let (mut end, counters) = (Bucket::new(1000, 10, 1), Counters::default());
    assert_eq!(end.ring(&counters, &word, 5, || 0), Outcome::Notify);
    let unread = || -> u64 { unreachable!("the counter is read for a new bit only") };
    assert_eq!(end.ring(&counters, &word, 5, unread), Outcome::Coalesced);
    assert_eq!(word.take(), 1 << 5);
    assert_eq!(end.ring(&counters, &word, 5, || 1), Outcome::Deferred(100));
    assert!(word.is_pending(5));
    assert_eq!(end.retry(&word, 5, 99), Outcome::Deferred(100));
    assert_eq!(end.retry(&word, 5, 100), Outcome::Notify);
    // It is taken with another doorbell's SGI before its own time.
    assert_eq!(word.take(), 1 << 5);
    assert_eq!(end.retry(&word, 5, 200), Outcome::Held);
    word.mask(5);
    assert_eq!(end.ring(&counters, &word, 5, || 300), Outcome::Held);
    assert_eq!((word.take(), word.unmask(5), word.unmask(5)), (0, true, false));
    let counts = [&counters.sent, &counters.coalesced, &counters.deferred].map(Counter::get);
    assert_eq!(counts, [3, 1, 1]);
}

#[test]
fn deferred_gives_all_at_the_earliest_time() {
    let mut deferred = Deferred::default();
    assert_eq!((deferred.next(), deferred.due(u64::MAX).0), (None, 0));
    assert!(deferred.defer(3, 50));
    assert!(!deferred.defer(63, 70));
    assert!(deferred.defer(0, 20));
    assert_eq!((deferred.next(), deferred.due(19).0), (Some(20), 0));
    assert!(deferred.due(20).eq([0, 3, 63]));
    assert_eq!(deferred.next(), None);
}

/// One step, on the sender's or the receiver's core.
#[derive(Clone, Debug)]
enum Step {
    Ring(u32),
    Mask(u32),
    Unmask(u32),
    Sgi,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let bit = || prop::sample::select(vec![0_u32, 1, 31, 63]);
    prop_oneof![
        4 => bit().prop_map(Step::Ring),
        1 => bit().prop_map(Step::Mask),
        1 => bit().prop_map(Step::Unmask),
        2 => Just(Step::Sgi),
        2 => (0_u64..200).prop_map(Step::Pass),
    ]
}

/// A sender with four ends, a receiver with one word.
struct World {
    word: PendingWord,
    ends: [(Bucket, Counters); 64],
    deferred: Deferred,
    sgi: bool,
    now: u64,
    rings: u64,
}

impl World {
    fn did(&mut self, bit: u32, outcome: Outcome) {
        match outcome {
            Outcome::Notify => self.sgi = true,
            Outcome::Deferred(at) => {
                assert!(at > self.now);
                self.deferred.defer(bit, at);
            }
            Outcome::Coalesced | Outcome::Held => {}
        }
    }

    fn receive(&mut self, bits: u64) {
        for bit in Handles(bits) {
            self.ends[bit as usize].1.received.count();
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Ring(bit) => {
                let now = self.now;
                let (bucket, counters) = &mut self.ends[bit as usize];
                let outcome = bucket.ring(counters, &self.word, bit, || now);
                self.rings += 1;
                self.did(bit, outcome);
            }
            Step::Mask(bit) => self.word.mask(bit),
            Step::Unmask(bit) => {
                let waited = self.word.unmask(bit);
                self.receive(u64::from(waited) << bit);
            }
            Step::Sgi => {
                if std::mem::take(&mut self.sgi) {
                    let bits = self.word.take();
                    self.receive(bits);
                }
            }
            Step::Pass(ticks) => {
                self.now += ticks;
                for bit in self.deferred.due(self.now) {
                    let outcome = self.ends[bit as usize].0.retry(&self.word, bit, self.now);
                    self.did(bit, outcome);
                }
            }
        }
    }
}

proptest! {
    /// Each doorbell sent is received once or waits, and one that waits unmasked has an SGI or a
    /// timer coming.
    #[test]
    fn nothing_is_lost_or_invented(
        steps in vec(step(), 0..10 * LENGTH), rate in 0_u32..50, burst in 0_u32..4,
    ) {
        let bucket = Bucket::new(1000, rate, burst);
        let mut world = World {
            word: PendingWord::default(),
            ends: std::array::from_fn(|_| (bucket, Counters::default())),
            deferred: Deferred::default(),
            sgi: false,
            now: 0,
            rings: 0,
        };
        let settle = [0, 1, 31, 63].map(Step::Unmask).into_iter();
        let settle = settle.chain([Step::Pass(1000), Step::Sgi]);
        for step in steps.iter().cloned().chain(settle) {
            world.step(&step);
            let waiting = |bit: u32| u64::from(world.word.is_pending(bit));
            for (bit, (_, end)) in (0..).zip(&world.ends) {
                prop_assert_eq!(end.sent.get(), end.received.get() + waiting(bit));
                let mut deferred = world.deferred;
                let covered = world.sgi || deferred.due(u64::MAX).any(|due| due == bit);
                prop_assert!(!world.word.wants_notify(bit) || covered);
            }
            let counts = world.ends.iter().map(|(_, end)| end.sent.get() + end.coalesced.get());
            let counted: u64 = counts.sum();
            prop_assert_eq!(counted, world.rings);
        }
        prop_assert_eq!((0..64).filter(|bit| world.word.is_pending(*bit)).count(), 0);
    }

    /// A window never has more doorbells than the burst plus what the rate allows; a refusal names
    /// the first tick that is admitted.
    #[test]
    fn the_limit_holds_in_every_window(
        waits in vec(0_u64..3000, 1..100),
        frequency in 1000_u64..1_000_000,
        rate in 1_u32..2000,
        burst in 1_u32..5,
    ) {
        let mut bucket = Bucket::new(frequency, rate, burst);
        let (mut now, mut admitted) = (0_u64, vec![]);
        for wait in waits {
            now += wait;
            match bucket.admit(|| now) {
                Outcome::Deferred(at) => {
                    prop_assert!(at > now);
                    prop_assert_eq!(bucket.admit(|| at - 1), Outcome::Deferred(at));
                    let mut copy = bucket;
                    prop_assert_eq!(copy.admit(|| at), Outcome::Notify);
                }
                outcome => {
                    prop_assert_eq!(outcome, Outcome::Notify);
                    admitted.push(now);
                }
            }
        }
        for (first, from) in admitted.iter().enumerate() {
            for (last, to) in admitted.iter().enumerate().skip(first) {
                let count = (last - first + 1) as u64;
                let allowed = u64::from(burst) + (to - from) * u64::from(rate) / frequency;
                prop_assert!(count <= allowed, "{} in {}..={}", count, from, to);
            }
        }
    }

    /// No numbers cause an overflow, and a refusal always names a later tick.
    #[test]
    fn the_limit_takes_any_numbers(
        frequency: u64, rate: u32, burst: u32, times in vec(any::<u64>(), 0..50),
    ) {
        let mut bucket = Bucket::new(frequency, rate, burst);
        for now in times {
            if let Outcome::Deferred(at) = bucket.admit(|| now) {
                prop_assert!(at > now);
            }
        }
    }
}
