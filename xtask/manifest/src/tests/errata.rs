// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boards of silicon admit only revisions of which every erratum is dealt with.

use super::support::root;
use crate::board;
use crate::errata::{table, unhandled};

/// The page with the table, and the lines around it.
const PAGE: &str = "docs/silicon.md";
const BEGIN: &str =
    "<!-- errata: written by `BLESS=1 cargo test -p bulkhead-manifest errata` -->\n\n";
const END: &str = "\n<!-- end -->";

#[test]
fn revisions_are_admitted_by_their_errata() {
    let any = 0xff0f_fff0;
    // The Raspberry Pi 4's core has nothing left, with and without firmware.
    for firmware in [true, false] {
        assert_eq!(unhandled(any, 0x410f_d080, firmware), [""; 0]);
    }
    let a57 = unhandled(any, 0x410f_d070, true);
    assert_eq!(a57.len(), 2, "{a57:?}");
    assert!(a57[0].starts_with("Cortex-A57 r0p0: erratum 832075 ("), "{a57:?}");
    assert!(a57[1].contains("erratum 834220 ("), "{a57:?}");
    // Both are corrected in r1p3, where only firmware can correct a third.
    assert_eq!(unhandled(0xffff_ffff, 0x411f_d073, true), [""; 0]);
    assert_eq!(unhandled(0xffff_ffff, 0x411f_d072, true).len(), 2);
    let bare = unhandled(0xffff_ffff, 0x411f_d073, false);
    assert_eq!(bare.len(), 1, "{bare:?}");
    assert!(bare[0].contains("859972") && bare[0].ends_with("this board has none"), "{bare:?}");
    assert!(unhandled(any, 0x410f_d030, true)[0].contains("835769"));
    assert_eq!(unhandled(any, 0x410f_d0b0, true), ["no errata are listed for MIDR_EL1 0x410fd0b0"]);
}

#[test]
fn a_board_of_silicon_is_refused_if_an_erratum_is_left() {
    let text = std::fs::read_to_string(root().join("boards/rpi4/board.toml")).expect("a board");
    assert!(text.contains("\nsilicon = true"));
    board::read("rpi4", &text).expect("nothing is left");
    let other = text.replacen("value = 0x410f_d080", "value = 0x410f_d070", 1);
    let error = board::read("rpi4", &other).expect_err("a Cortex-A57").to_string();
    for part in [
        "core-type `cortex-a72`: Cortex-A57 r0p0: erratum ",
        "narrow `mask` and `value` to revisions without it",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let emulated = other.replacen("silicon = true", "silicon = false", 1);
    let board = board::read("rpi4", &emulated).expect("it is only emulated");
    assert!(board.errata.iter().any(|line| line.contains("832075")), "{:?}", board.errata);
}

/// With BLESS=1 in the environment the table is written.
#[test]
fn the_page_has_the_errata() {
    let path = root().join(PAGE);
    let text = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("the line before the table");
    let (shown, after) = rest.split_once(END).expect("the line after it");
    if std::env::var_os("BLESS").is_some() {
        let text = format!("{before}{BEGIN}{}{END}{after}", table());
        std::fs::write(&path, text).expect("the page can be written");
        return;
    }
    assert_eq!(shown, table(), "BLESS=1 cargo test -p bulkhead-manifest errata");
}
