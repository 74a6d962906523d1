//! Tests of the bytes that a guest's text may contain.

use super::super::filter::Filter;
use proptest::prelude::*;
use std::{string::String, vec::Vec};

fn filtered(bytes: &[u8]) -> Vec<u8> {
    let mut filter = Filter::default();
    bytes.iter().copied().filter(|&byte| filter.keeps(byte)).collect()
}

#[test]
fn guests_print_ascii_tabs_and_utf8() {
    for kept in ["a\tb~ ", "\u{a3}1", "\u{c7}\u{e9}", "\u{2019}\u{1f600}", "\u{105}\u{145}"] {
        assert_eq!(filtered(kept.as_bytes()), kept.as_bytes(), "{kept:?}");
    }
}

#[test]
fn guests_cannot_reach_outside_their_line() {
    for dropped in [
        "\r",
        "\n",
        "\x0b",
        "\x0c",
        "\x00",
        "\x07",
        "\x7f",
        "\x08",
        "\x0e",
        "\x1b",
        "\x1bc",
        "\x1bM",
        "\x1b(0",
        "\x1b[2J",
        "\x1b[1K",
        "\x1b[A",
        "\x1b[99D",
        "\x1b[G",
        "\x1b[1;1H",
        "\x1b[?25l",
        "\x1b[6n",
        "\x1b[!p",
        "\x1b[31m",
        "\x1b[>4m",
        "\x1b[\r",
        "\x1b\x1b[A",
        "\x1b[1\x1b[A",
    ] {
        assert_eq!(filtered(dropped.as_bytes()), b"", "{dropped:?}");
    }
    // The sequence is dropped, and the text after it is kept.
    assert_eq!(filtered(b"\x1b]0;title"), b"0;title");
    assert_eq!(filtered(b"\x1b[1;32mok\x1b[0m."), b"ok.");
    assert_eq!(filtered(b"\x9b31m\x85"), b"31m");
    // 8-bit controls: the lead byte by itself shows nothing, no matter what else is dropped before
    // the second byte.
    for text in [&b"a\xc2\x85"[..], b"a\xc2\x07\x9b", b"a\xc2\x1b[0m\x84", b"a\xc2\x80\x80"] {
        assert_eq!(filtered(text), b"a\xc2", "{text:x?}");
    }
}

proptest! {
    /// For any bytes that a guest sends, the terminal gets no control of 7 or 8 bits, and all text
    /// outside sequences.
    #[test]
    fn a_guest_stays_in_its_line(bytes in prop::collection::vec(prop_oneof![
        any::<u8>(), Just(0x1b), Just(b'['), Just(8), Just(b'm'), Just(0xc2), 0x80u8..0xa0,
        0x20u8..0x7f,
    ], 0..300)) {
        let out = filtered(&bytes);
        prop_assert!(out.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)));
        for pair in out.windows(2) {
            // Raw, or as U+0080 to U+009F.
            prop_assert!(!(0x80..0xa0).contains(&pair[1]) || (pair[0] >= 0x80 && pair[0] != 0xc2));
        }
        prop_assert!(!out.first().is_some_and(|byte| (0x80..0xa0).contains(byte)));
        prop_assert_eq!(filtered(&out), out, "once is enough");
    }

    /// Text is shown unchanged, with or without sequences and control bytes in it.
    #[test]
    fn text_survives(pieces in prop::collection::vec((
        "[ -~\t\u{a0}-\u{d7ff}\u{10000}-\u{10ffff}]{0,9}",
        "(\x1b\\[[0-9;?]{0,4}[@-~]|\x1b[0-9A-Z]|[\x00-\x08\x0b-\x1a\x7f]|)",
    ), 0..20)) {
        let (mut sent, mut text) = (String::new(), String::new());
        for (piece, dropped) in &pieces {
            sent += piece;
            sent += dropped;
            text += piece;
        }
        prop_assert_eq!(String::from_utf8(filtered(sent.as_bytes())).unwrap(), text);
    }
}
