// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines, orders and buckets.

use super::*;
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};

fn written(nonce: u64, sequence: u32, payload: &str) -> String {
    let mut text = Text::new();
    line(&mut text, nonce, sequence, format_args!("{payload}"));
    text.as_str().to_string()
}

#[test]
fn buckets_join_without_gaps_and_are_narrow() {
    let mut next = 0;
    for index in 0..BUCKETS {
        let (low, high) = range(index);
        assert_eq!(low, next, "bucket {index}");
        assert_eq!((bucket(low), bucket(high)), (index, index));
        assert!((high - low) * 32 <= low, "bucket {index} is wide: {low} to {high}");
        next = high + 1;
    }
    assert_eq!(next, 1 << 36);
    assert_eq!(bucket(u64::MAX), BUCKETS - 1);
}

#[test]
fn a_distribution_has_what_was_recorded() {
    let mut all = Histogram::new();
    for value in [3, 3, 1000, 70] {
        all.record(value);
    }
    assert_eq!((all.count, all.min, all.max, all.sum), (4, 3, 1000, 1076));
    let found: std::vec::Vec<_> = all.buckets().collect();
    assert_eq!(found, [(3, 2), (bucket(70), 1), (bucket(1000), 1)]);
    all.clear();
    assert_eq!((all.count, all.buckets().count()), (0, 0));
}

#[test]
fn long_payloads_are_cut_and_stay_lines() {
    let long = "x".repeat(500);
    let text = written(1, 2, &long);
    assert!(text.len() < 180, "{}", text.len());
    assert_eq!(read(&text, 1), Some(Ok((2, &long[..PAYLOAD]))));
}

/// Numbers that mean the same, but are not what was written.
#[test]
fn other_ways_to_write_a_number_are_damage() {
    let text = written(1, 7, "end");
    assert_eq!(read(&text, 1), Some(Ok((7, "end"))));
    let crc = text.split(' ').nth(2).expect("its CRC").to_string();
    let upper = crc.to_uppercase();
    assert_ne!(crc, upper, "choose a line whose CRC has letters");
    let others = [("00007", "0007"), ("00007", "000007"), ("00007", "+0007"), (&*crc, &*upper)];
    for (from, to) in others {
        let other = text.replace(from, to);
        assert_eq!(read(&other, 1), Some(Err(BadLine::Form)), "{other}");
    }
    assert!(matches!(read(&written(1, 123_456, "end"), 1), Some(Ok((123_456, "end")))));
}

#[test]
fn orders_survive_only_whole() {
    for order in [Order::Run { nonce: 0xfedc_ba98_7654_3210, samples: 1000 }, Order::End] {
        let text = order.encode();
        assert_eq!(Order::decode(&format!("{}\r", text.as_str())), Some(order));
        let mut bytes = text.as_str().as_bytes().to_vec();
        for index in 0..bytes.len() {
            bytes[index] ^= 1;
            let damaged = String::from_utf8_lossy(&bytes).into_owned();
            assert_eq!(Order::decode(&damaged), None, "{damaged}");
            bytes[index] ^= 1;
        }
    }
    assert_eq!(Order::decode(""), None);
}

proptest! {
    /// A line with one other byte, or one byte less, is never taken for another line.
    #[test]
    fn no_damaged_line_counts(
        nonce: u64, sequence in 0u32..100_000, payload in "[a-z0-9=:, ]{0,150}",
        place: prop::sample::Index, flip in 1u8..128, lost: bool,
    ) {
        let whole = written(nonce, sequence, &payload);
        prop_assert_eq!(read(&whole, nonce), Some(Ok((sequence, &*payload))));
        let mut bytes = whole.into_bytes();
        let at = place.index(bytes.len());
        if lost {
            bytes.remove(at);
        } else {
            bytes[at] ^= flip;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        prop_assert!(!matches!(read(&text, nonce), Some(Ok(_))), "{}", text);
    }
}
