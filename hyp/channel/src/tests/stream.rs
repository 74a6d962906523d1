//! A simulation of both ends in time: a stream costs few doorbells, no matter which side is faster.

use super::*;

/// State of a side: at work until a time, or asleep until an alarm ([`NEVER`] without one).
#[derive(Clone, Copy, Debug)]
enum State {
    Works(u64),
    Sleeps(u64),
}

const NEVER: u64 = u64::MAX;

/// Properties of a stream. Times are in any unit.
#[derive(Clone, Copy, Debug)]
struct Stream {
    produce: u64,
    consume: u64,
    /// Time from a doorbell's call to the sleeper's first instruction.
    wake: u64,
    /// Time that the consumer waits for half a ring; then it takes what is there.
    alarm: u64,
    /// Messages before each index store of the producer.
    batch: u64,
    len: usize,
    /// 64-bit words of the ring.
    words: usize,
}

/// Returns how many doorbells both ends sent for `count` messages. Panics if both sleep for ever.
fn doorbells(stream: Stream, count: u64) -> u64 {
    let (a, b) = (Memory::new(stream.words, 0), Memory::new(2, 0));
    let (mut tx, _) = open(a.region(), b.region());
    let (_, mut rx) = open(b.region(), a.region());
    let (mut sent, mut received, mut rung) = (0, 0, 0);
    let mut states = [State::Works(0), State::Works(0)];
    let mut buffer = vec![0; stream.len];
    while received < count {
        let time = |state| match state {
            State::Works(at) | State::Sleeps(at) => at,
        };
        let side = usize::from(time(states[1]) < time(states[0]));
        let now = time(states[side]);
        assert_ne!(now, NEVER, "both sleep after {received} of {count}: {stream:?}");
        let mut ring = |doorbell: Doorbell, states: &mut [State; 2]| {
            if doorbell.needed() {
                rung += 1;
                if let State::Sleeps(_) = states[1 - side] {
                    states[1 - side] = State::Works(now + stream.wake);
                }
            }
        };
        let next = if side == 0 {
            match tx.push(&[&message(sent, stream.len)]) {
                _ if sent == count => State::Sleeps(NEVER),
                Ok(()) => {
                    sent += 1;
                    if sent % stream.batch == 0 || sent == count {
                        ring(tx.publish(), &mut states);
                    }
                    State::Works(now + stream.produce)
                }
                Err(error) => {
                    assert_eq!(error, Error::Full);
                    let wait = tx.wait_begin(stream.len, tx.capacity() / 2).unwrap();
                    ring(wait.doorbell, &mut states);
                    match wait.ready {
                        true => State::Works(now + 1),
                        false => State::Sleeps(NEVER),
                    }
                }
            }
        } else {
            match rx.peek() {
                Ok(view) => {
                    view.read(0, &mut buffer).unwrap();
                    assert_eq!(buffer, message(received, stream.len));
                    view.release().unwrap();
                    received += 1;
                    if rx.unpublished() >= rx.capacity() / 2 {
                        ring(rx.publish(), &mut states);
                    }
                    State::Works(now + stream.consume)
                }
                Err(error) => {
                    assert_eq!(error, Error::Empty);
                    let wait = rx.wait_begin_for(u32::MAX).unwrap();
                    ring(wait.doorbell, &mut states);
                    match wait.ready {
                        true => State::Works(now + 1),
                        false => State::Sleeps(now + stream.alarm),
                    }
                }
            }
        };
        states[side] = next;
    }
    rung
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// With room for 64 messages and each side asking for half, the ends send at most 1 doorbell
    /// per 20 messages, and neither sleeps for ever.
    #[test]
    fn one_doorbell_in_twenty_messages(
        produce in 1_u64..60, consume in 1_u64..60, wake in 0_u64..4000, alarm in 1_u64..40_000,
        batch in 1_u64..20, len in 0_usize..57, more in 0_u32..3,
    ) {
        let records = 64 << more;
        let words = ((8 + len.next_multiple_of(8)) * records).next_power_of_two() / 8;
        let stream = Stream { produce, consume, wake, alarm, batch, len, words };
        let count = 2000;
        // The start and the end of the stream are not part of its rate.
        let rung = doorbells(stream, count);
        prop_assert!(rung.saturating_sub(2) * 20 <= count, "{rung} doorbells for {count} messages");
    }
}

/// The bound is not met by never ringing: without alarms, only the doorbells move a stream whose
/// ends both sleep.
#[test]
fn doorbells_alone_move_a_stream() {
    let stream = Stream {
        produce: 2,
        consume: 1,
        wake: 500,
        alarm: NEVER / 2,
        batch: 1,
        len: 56,
        words: 512,
    };
    let count = 6400;
    let rung = doorbells(stream, count);
    assert!((count / 64..=count / 20).contains(&rung), "{rung} doorbells");
}
