//! Every interleaving of ring and doorbell together: a producer, a consumer, two lines. A lost wake-up leaves a thread waiting
//! for ever, which loom reports. Run with `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-channel --release --test loom`.
#![cfg(loom)]

use bulkhead_channel::word::{AtomicU32, AtomicU64};
use bulkhead_channel::{Doorbell, Error, Indices, Region, open};
use doorbell::{End, Line, Outcome};
use loom::sync::{Arc, Notify};
use loom::thread;

/// One end: its region, and its core's line and SGI.
struct Side {
    indices: [AtomicU32; 4],
    data: Vec<AtomicU64>,
    line: Line,
    sgi: Notify,
}

impl Side {
    fn new(words: usize) -> Arc<Self> {
        Arc::new(Self {
            indices: [0; 4].map(AtomicU32::new),
            data: (0..words).map(|_| AtomicU64::new(0)).collect(),
            line: Line::default(),
            sgi: Notify::new(),
        })
    }

    fn region(&self) -> Region<'_> {
        let [produced, consumed, want_data, want_room] = &self.indices;
        let indices = Indices {
            produced,
            consumed,
            want_data,
            want_room,
        };
        Region::new(indices, &self.data).unwrap()
    }

    /// What EL2 does for a `RING` towards this side.
    fn ring(&self, end: &mut End, doorbell: Doorbell) {
        if doorbell.needed() && end.ring(&self.line, 0, || 0) == Outcome::Notify {
            self.sgi.notify();
        }
    }

    /// Sleeps until a doorbell is delivered.
    fn sleep(&self) {
        while self.line.take() == 0 {
            self.sgi.wait();
        }
    }
}

/// Sends messages 1 to `last` through a ring of `words` words, each side sleeping whenever it has nothing to do.
fn talk(words: usize, last: u8, batch: bool) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let (a, b) = (Side::new(words), Side::new(2));
        let sender = {
            let (a, b) = (a.clone(), b.clone());
            thread::spawn(move || {
                let (mut tx, _) = open(a.region(), b.region());
                let mut end = End::default();
                for n in 1..=last {
                    while let Err(error) = tx.push(&[&[n]]) {
                        assert_eq!(error, Error::Full);
                        let wait = tx.wait_begin(1, 0).unwrap();
                        b.ring(&mut end, wait.doorbell);
                        if !wait.ready {
                            a.sleep();
                        }
                    }
                    if !batch || n == last {
                        b.ring(&mut end, tx.publish());
                    }
                }
            })
        };
        let (_, mut rx) = open(b.region(), a.region());
        let mut end = End::default();
        let mut expected = 1;
        while expected <= last {
            let mut buffer = [0; 8];
            match rx.recv(&mut buffer) {
                Ok((len, doorbell)) => {
                    a.ring(&mut end, doorbell);
                    assert_eq!((len, buffer[0]), (1, expected));
                    expected += 1;
                }
                Err(Error::Empty) => {
                    let wait = rx.wait_begin().unwrap();
                    a.ring(&mut end, wait.doorbell);
                    if !wait.ready {
                        b.sleep();
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        sender.join().unwrap();
    });
}

#[test]
fn no_wake_up_for_data_is_lost() {
    talk(8, 2, false);
}

#[test]
fn no_wake_up_for_room_is_lost() {
    talk(2, 2, false);
}

#[test]
fn no_wake_up_for_a_batch_is_lost() {
    talk(8, 2, true);
}
