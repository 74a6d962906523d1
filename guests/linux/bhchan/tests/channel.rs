// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library over a function without hardware: messages both ways, by interrupt and by polling;
//! either end restarts; a peer that does not keep to the protocol.

mod common;

use bhchan::{Channel, Device, Error, Function, Interest, Sleep, Wait, registers, sleep};
use common::{Bus, soon};
use rustix::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Bytes of data in each direction: less than a test sends, so that both ends wait for room.
const BYTES: usize = 16 * 1024;
const MESSAGES: u32 = 5000;

/// Returns a message that only its number determines, of a length from 0 to 1000 bytes.
fn message(number: u32) -> Vec<u8> {
    let length = number.wrapping_mul(2_654_435_761) % 1001;
    (0..length).map(|at| (number ^ at) as u8).collect()
}

/// Sends every message back.
fn echo(mut channel: Channel<'_>) -> bhchan::Counts {
    let mut buffer = vec![0; channel.longest_received()];
    for _ in 0..MESSAGES {
        let length = channel.recv(&mut buffer, soon()).expect("a message");
        channel.send(&buffer[..length], soon()).expect("sent");
    }
    channel.counts()
}

fn exchange(near: Wait, far: Wait) -> (bhchan::Counts, bhchan::Counts) {
    let bus = Bus::new(BYTES);
    std::thread::scope(|scope| {
        let peer = scope.spawn(|| {
            let device = bus.device(1, far);
            echo(Channel::open(&device).expect("a channel"))
        });
        let device = bus.device(0, near);
        let mut channel = Channel::open(&device).expect("a channel");
        assert_eq!((channel.longest(), device.name()), (BYTES - 8, "link".to_owned()));
        let mut buffer = vec![0; channel.longest_received()];
        let (mut sent, mut received) = (0, 0);
        while received < MESSAGES {
            while sent < MESSAGES && channel.push(&[&message(sent)]).expect("pushed") {
                sent += 1;
            }
            while let Some(length) = channel.pull(&mut buffer).expect("pulled") {
                assert_eq!(&buffer[..length], message(received));
                received += 1;
            }
            channel.flush();
            if received < MESSAGES {
                let room = (sent < MESSAGES).then(|| message(sent).len());
                channel.wait(Interest { data: true, room }, soon()).expect("woken");
            }
        }
        (channel.counts(), peer.join().expect("no panic"))
    })
}

#[test]
fn messages_pass_both_ways_by_interrupt() {
    let (near, far) = exchange(Wait::Interrupt, Wait::Interrupt);
    assert!(near.interrupts > 0 && far.interrupts > 0, "{near:?} {far:?}");
    assert!(near.doorbells <= u64::from(MESSAGES), "{near:?}");
    assert_eq!((near.restarts, far.restarts), (0, 0));
}

#[test]
fn messages_pass_both_ways_by_polling() {
    let (near, far) = exchange(Wait::Poll, Wait::Poll);
    assert_eq!((near.interrupts, far.interrupts), (0, 0));
}

/// One message at a time, and both ends sleep: a doorbell that comes between a look at the ring and
/// the permission of interrupts would be lost, if the two were in that order.
#[test]
fn no_wake_up_is_lost() {
    let bus = Bus::new(4096);
    let run = |end: usize| {
        let device = bus.device(end, Wait::Interrupt);
        let mut channel = Channel::open(&device).expect("a channel");
        let mut buffer = [0; 8];
        for round in 0..100_000_u64 {
            // A wait that a lost doorbell leaves ends only by this.
            let late = Some(Instant::now() + Duration::from_secs(20));
            if end == 0 {
                channel.send(&round.to_le_bytes(), late).expect("sent");
            }
            channel.recv(&mut buffer, late).expect("woken");
            if end == 1 {
                channel.send(&buffer, late).expect("sent");
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| run(1));
        run(0);
    });
}

/// An end that polls does not ask for doorbells, and the other one is rung.
#[test]
fn an_end_that_polls_rings_one_that_sleeps() {
    let (near, far) = exchange(Wait::Poll, Wait::Interrupt);
    assert_eq!(near.interrupts, 0);
    assert!(far.interrupts > 0, "{far:?}");
}

/// A program that starts again in the same life takes the channel over: nothing is lost, nothing
/// comes twice.
#[test]
fn the_next_program_continues() {
    let bus = Bus::new(BYTES);
    let peer = bus.device(1, Wait::Interrupt);
    let mut peer = Channel::open(&peer).expect("a channel");
    let mut buffer = vec![0; BYTES];
    for number in 0..20 {
        let device = bus.device(0, Wait::Interrupt);
        let mut channel = Channel::open(&device).expect("a channel");
        // This end's word is there now, so nothing has to be waited for.
        peer.send(&message(number), soon()).expect("sent");
        assert_eq!(channel.recv(&mut buffer, soon()).expect("a message"), message(number).len());
        channel.send(&message(number), soon()).expect("sent");
    }
    for number in 0..20 {
        let length = peer.recv(&mut buffer, soon()).expect("a message");
        assert_eq!(&buffer[..length], message(number));
    }
    assert!(peer.try_recv(&mut buffer).expect("empty").is_none());
}

/// The peer's partition restarts while this end waits: the wait ends with one error, and the
/// channel works in the new life.
#[test]
fn a_restart_of_the_peer_ends_a_wait() {
    let bus = Bus::new(BYTES);
    let device = bus.device(0, Wait::Interrupt);
    let mut channel = Channel::open(&device).expect("a channel");
    let mut buffer = vec![0; BYTES];
    for life in 1..4 {
        {
            let peer = bus.device(1, Wait::Interrupt);
            let mut peer = Channel::open(&peer).expect("a channel");
            assert_eq!((peer.device().lives().own, peer.device().lives().peer), (life, 1));
            peer.send(b"here", soon()).expect("sent");
            assert_eq!(channel.recv(&mut buffer, soon()).expect("a message"), 4);
            channel.send(b"lost", soon()).expect("sent");
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(30));
                bus.restart(1);
            });
            let result = channel.recv(&mut buffer, soon());
            assert!(matches!(result, Err(Error::Restarted { lost: 1 })), "{result:?}");
        });
        assert_eq!(channel.counts().restarts, u64::from(life));
    }
}

/// Restarts of the peer in the middle of a stream that waits for room: the sender is told each
/// time, and every life receives an uninterrupted piece.
#[test]
fn a_restart_of_the_peer_in_a_stream() {
    let bus = Bus::new(4096);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let device = bus.device(0, Wait::Interrupt);
            let mut channel = Channel::open(&device).expect("a channel");
            let mut number: u32 = 0;
            while channel.counts().restarts < 5 {
                let text = [number.to_le_bytes(); 25].concat();
                match channel.send(&text, soon()) {
                    Ok(()) => number += 1,
                    Err(Error::Restarted { lost }) => assert!(lost <= 4096 / 112, "{lost}"),
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let mut last = None;
        for _ in 0..5 {
            let device = bus.device(1, Wait::Interrupt);
            let mut channel = Channel::open(&device).expect("a channel");
            let mut buffer = vec![0; 4096];
            let mut expected = None;
            for _ in 0..300 {
                assert_eq!(channel.recv(&mut buffer, soon()).expect("a message"), 100);
                let number = u32::from_le_bytes(buffer[..4].try_into().expect("four"));
                assert!(buffer[..100].chunks(4).all(|word| word == number.to_le_bytes()));
                assert!(expected.is_none_or(|expected| number == expected), "{number}");
                assert!(last.is_none_or(|last| number > last), "{number} after {last:?}");
                (expected, last) = (Some(number + 1), Some(number));
            }
            drop(device);
            bus.restart(1);
        }
        sender.join().expect("no panic");
    });
}

/// This end's own partition restarts: the peer sees it, and the new program starts at zero.
#[test]
fn a_restart_of_this_end() {
    let bus = Bus::new(BYTES);
    let peer = bus.device(1, Wait::Interrupt);
    let mut peer = Channel::open(&peer).expect("a channel");
    let mut buffer = vec![0; BYTES];
    {
        let device = bus.device(0, Wait::Interrupt);
        let mut channel = Channel::open(&device).expect("a channel");
        channel.send(b"old", soon()).expect("sent");
    }
    bus.restart(0);
    let device = bus.device(0, Wait::Interrupt);
    let mut channel = Channel::open(&device).expect("a channel");
    std::thread::scope(|scope| {
        // The two were never connected as far as the peer has seen, so it is not told.
        scope.spawn(|| assert_eq!(peer.recv(&mut buffer, soon()).expect("a message"), 7));
        channel.send(b"new one", soon()).expect("sent");
    });
    assert_eq!(&buffer[..7], b"new one");
}

#[test]
fn a_deadline_ends_a_wait() {
    let bus = Bus::new(BYTES);
    for wait in [Wait::Interrupt, Wait::Poll] {
        let device = bus.device(0, wait);
        let mut channel = Channel::open(&device).expect("a channel");
        let start = Instant::now();
        let deadline = Some(start + Duration::from_millis(250));
        let mut buffer = [0; 8];
        // Without a peer, and longer than it looks for one.
        assert!(matches!(channel.recv(&mut buffer, deadline), Err(Error::TimedOut)));
        assert!(start.elapsed() >= Duration::from_millis(250));
        assert!(matches!(channel.send(&buffer, deadline), Err(Error::TimedOut)));
    }
}

/// Another descriptor ends a sleep.
#[test]
fn another_descriptor_ends_a_sleep() {
    let bus = Bus::new(BYTES);
    for wait in [Wait::Interrupt, Wait::Poll] {
        let device = bus.device(0, wait);
        let mut channel = Channel::open(&device).expect("a channel");
        let (read, write) = std::io::pipe().expect("a pipe");
        drop(write);
        let slept = sleep(&mut [(&mut channel, Interest::DATA)], &[read.as_fd()], soon());
        assert_eq!(slept.expect("woken"), Sleep::Ready);
        assert_eq!(channel.fd().is_some(), wait == Wait::Interrupt);
    }
}

/// What a peer can write into its pages ends that direction with an error, and the other end of
/// the process survives. The peer's next life is good again.
#[test]
fn a_peer_that_breaks_the_protocol() {
    use bhchan::ring::{Error as Ring, layout};
    // Generation 1 on both sides.
    let pair = 1 << 32 | 1 << 48;
    let bus = Bus::new(BYTES);
    let device = bus.device(0, Wait::Interrupt);
    let mut channel = Channel::open(&device).expect("a channel");
    let mut buffer = vec![0; BYTES];
    let mut broken = 0;
    let too_long = BYTES as u64 + 8;
    for (index, value, length) in [
        (layout::PRODUCED, pair | 12, 0),
        (layout::PRODUCED, pair | too_long, 0),
        (layout::PRODUCED, pair | 16, u64::MAX),
        (layout::PRODUCED, pair | 16, 9),
        (layout::CONSUMED, pair | 8, 0),
        (layout::CONSUMED, pair | 1, 0),
    ] {
        let generation = u64::from(device.lives().peer);
        let lives = |value: u64| value & !(0xffff << 32) | generation << 32;
        bus.pages(1)[layout::DATA / 8].store(length, Relaxed);
        bus.pages(1)[layout::CONSUMED / 8].store(lives(pair), Relaxed);
        bus.pages(1)[index / 8].store(lives(value), Relaxed);
        let error = match index {
            layout::PRODUCED => channel.recv(&mut buffer, soon()).expect_err("broken"),
            _ => channel.send(&vec![0; BYTES - 8], soon()).expect_err("broken"),
        };
        // The second direction may have been the first to notice the restart.
        assert!(matches!(error, Error::Ring(Ring::PeerCorrupt)), "{error:?}");
        broken += 1;
        bus.restart(1);
        _ = channel.renew();
    }
    assert_eq!(broken, 6);
    let peer = bus.device(1, Wait::Interrupt);
    let mut peer = Channel::open(&peer).expect("a channel");
    peer.send(b"good", soon()).expect("sent");
    assert_eq!(channel.recv(&mut buffer, soon()).expect("a message"), 4);
}

/// Interrupts without a cause, thousands per second, only wake the end up.
#[test]
fn a_flood_of_doorbells_only_wakes() {
    let bus = Bus::new(BYTES);
    let device = bus.device(0, Wait::Interrupt);
    let mut channel = Channel::open(&device).expect("a channel");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                bus.registers(1).write(registers::DOORBELL, 0);
            }
        });
        let deadline = Some(Instant::now() + Duration::from_millis(200));
        let result = channel.recv(&mut [0; 8], deadline);
        stop.store(true, Relaxed);
        assert!(matches!(result, Err(Error::TimedOut)), "{result:?}");
    });
    assert!(channel.counts().interrupts > 2, "{:?}", channel.counts());
}

/// One process has a channel at a time.
#[test]
fn a_second_program_is_refused() {
    let bus = Bus::new(BYTES);
    let first = bus.device(0, Wait::Interrupt);
    let function = Function::named(&bus.root(0), Some("link")).expect("a function");
    let error = Device::open(function.clone(), Wait::Poll).expect_err("it is open");
    assert_eq!(error.to_string(), "0000:00:01.0: another process has this channel open");
    drop(first);
    Device::open(function, Wait::Poll).expect("it is free");
}

/// Functions that are not what EL2 shows are refused with a line, before anything is mapped.
#[test]
fn functions_that_lie_are_refused() {
    use std::os::unix::fs::FileExt;
    let open = |bus: &Bus| {
        let function = Function::named(&bus.root(0), None).expect("a function");
        Device::open(function, Wait::Poll).expect_err("malformed").to_string()
    };
    let set = |bus: &Bus, at: u64, bytes: &[u8]| {
        let config = std::fs::OpenOptions::new().write(true).open(bus.file(0, "config"));
        config.expect("a file").write_all_at(bytes, at).expect("written");
    };
    let bus = Bus::new(BYTES);
    set(&bus, 0x50, &0x4000_u32.to_le_bytes());
    assert!(open(&bus).contains("its sections do not fit a channel: state table 0x1000"));
    set(&bus, 0x50, &0xffff_f000_u32.to_le_bytes());
    assert!(open(&bus).contains("do not fit"));
    set(&bus, 0x50, &0x4001_1000_u32.to_le_bytes());
    assert!(open(&bus).contains("do not fit"));
    set(&bus, 0x50, &0x10_1000_u32.to_le_bytes());
    assert!(open(&bus).contains("resource2_wc has 65536 bytes, and 2109440 are needed"));
    set(&bus, 0x34, &[0]);
    assert!(open(&bus).contains("no vendor capability"));
    bus.registers(0).write(registers::ID, 2);
    assert!(open(&bus).contains("its number is 2, not 0 or 1"));
}

/// A user who sees only the start of configuration space finds the sizes in the copy that root's
/// `bind` has left.
#[test]
fn a_user_without_privileges_needs_root_only_once() {
    let bus = Bus::new(BYTES);
    let config = bus.file(0, "config");
    let space = std::fs::read(&config).expect("a space");
    let function = Function::named(&bus.root(0), None).expect("a function");
    std::fs::write(&config, &space[..64]).expect("written");
    let error = Device::open(function.clone(), Wait::Poll).expect_err("not seen").to_string();
    assert!(error.ends_with("only root sees its capabilities: run `bhchan bind` as root first"));
    std::fs::write(&config, &space).expect("written");
    function.bind().expect("bound");
    std::fs::write(&config, &space[..64]).expect("written");
    let device = Device::open(function, Wait::Poll).expect("a device");
    assert_eq!(device.bytes(), (BYTES, BYTES));
}

/// The memory is Normal Non-cacheable on both sides, where exclusive accesses need not work: the
/// ring's code and this crate's have none.
#[test]
fn the_ring_uses_only_loads_and_stores() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = 0;
    for folder in ["src", "../../../hyp/channel/src"] {
        for entry in std::fs::read_dir(here.join(folder)).expect("a folder").flatten() {
            let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
            files += 1;
            for word in ["compare_exchange", "compare_and_swap", "fetch_", ".swap("] {
                assert!(!text.contains(word), "{}: {word}", entry.path().display());
            }
        }
    }
    assert!(files > 10, "{files} files");
}
