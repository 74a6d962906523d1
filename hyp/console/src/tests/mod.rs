//! Tests of the rings, of the lines that go through them, of what a guest cannot do to them, of the
//! registers a guest's driver uses, and of console input.

mod driver;
mod filter;
mod input;
mod lines;
mod monitor;
mod pace;
mod pl011;
mod port;

use super::*;
use crate::output::{KEPT, SLOTS};
use std::time::Instant;
use std::{boxed::Box, vec::Vec};
use zerocopy::FromZeros;

/// Returns a ring that lives as long as the test runs, as those of the shared region do.
fn ring() -> &'static Ring {
    Box::leak(Box::new(Ring::new_zeroed()))
}

/// Returns a ring of output that lives as long as the test runs.
fn output() -> &'static Output {
    Box::leak(Box::new(Output::new_zeroed()))
}

/// Most slots of a ring that a guest uses.
const ROOM: u32 = (SLOTS as u32) - KEPT;
const PROMISED: u32 = KEPT / 4;

/// Takes all that waits in a ring.
fn take(ring: &Ring) -> Vec<u8> {
    std::iter::from_fn(|| ring.pop()).collect()
}

/// Takes the next byte of a ring of output, a guest's or EL2's.
fn pop(output: &Output) -> Option<u8> {
    let byte = match output.front() {
        Front::Guest(byte) | Front::El2(byte) => byte,
        Front::Empty | Front::Unfilled => return None,
        Front::End => 0,
    };
    output.take();
    Some(byte)
}

/// Takes all that waits in a ring of output.
fn printed(output: &Output) -> Vec<u8> {
    std::iter::from_fn(|| pop(output)).collect()
}

#[test]
fn a_ring_of_input_keeps_order_and_bounds() {
    let ring = ring();
    assert_eq!(ring.pop(), None);
    for round in 0..100u32 {
        for at in 0..4096u32 {
            assert_eq!((ring.waiting(), ring.room()), (at, 4096 - at));
            assert!(ring.put((at + round) as u8));
        }
        assert!(!ring.put(b'x'));
        assert_eq!(ring.overruns(), round + 1);
        let want: Vec<u8> = (0..4096u32).map(|at| (at + round) as u8).collect();
        assert_eq!(take(ring), want);
        assert_eq!(ring.put_in(), (round + 1) * 4096);
    }
}

#[test]
fn a_ring_of_output_keeps_order_and_bounds() {
    let output = output();
    assert_eq!(output.front(), Front::Empty);
    for round in 0..100u32 {
        for at in 0..ROOM {
            assert_eq!((output.used(), output.put_in()), (at, round * 4098 + at));
            assert_eq!(output.put((at + round) as u8 | 0x80, ROOM), Some(at + 1));
        }
        assert_eq!(output.put(b'x', ROOM), None, "a guest leaves room for EL2");
        let line = [b'e'; 1022];
        assert!(output.say(&[&line, b"\r\n"]));
        assert!(!output.say(&[b"x"]), "all or nothing");
        assert_eq!(output.lines(), round * 3 + 1);
        let want: Vec<u8> = (0..ROOM).map(|at| (at + round) as u8 | 0x80).collect();
        assert_eq!(printed(output), [&want[..], &line, b"\r\n"].concat());
        assert_eq!(output.put(b'\n', 1), Some(1));
        output.end();
        assert_eq!(printed(output), b"\n\0");
    }
}

/// Lets another thread go on. If one of them has failed, the others must not wait for ever.
fn wait(start: Instant) {
    assert!(start.elapsed().as_secs() < 60, "it waits for another thread that does nothing");
    std::thread::yield_now();
}

/// When two vCPUs print at once, each one's bytes stay in order, and none is lost or repeated.
#[test]
fn a_ring_of_output_joins_several_producers() {
    let (output, start) = (output(), Instant::now());
    let total = if cfg!(miri) { 500 } else { 50_000u32 };
    std::thread::scope(|scope| {
        for producer in 0..2u8 {
            scope.spawn(move || {
                for i in 0..total {
                    let byte = producer << 7 | (i % 128) as u8;
                    while output.put(byte, 8).is_none() {
                        wait(start);
                    }
                }
            });
        }
        let mut next = [0u32; 2];
        while next != [total; 2] {
            match pop(output) {
                Some(byte) => {
                    let next = &mut next[usize::from(byte >> 7)];
                    assert_eq!(u32::from(byte & 127), *next % 128);
                    *next += 1;
                }
                None => wait(start),
            }
        }
    });
    assert_eq!(output.front(), Front::Empty);
}

#[test]
fn a_ring_of_input_works_between_threads() {
    let (ring, start) = (ring(), Instant::now());
    let total = 200_000u32;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..total {
                while ring.room() == 0 {
                    wait(start);
                }
                assert!(ring.put(i as u8));
            }
        });
        for i in 0..total {
            let byte = loop {
                match ring.pop() {
                    Some(byte) => break byte,
                    None => wait(start),
                }
            };
            assert_eq!(byte, i as u8);
        }
    });
    assert_eq!(ring.waiting(), 0);
}

/// When two vCPUs read the same PL011, each byte goes to one of them, and the ring stays
/// consistent.
#[test]
fn several_take_each_byte_once() {
    let (ring, start) = (ring(), Instant::now());
    let counts: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = Vec::new();
                    while seen.last() != Some(&255) {
                        match ring.pop() {
                            Some(byte) => seen.push(byte),
                            None => wait(start),
                        }
                    }
                    seen
                })
            })
            .collect();
        for i in 0..20_000u32 {
            while ring.room() == 0 {
                wait(start);
            }
            assert!(ring.put((i % 255) as u8));
        }
        for _ in 0..2 {
            while ring.room() == 0 {
                wait(start);
            }
            assert!(ring.put(255));
        }
        readers.into_iter().map(|r| r.join().unwrap()).collect()
    });
    let mut seen = [0; 256];
    counts.concat().iter().for_each(|&b| seen[usize::from(b)] += 1);
    for (byte, &count) in seen.iter().enumerate().take(255) {
        assert_eq!(count, (20_000 + 254 - byte) / 255, "{byte}");
    }
    assert_eq!(ring.waiting(), 0);
}
