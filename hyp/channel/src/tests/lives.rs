// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of ends whose partitions stop and start again.

use super::*;

const FIRST: Pair = Pair { own: 1, peer: 1 };
const SECOND: Pair = Pair { own: 1, peer: 2 };

impl Memory {
    /// Clears the pages, as EL2 does before their writer's next life.
    fn clear(&self) {
        self.page.iter().chain(&self.data).for_each(|word| word.store(0, Relaxed));
    }
}

/// Opens both ends in the lives of `near`.
fn connect<'a>(near: &'a Memory, far: &'a Memory, pair: Pair) -> [(Producer<'a>, Consumer<'a>); 2] {
    [
        super::super::open(near.region(), far.region(), pair),
        super::super::open(far.region(), near.region(), pair.swapped()),
    ]
}

#[test]
fn a_word_has_index_and_both_generations() {
    let pair = Pair { own: 0x1234, peer: 0xabcd };
    assert_eq!(pair.word(0xffff_fff8), 0xabcd_1234_ffff_fff8);
    assert_eq!(pair.index(0xabcd_1234_0000_0010), Some(0x10));
    for other in [0x1234_abcd_0000_0010, 0xabcd_1235_0000_0010, 0x10, 0xabcc_1234_0000_0010] {
        assert_eq!(pair.index(other), None, "{other:#x}");
    }
}

/// Until both ends are open nothing is received and nothing can be sent, and neither is an error of
/// the peer's.
#[test]
fn an_end_waits_for_its_peer_to_open() {
    let (a, b) = (Memory::new(16, 0), Memory::new(16, 0));
    let (mut tx, mut rx) = super::super::open(a.region(), b.region(), FIRST);
    let mut buffer = [0; 64];
    assert_eq!(rx.recv(&mut buffer), Err(Error::NotConnected));
    assert_eq!(tx.try_send(&[1]), Err(Error::NotConnected));
    assert!(!rx.wait_begin().unwrap().ready);
    assert!(!tx.wait_begin(1, 0).unwrap().ready);
    assert_eq!((rx.available(), tx.in_flight()), (Ok(0), Ok(0)));
    assert_eq!(rx.seen(), rx.watch().load(Relaxed));

    let (mut back, mut there) = super::super::open(b.region(), a.region(), FIRST);
    assert_ne!(rx.seen(), rx.watch().load(Relaxed));
    assert!(tx.try_send(&[1]).is_ok());
    assert_eq!(there.recv(&mut buffer).unwrap().0, 1);
    // This end asked for a doorbell before its peer was open.
    assert!(back.try_send(&[2, 3]).unwrap().needed());
    assert_eq!(rx.recv(&mut buffer).unwrap().0, 2);
    assert_eq!((tx.faults(), rx.faults()), (0, 0));
}

#[test]
fn last_messages_of_a_stopped_peer_are_received_until_it_starts() {
    let (a, b) = (Memory::new(16, 0), Memory::new(16, 0));
    let [(_, mut rx), (mut tx, _)] = connect(&a, &b, FIRST);
    let mut buffer = [0; 64];
    let _ = (tx.try_send(&[1]).unwrap(), tx.try_send(&[2]).unwrap());
    assert_eq!(rx.recv(&mut buffer).unwrap().0, 1);
    b.clear();
    assert_eq!(rx.recv(&mut buffer), Err(Error::NotConnected));
    assert_eq!(rx.faults(), 0);
}

/// A message whose pages are cleared while it is read is discarded, by a copy and in place.
#[test]
fn a_message_of_a_life_that_ended_is_discarded() {
    let (a, b) = (Memory::new(16, 0), Memory::new(16, 0));
    let [(_, mut rx), (mut tx, _)] = connect(&a, &b, FIRST);
    let _ = tx.try_send(&[7; 24]).unwrap();
    assert_eq!(rx.available(), Ok(32));
    let view = rx.peek().unwrap();
    b.clear();
    assert_eq!(view.release(), Err(Error::NotConnected));
    let mut buffer = [0; 64];
    assert_eq!(rx.recv(&mut buffer), Err(Error::NotConnected));
    assert!(!rx.wait_begin().unwrap().ready, "it would not sleep");
    // A length that is not there any more, or was never one, is not held against the peer.
    b.data[0].store(u64::MAX, Relaxed);
    assert_eq!(rx.recv(&mut buffer), Err(Error::NotConnected));
    assert_eq!(rx.faults(), 0);
}

#[test]
fn the_next_life_is_a_new_channel() {
    let (a, b) = (Memory::new(16, 0), Memory::new(16, 0));
    let [(mut tx, mut rx), (mut back, _)] = connect(&a, &b, FIRST);
    let mut buffer = [0; 64];
    for n in 0..4 {
        tx.push(&[&[n; 8]]).unwrap();
    }
    let _ = (tx.publish(), back.try_send(&[9]).unwrap());
    assert_eq!(tx.unconsumed(), 4);

    // The peer starts again, and opens its end before this one knows.
    b.clear();
    let (mut back, mut there) = super::super::open(b.region(), a.region(), SECOND.swapped());
    assert_eq!(there.recv(&mut buffer), Err(Error::NotConnected), "a message of the last life");
    assert_eq!(back.try_send(&[1]), Err(Error::NotConnected));
    assert_eq!(rx.recv(&mut buffer), Err(Error::NotConnected));
    assert_eq!(tx.wait_begin(24, 0).map(|wait| wait.ready), Ok(true), "room of the last life");
    tx.push(&[&[4; 24]]).unwrap();
    let _ = tx.publish();
    assert_eq!(tx.try_send(&[5; 56]), Err(Error::NotConnected));
    assert_eq!(tx.unconsumed(), 5, "the messages that are lost");

    let (mut tx, mut rx) = super::super::open(a.region(), b.region(), SECOND);
    assert_eq!(tx.unconsumed(), 0);
    assert!(!there.wait_begin().unwrap().ready);
    assert!(tx.try_send(&[6]).unwrap().needed());
    assert_eq!((there.recv(&mut buffer).unwrap().0, buffer[0]), (1, 6));
    assert!(back.try_send(&[7]).is_ok());
    assert_eq!((rx.recv(&mut buffer).unwrap().0, buffer[0]), (1, 7));
    assert_eq!((tx.faults(), rx.faults(), back.faults(), there.faults()), (0, 0, 0, 0));
}

/// A peer that broke the protocol in one life may keep it in the next.
#[test]
fn a_fault_ends_with_the_life() {
    let (a, b) = (Memory::new(16, 0), Memory::new(16, 0));
    let [(_, mut rx), _] = connect(&a, &b, FIRST);
    b.index(layout::PRODUCED).store(FIRST.swapped().word(4), Relaxed);
    assert_eq!(rx.recv(&mut [0; 8]), Err(Error::PeerCorrupt));
    b.clear();
    assert_eq!(rx.recv(&mut [0; 8]), Err(Error::PeerCorrupt));
    let [(_, mut rx), (mut tx, _)] = connect(&a, &b, SECOND);
    let _ = tx.try_send(&[1]).unwrap();
    assert_eq!(rx.recv(&mut [0; 8]).unwrap().0, 1);
}

/// A program that takes an end over in the same lives continues at its indices.
#[test]
fn the_same_lives_continue() {
    let (a, b) = (Memory::new(16, 0), Memory::new(16, 0));
    let [(mut tx, _), (_, mut there)] = connect(&a, &b, FIRST);
    let _ = tx.try_send(&[1]).unwrap();
    let (mut tx, _) = super::super::open(a.region(), b.region(), FIRST);
    let _ = tx.try_send(&[2]).unwrap();
    let mut buffer = [0; 8];
    assert_eq!((there.recv(&mut buffer).unwrap().0, buffer[0]), (1, 1));
    assert_eq!((there.recv(&mut buffer).unwrap().0, buffer[0]), (1, 2));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Both partitions stop and start in any order, and each end opens again at any time after
    /// that. Each message is received in the lives it was sent in, in order, and never twice.
    #[test]
    fn no_message_crosses_a_life(
        steps in proptest::collection::vec((0_usize..2, 0_u8..8), 0..20 * LENGTH),
    ) {
        let memories = [Memory::new(16, 0), Memory::new(16, 0)];
        let mut generations = [1_u16, 1];
        let pair = |generations: &[u16; 2], side: usize| {
            Pair { own: generations[side], peer: generations[1 - side] }
        };
        let open = |generations: &[u16; 2], side: usize| {
            let (own, peer) = (memories[side].region(), memories[1 - side].region());
            super::super::open(own, peer, pair(generations, side))
        };
        let mut known = [pair(&generations, 0), pair(&generations, 1)];
        let mut ends = [open(&generations, 0), open(&generations, 1)];
        // The next number to send, and the least that may be received, by sender.
        let (mut next, mut least) = ([0_u64; 2], [0_u64; 2]);
        for (side, step) in steps {
            match step {
                // The partition's program is gone until it opens its end again.
                0 => {
                    memories[side].clear();
                    generations[side] += 1;
                    known[side] = pair(&generations, side);
                    ends[side] = open(&generations, side);
                }
                1 if known[side] != pair(&generations, side) => {
                    known[side] = pair(&generations, side);
                    ends[side] = open(&generations, side);
                }
                2..5 => {
                    let tag = u64::from(known[side].own) << 16 | u64::from(known[side].peer);
                    let message = [next[side], tag].map(u64::to_le_bytes).concat();
                    match ends[side].0.try_send(&message) {
                        Ok(_) => next[side] += 1,
                        Err(error) => {
                            prop_assert!(matches!(error, Error::Full | Error::NotConnected));
                        }
                    }
                }
                _ => {
                    let mut buffer = [0; 16];
                    match ends[side].1.recv(&mut buffer) {
                        Ok((len, _)) => {
                            prop_assert_eq!(len, 16);
                            let (words, _) = buffer.as_chunks::<8>();
                            let number = u64::from_le_bytes(words[0]);
                            let Pair { own, peer } = known[side];
                            let tag = u64::from(peer) << 16 | u64::from(own);
                            prop_assert_eq!(u64::from_le_bytes(words[1]), tag);
                            prop_assert!((least[1 - side]..next[1 - side]).contains(&number));
                            least[1 - side] = number + 1;
                        }
                        Err(error) => {
                            prop_assert!(matches!(error, Error::Empty | Error::NotConnected));
                        }
                    }
                }
            }
        }
        for (tx, rx) in &ends {
            prop_assert_eq!((tx.faults(), rx.faults()), (0, 0));
        }
    }
}
