//! The ring is a queue under any operations in any order.

use super::*;
use proptest::collection::vec;
use std::collections::VecDeque;

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

/// The ring's reference: queues of what is written and what is published.
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
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The ring's bytes, order, room and emptiness are exactly a queue's, across every wrap of the
    /// data and of the indices.
    #[test]
    fn it_is_a_queue(steps in vec(step(), 0..10 * LENGTH), shift in 1_u32..7, start in start()) {
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
                        view.release().unwrap();
                    }
                    let _ = rx.publish();
                }
                Step::WaitData => {
                    let wait = rx.wait_begin().unwrap();
                    prop_assert_eq!(wait.ready, !model.shown.is_empty());
                    // The consumer sleeps: exactly the first message needs a doorbell.
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
                            // The producer sleeps: a doorbell comes when that much is free, and not
                            // before.
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
