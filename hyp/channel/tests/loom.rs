//! Every interleaving of ring and doorbell together, for every way of waiting: a producer, a
//! consumer, two pending words. A lost wake-up leaves a thread waiting for ever, which loom
//! reports. Run with `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-channel --release --test loom`.
#![cfg(loom)]

use bulkhead_channel::word::AtomicU64;
use bulkhead_channel::{Consumer, Doorbell, Error, Indices, Pair, Producer, Region, Wait};
use doorbell::{Bucket, Counters, Outcome, PendingWord};
use loom::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, SeqCst},
    fence,
};
use loom::sync::{Arc, Notify};
use loom::thread;

/// How a side waits.
#[derive(Clone, Copy, PartialEq)]
enum How {
    Doorbell,
    Wfe,
    Poll,
}

/// One end: its region, and its core's word and SGI.
struct Side {
    how: How,
    indices: [AtomicU64; 4],
    data: Vec<AtomicU64>,
    word: PendingWord,
    sgi: Notify,
    /// The core's exclusive monitor, and the event that the peer's store to a marked word causes.
    marked: AtomicBool,
    event: Notify,
}

impl Side {
    fn new(words: usize, how: How) -> Arc<Self> {
        Arc::new(Self {
            how,
            indices: [0; 4].map(AtomicU64::new),
            data: (0..words).map(|_| AtomicU64::new(0)).collect(),
            word: PendingWord::default(),
            sgi: Notify::new(),
            marked: AtomicBool::new(false),
            event: Notify::new(),
        })
    }

    fn region(&self) -> Region<'_> {
        let [produced, consumed, want_data, want_room] = &self.indices;
        let indices = Indices { produced, consumed, want_data, want_room };
        let region = Region::new(indices, &self.data).unwrap();
        match self.how {
            How::Doorbell => region,
            How::Wfe | How::Poll => region.without_doorbells(),
        }
    }

    /// Does what follows a publication towards this side: the `RING` that was asked for, or the
    /// event that the store causes.
    ///
    /// On hardware the store itself is the event; here it comes a little later, which costs at most
    /// one wake-up.
    fn published(&self, end: &mut Bucket, doorbell: Doorbell) {
        match self.how {
            How::Doorbell => {
                let counters = Counters::default();
                let mut ring = || end.ring(&counters, &self.word, 0, || 0);
                if doorbell.needed() && ring() == Outcome::Notify {
                    self.sgi.notify();
                }
            }
            How::Wfe => {
                fence(SeqCst);
                if self.marked.swap(false, SeqCst) {
                    self.event.notify();
                }
            }
            How::Poll => {}
        }
        assert!(self.how == How::Doorbell || !doorbell.needed());
    }

    /// Waits once, in this side's way, for `word` to differ from `seen`.
    fn nap(&self, word: &AtomicU64, seen: u64) {
        match self.how {
            How::Doorbell => {
                while self.word.take() == 0 {
                    self.sgi.wait();
                }
            }
            How::Wfe => {
                // This is a swap, since loom orders read-modify-writes of one word, but not plain
                // stores.
                self.marked.swap(true, SeqCst);
                fence(SeqCst);
                if word.load(Acquire) == seen {
                    self.event.wait();
                }
            }
            How::Poll => thread::yield_now(),
        }
    }
}

/// Opens an end whose two partitions never restart.
fn open<'a>(own: Region<'a>, peer: Region<'a>) -> (Producer<'a>, Consumer<'a>) {
    bulkhead_channel::open(own, peer, Pair::default())
}

/// Sends messages 1 to `last` through a ring of `words` words, each side waiting whenever it has
/// nothing to do.
fn talk(words: usize, last: u8, batch: bool, hows: [How; 2]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let (a, b) = (Side::new(words, hows[0]), Side::new(2, hows[1]));
        let sender = {
            let (a, b) = (a.clone(), b.clone());
            thread::spawn(move || {
                let (mut tx, _) = open(a.region(), b.region());
                let mut end = Bucket::default();
                for n in 1..=last {
                    while let Err(error) = tx.push(&[&[n]]) {
                        assert_eq!(error, Error::Full);
                        let Wait { ready, doorbell } = tx.wait_begin(1, 0).unwrap();
                        b.published(&mut end, doorbell);
                        if !ready {
                            a.nap(tx.watch(), tx.seen());
                        }
                    }
                    if !batch || n == last {
                        let doorbell = tx.publish();
                        b.published(&mut end, doorbell);
                    }
                }
            })
        };
        let (_, mut rx) = open(b.region(), a.region());
        let mut end = Bucket::default();
        let mut expected = 1;
        while expected <= last {
            let mut buffer = [0; 8];
            match rx.recv(&mut buffer) {
                Ok((len, doorbell)) => {
                    a.published(&mut end, doorbell);
                    assert_eq!((len, buffer[0]), (1, expected));
                    expected += 1;
                }
                Err(Error::Empty) => {
                    let Wait { ready, doorbell } = rx.wait_begin().unwrap();
                    a.published(&mut end, doorbell);
                    if !ready {
                        b.nap(rx.watch(), rx.seen());
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        sender.join().unwrap();
    });
}

/// Tests a ring with room for all, where only the consumer waits; a ring that holds one message,
/// where both wait; and a batch.
fn all_shapes(hows: [How; 2]) {
    talk(8, 2, false, hows);
    talk(2, 2, false, hows);
    talk(8, 2, true, hows);
}

#[test]
fn no_wake_up_by_doorbell_is_lost() {
    all_shapes([How::Doorbell, How::Doorbell]);
}

#[test]
fn no_wake_up_by_event_is_lost() {
    all_shapes([How::Wfe, How::Wfe]);
}

#[test]
fn polling_sees_everything() {
    all_shapes([How::Poll, How::Poll]);
}

#[test]
fn ends_may_wait_in_different_ways() {
    for hows in [
        [How::Doorbell, How::Wfe],
        [How::Wfe, How::Doorbell],
        [How::Poll, How::Doorbell],
        [How::Doorbell, How::Poll],
    ] {
        talk(2, 2, false, hows);
    }
}

/// A peer stores what the protocol does not allow, between any two accesses of an honest end. The
/// end stays within bounds, and its own indices count what it did.
#[test]
fn a_hostile_peer_at_every_moment() {
    for (produced, length, consumed) in
        [(16, 8, 16), (32, u64::MAX, 8), (12, 24, 4), (u64::from(u32::MAX) - 7, 0, 24)]
    {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let (mine, theirs) = (Side::new(4, How::Doorbell), Side::new(4, How::Doorbell));
            let peer = {
                let theirs = theirs.clone();
                thread::spawn(move || {
                    let [their_produced, their_consumed, want_data, want_room] = &theirs.indices;
                    theirs.data[0].store(length, Relaxed);
                    their_produced.store(produced, Relaxed);
                    their_consumed.store(consumed, Relaxed);
                    theirs.data[0].store(!length, Relaxed);
                    want_data.store(consumed, Relaxed);
                    want_room.store(produced, Relaxed);
                    their_produced.store(!produced & u64::from(u32::MAX), Relaxed);
                })
            };
            let (mut tx, mut rx) = open(mine.region(), theirs.region());
            let (mut sent, mut received) = (0, 0);
            let mut buffer = [0; 24];
            for _ in 0..2 {
                if let Ok((len, _)) = rx.recv(&mut buffer) {
                    assert!(len <= 24);
                    received += 8 + len.next_multiple_of(8) as u64;
                }
                if tx.try_send(&[1; 16]).is_ok() {
                    sent += 24;
                }
            }
            let [produced, consumed, ..] = &mine.indices;
            assert_eq!(produced.load(Relaxed), sent);
            assert_eq!(consumed.load(Relaxed), received);
            peer.join().unwrap();
        });
    }
}

/// The generation of a partition that restarts, as EL2 counts it.
#[derive(Default)]
struct Life(loom::sync::atomic::AtomicU32);

impl Life {
    fn pair(&self) -> Pair {
        Pair { own: 1, peer: self.0.load(Acquire) as u16 }
    }
}

impl Side {
    /// Does what an end does that has opened a channel with this one: it rings, since this end may
    /// wait for room that the open end has.
    fn opened(&self, end: &mut Bucket) {
        let is_rung = self.how == How::Doorbell;
        self.published(end, if is_rung { Doorbell::Needed } else { Doorbell::NotNeeded });
    }

    /// Does what EL2 does between two lives of this side's partition: clears the indices, then the
    /// data, counts the start, and rings the peer.
    fn restart(&self, life: &Life, peer: &Side, end: &mut Bucket) {
        for index in &self.indices {
            index.swap(0, SeqCst);
        }
        // The barrier between the two.
        fence(SeqCst);
        peer.published(end, Doorbell::NotNeeded);
        for word in &self.data {
            word.store(0, Relaxed);
        }
        life.0.fetch_add(1, SeqCst);
        peer.opened(end);
    }
}

/// A sender is restarted at any moment of a receive and of a wait. The receiver gets no message of
/// a life that it does not know of, gets those of the last life, and never sleeps for ever.
fn restart_sender(how: How) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let (a, b) = (Side::new(2, how), Side::new(2, how));
        let life = Arc::new(Life::default());
        life.0.store(1, Relaxed);
        let sender = {
            let (a, b, life) = (a.clone(), b.clone(), life.clone());
            thread::spawn(move || {
                let mut end = Bucket::default();
                let pair = Pair { own: 1, peer: 1 };
                let (mut tx, _) = bulkhead_channel::open(a.region(), b.region(), pair);
                b.opened(&mut end);
                // The first life sends if its peer is open by then.
                if let Ok(doorbell) = tx.try_send(&[1]) {
                    b.published(&mut end, doorbell);
                }
                a.restart(&life, &b, &mut end);
                let pair = Pair { own: 2, peer: 1 };
                let (mut tx, _) = bulkhead_channel::open(a.region(), b.region(), pair);
                b.opened(&mut end);
                loop {
                    match tx.try_send(&[2]) {
                        Ok(doorbell) => break b.published(&mut end, doorbell),
                        Err(error) => assert_eq!(error, Error::NotConnected),
                    }
                    if !tx.wait_begin(1, 0).unwrap().ready {
                        a.nap(tx.watch(), tx.seen());
                    }
                }
            })
        };
        let mut end = Bucket::default();
        let mut pair = life.pair();
        let (_, mut rx) = bulkhead_channel::open(b.region(), a.region(), pair);
        a.opened(&mut end);
        loop {
            let mut buffer = [0; 8];
            match rx.recv(&mut buffer) {
                Ok((len, _)) => {
                    assert_eq!((len, u16::from(buffer[0])), (1, pair.peer));
                    if pair.peer == 2 {
                        break;
                    }
                }
                Err(Error::Empty | Error::NotConnected) => {
                    if life.pair() != pair {
                        pair = life.pair();
                        rx = bulkhead_channel::open(b.region(), a.region(), pair).1;
                        a.opened(&mut end);
                    }
                    let Wait { ready, .. } = rx.wait_begin().unwrap();
                    if !ready && life.pair() == pair {
                        b.nap(rx.watch(), rx.seen());
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(rx.faults(), 0);
        sender.join().unwrap();
    });
}

#[test]
fn a_sender_restarts_at_every_moment() {
    for how in [How::Doorbell, How::Wfe, How::Poll] {
        restart_sender(how);
    }
}

/// A receiver is restarted at any moment of a send and of a wait for room. The sender's messages
/// after it knows of the new life arrive there, and none before.
fn restart_receiver(how: How) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let (a, b) = (Side::new(2, how), Side::new(2, how));
        let life = Arc::new(Life::default());
        life.0.store(1, Relaxed);
        let receiver = {
            let (a, b, life) = (a.clone(), b.clone(), life.clone());
            thread::spawn(move || {
                let mut end = Bucket::default();
                let pair = Pair { own: 1, peer: 1 };
                let (_, mut rx) = bulkhead_channel::open(b.region(), a.region(), pair);
                let mut buffer = [0; 8];
                if let Ok((_, doorbell)) = rx.recv(&mut buffer) {
                    assert_eq!(buffer[0], 1);
                    a.published(&mut end, doorbell);
                }
                b.restart(&life, &a, &mut end);
                let pair = Pair { own: 2, peer: 1 };
                let (_, mut rx) = bulkhead_channel::open(b.region(), a.region(), pair);
                a.opened(&mut end);
                loop {
                    match rx.recv(&mut buffer) {
                        Ok(_) => break assert_eq!(buffer[0], 2),
                        Err(error) => assert!(matches!(error, Error::Empty | Error::NotConnected)),
                    }
                    if !rx.wait_begin().unwrap().ready {
                        b.nap(rx.watch(), rx.seen());
                    }
                }
            })
        };
        let mut pair = life.pair();
        let (mut tx, _) = bulkhead_channel::open(a.region(), b.region(), pair);
        let mut end = Bucket::default();
        loop {
            match tx.try_send(&[pair.peer as u8]) {
                Ok(doorbell) => {
                    b.published(&mut end, doorbell);
                    if pair.peer == 2 {
                        break;
                    }
                }
                Err(Error::Full | Error::NotConnected) => {
                    if life.pair() != pair {
                        pair = life.pair();
                        tx = bulkhead_channel::open(a.region(), b.region(), pair).0;
                        b.opened(&mut end);
                    }
                    let Wait { ready, .. } = tx.wait_begin(1, 0).unwrap();
                    if !ready && life.pair() == pair {
                        a.nap(tx.watch(), tx.seen());
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        receiver.join().unwrap();
    });
}

#[test]
fn a_receiver_restarts_at_every_moment() {
    for how in [How::Doorbell, How::Wfe, How::Poll] {
        restart_receiver(how);
    }
}
