// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the virtual GIC relies on wherever two cores meet: of two cores that each change one word
//! and then read the other's, at least one sees the other's change. Each test fails without the
//! barrier in the function that it names. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-vgic --release --test races`.
#![cfg(loom)]

use core::default::Default as Zeroed;
use loom::sync::Arc;
use loom::sync::atomic::{self, AtomicU8, Ordering::Relaxed};

/// The file under test, which is private to the crate.
#[allow(dead_code, reason = "the tests use only what changes a word")]
#[path = "../src/words.rs"]
mod words;

use words::Shared;

/// Bits that are set in the word under test from the start, so that they can be cleared.
const OLD: u32 = 2;

/// Lets one core do `change` to a word and then read a second one, while another core sets a bit in
/// the second word and then reads the first: it must not keep its value `OLD` for that core if the
/// first core saw no change either.
fn one_sees_the_other(change: fn(&Shared)) {
    loom::model(move || {
        let words = Arc::new([Shared::default(), Shared::default()]);
        words[0].fast_set(OLD);
        let other = {
            let words = Arc::clone(&words);
            loom::thread::spawn(move || {
                words[1].fast_set(1);
                words[0].get() != OLD
            })
        };
        change(&words[0]);
        let seen_here = words[1].get() != 0;
        let seen_there = other.join().unwrap();
        assert!(seen_here || seen_there, "neither core sees the other's change");
    });
}

#[test]
fn fast_set_is_ordered_before_a_read() {
    one_sees_the_other(|word| {
        word.fast_set(1);
    });
}

#[test]
fn fast_clear_is_ordered_before_a_read() {
    one_sees_the_other(|word| {
        word.fast_clear(OLD);
    });
}

#[test]
fn swap_is_ordered_before_a_read() {
    one_sees_the_other(|word| {
        word.swap(1);
    });
}

/// The same for the byte that names the vCPU that holds an SPI, whether it was free or not.
#[test]
fn exchange_is_ordered_before_a_read() {
    loom::model(|| {
        let shared = Arc::new((AtomicU8::new(0), Shared::default()));
        let other = {
            let shared = Arc::clone(&shared);
            loom::thread::spawn(move || {
                shared.1.fast_set(1);
                shared.0.load(Relaxed) != 0
            })
        };
        assert_eq!(words::exchange(&shared.0, 0, 1), Ok(0));
        let seen_here = shared.1.get() != 0;
        let seen_there = other.join().unwrap();
        assert!(seen_here || seen_there, "neither core sees the other's change");
    });
}
