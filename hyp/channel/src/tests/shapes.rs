//! Tests of channels without data or doorbells, of batches, and of waits for many messages.

use super::*;

#[test]
fn regions_have_one_shape() {
    let page: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
    assert_eq!(Indices::new(&page[..48]).unwrap_err(), Error::BadGeometry);
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

/// A side that sends nothing has only a page of indices. The other direction works.
#[test]
fn one_direction_is_enough() {
    let (a, b) = (Memory::new(16, 0), Memory::new(0, 0));
    let (mut tx, mut nothing) = open(a.region(), b.region());
    let (mut none, mut rx) = open(b.region(), a.region());
    assert_eq!((tx.longest(), none.longest()), (Some(120), None));
    let mut buffer = [0; 128];
    for n in 0..9 {
        assert!(!rx.wait_begin().unwrap().ready);
        assert!(tx.try_send(&message(n, 100)).unwrap().needed());
        assert_eq!(rx.recv(&mut buffer).unwrap().0, 100);
    }
    assert_eq!(nothing.recv(&mut buffer), Err(Error::Empty));
    assert!(!nothing.wait_begin().unwrap().ready);
    for len in [0, 1, usize::MAX] {
        assert_eq!(none.reserve(len).unwrap_err(), Error::TooLong);
        assert_eq!(none.wait_begin(len, 0), Err(Error::TooLong));
    }
    assert_eq!(none.in_flight(), Ok(0));
    // A peer that claims to have sent something is caught.
    b.index(layout::PRODUCED).store(8, Relaxed);
    assert_eq!(nothing.recv(&mut buffer), Err(Error::PeerCorrupt));
}

/// Ends that take no doorbells ask for none, are never rung, and see every change of the word they
/// watch.
#[test]
fn without_doorbells_nothing_is_asked_or_said() {
    let (a, b) = (Memory::new(4, 0), Memory::new(4, 0));
    let [near, far] = [&a, &b].map(|memory| memory.region().without_doorbells());
    let (mut tx, _) = open(near, far);
    let (_, mut rx) = open(far, near);
    let wishes = [layout::WANT_DATA, layout::WANT_ROOM];
    for memory in [&a, &b] {
        for at in wishes {
            memory.index(at).store(77, Relaxed);
        }
    }
    let asleep = Wait { ready: false, doorbell: Doorbell::NotNeeded };
    let mut buffer = [0; 32];
    for n in 0..9 {
        assert_eq!(rx.wait_begin(), Ok(asleep));
        assert_eq!(rx.watch().load(Relaxed), rx.seen());
        assert_eq!(tx.try_send(&message(n, 9)), Ok(Doorbell::NotNeeded));
        assert_ne!(rx.watch().load(Relaxed), rx.seen());

        assert_eq!(tx.wait_begin(9, 0), Ok(asleep));
        assert_eq!(tx.watch().load(Relaxed), tx.seen());
        assert_eq!(rx.recv(&mut buffer), Ok((9, Doorbell::NotNeeded)));
        assert_ne!(tx.watch().load(Relaxed), tx.seen());
    }
    for memory in [&a, &b] {
        assert_eq!(wishes.map(|at| memory.index(at).load(Relaxed)), [77, 77]);
    }
}

/// One end polls and the other sleeps: only the end that sleeps is rung.
#[test]
fn each_end_waits_in_its_own_way() {
    let (a, b) = (Memory::new(4, 0), Memory::new(4, 0));
    let (near, far) = (a.region(), b.region().without_doorbells());
    let (mut tx, mut back) = open(near, far);
    let (mut answer, mut rx) = open(far, near);
    assert!(!rx.wait_begin().unwrap().ready && !back.wait_begin().unwrap().ready);
    assert!(!tx.try_send(&[1]).unwrap().needed());
    assert!(answer.try_send(&[2]).unwrap().needed());
    // The producer waits for room as well: 16 of 32 bytes are taken.
    assert!(!tx.wait_begin(16, 0).unwrap().ready);
    assert!(rx.recv(&mut [0; 8]).unwrap().1.needed());
}

/// A consumer that asks for many bytes is rung once, when they are there, and no later than at half
/// of the ring.
#[test]
fn a_consumer_may_ask_for_many_messages() {
    for (bytes, rung) in [(0, 1), (8, 1), (16, 1), (17, 2), (64, 4), (256, 16), (u32::MAX, 16)] {
        let (a, b) = (Memory::new(64, 0), Memory::new(2, 0));
        let (mut tx, _) = open(a.region(), b.region());
        let (_, mut rx) = open(b.region(), a.region());
        assert!(!rx.wait_begin_for(bytes).unwrap().ready);
        let mut needed = |n| tx.try_send(&message(n, 8)).unwrap().needed();
        let rings: Vec<_> = (1..=32).filter(|&n| needed(n)).collect();
        assert_eq!(rings, [rung], "{bytes} bytes");
        // One message is reason enough not to sleep.
        assert!(rx.wait_begin_for(bytes).unwrap().ready);
    }
}

#[test]
fn room_is_given_back_when_it_is_published() {
    let (a, b) = (Memory::new(16, 0), Memory::new(2, 0));
    let (mut tx, _) = open(a.region(), b.region());
    let (_, mut rx) = open(b.region(), a.region());
    (0..5).for_each(|n| tx.push(&[&message(n, 8)]).unwrap());
    let _ = tx.publish();
    assert_eq!((rx.buffered(), rx.available(), rx.buffered()), (0, Ok(80), 80));
    (0..3).for_each(|_| rx.peek().unwrap().release().unwrap());
    assert_eq!((rx.unpublished(), rx.buffered(), tx.in_flight()), (48, 32, Ok(80)));
    let _ = rx.publish();
    assert_eq!((rx.unpublished(), tx.in_flight()), (0, Ok(32)));
}
