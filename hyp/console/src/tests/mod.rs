//! The rings, the lines that go through them, what a guest cannot do to them, the registers a guest's driver uses, and
//! what becomes of what is typed.

mod filter;
mod input;
mod lines;
mod pl011;

use super::*;
use std::{boxed::Box, vec::Vec};
use zerocopy::FromZeros;

/// A ring for as long as the test runs, as the shared region's are.
fn ring() -> &'static Ring {
    Box::leak(Box::new(Ring::new_zeroed()))
}

/// All that waits in a ring.
fn take(ring: &Ring) -> Vec<u8> {
    std::iter::from_fn(|| ring.pop()).collect()
}

#[test]
fn a_ring_keeps_order_and_bounds() {
    let ring = ring();
    assert_eq!(ring.pop(), None);
    for round in 0..100u32 {
        let (one, two) = ([round as u8; 1500], [1; 1000]);
        assert!(ring.put(&[&one, &two]));
        assert_eq!((ring.waiting(), ring.room()), (2500, 1596));
        assert!(!ring.put(&[&one, &two[..97]]), "all or nothing");
        assert!(ring.put(&[&one, &two[..96]]));
        assert_eq!(ring.room(), 0);
        assert!(!ring.put(&[b"x"]));
        assert_eq!(take(ring), [&one[..], &two, &one, &two[..96]].concat());
        assert_eq!(ring.put_in(), (round + 1) * 4096);
    }
}

#[test]
fn a_ring_works_between_threads() {
    let ring = ring();
    let total = 200_000u32;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..total / 2 {
                while !ring.put(&[&[(2 * i) as u8], &[(2 * i + 1) as u8]]) {
                    std::thread::yield_now();
                }
            }
        });
        for i in 0..total {
            let byte = loop {
                match ring.pop() {
                    Some(byte) => break byte,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(byte, i as u8);
        }
    });
    assert_eq!(ring.waiting(), 0);
}

/// Two vCPUs that read the same PL011: each byte goes to one of them, and the ring stays whole.
#[test]
fn several_take_each_byte_once() {
    let ring = ring();
    let counts: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = Vec::new();
                    while seen.last() != Some(&255) {
                        match ring.pop() {
                            Some(byte) => seen.push(byte),
                            None => std::thread::yield_now(),
                        }
                    }
                    seen
                })
            })
            .collect();
        for i in 0..20_000u32 {
            while !ring.put(&[&[(i % 255) as u8]]) {
                std::thread::yield_now();
            }
        }
        assert!(ring.put(&[&[255, 255]]));
        readers.into_iter().map(|r| r.join().unwrap()).collect()
    });
    let mut seen = [0; 256];
    counts
        .concat()
        .iter()
        .for_each(|&b| seen[usize::from(b)] += 1);
    for (byte, &count) in seen.iter().enumerate().take(255) {
        assert_eq!(count, (20_000 + 254 - byte) / 255, "{byte}");
    }
    assert_eq!(ring.waiting(), 0);
}
