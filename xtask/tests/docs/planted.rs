// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks can fail: each kind of wrong statement is planted once, and must cause the line that
//! names it.

use crate::check;
use crate::repository::Repository;
use std::path::Path;

/// Each kind of wrong statement, planted in a page, with the line it must cause.
const PLANTED: &[(&str, &str)] = &[
    ("See [boot](boott.md).", "link to boott.md: there is no docs/boott.md; nearest: docs/boot.md"),
    (
        "Split\n[over lines](boot.md#refusal).",
        "link to boot.md#refusal: there is no heading #refusal; nearest: refusals",
    ),
    (
        "# A heading\n\n[up](#a-headng)",
        "link to #a-headng: there is no heading #a-headng; nearest: a-heading",
    ),
    ("![drawing](duo.png)", "link to duo.png: there is no docs/duo.png; nearest: docs/duo.svg"),
    (
        "The file `hyp/vgic/src/stat.rs`.",
        "there is no `hyp/vgic/src/stat.rs`; nearest: hyp/vgic/src/state.rs",
    ),
    ("The folder `hyp/vgicc/`.", "there is no `hyp/vgicc/`; nearest: hyp/vgic"),
    (
        "It calls `Bucket::admitt`.",
        "the sources define no `Bucket::admitt`; nearest: Bucket::admit",
    ),
    (
        "It calls `producer::admit`.",
        "the sources define no `producer::admit`; nearest: Bucket::admit",
    ),
    (
        "It calls `Bucket::admit` in [this](../hyp/doorbell/src/lib.rs).",
        "hyp/doorbell/src/lib.rs defines no `Bucket::admit`; hyp/doorbell/src/limit.rs does",
    ),
    (
        "`Producer::publish` and\n`Bucket::admit` in [this](../hyp/channel/src/producer.rs).",
        "hyp/channel/src/producer.rs defines no `Bucket::admit`; hyp/doorbell/src/limit.rs does",
    ),
    ("The call `0xc600_00ff`.", "no call has the number `0xc600_00ff`; nearest: 0xc600_000f"),
    ("| number | name |\n|---|---|\n| `0xc600_0003` | `MASK` |", "`MASK` is not 0xc600_0003"),
    ("| offset | name |\n|---|---|\n| `0x080` | `WANT_DATA` |", "`WANT_DATA` is not 0x080"),
    ("`bulkhead_peekk` in C.", "`bulkhead_peekk` is not in the C headers; nearest: bulkhead_peek"),
    (
        "The property `bulkhead,handel`.",
        "no device tree has `bulkhead,handel`; nearest: bulkhead,handle",
    ),
    (
        "Tried by `attack/read-outsid-el2`.",
        "no check is called `attack/read-outsid-el2`; nearest: attack/read-outside",
    ),
    ("Type `cargo xtask chekc`.", "there is no command `cargo xtask chekc`"),
    ("```text\n$ cargo xtask check --deny\n```", "`cargo xtask check` has no option `--deny`"),
    ("Type `cargo xtask test atack/`.", "no check's name holds `atack/`"),
];

#[test]
fn every_planted_untruth_is_seen() {
    let repository = Repository::read();
    let page = Path::new("docs/planted.md");
    for (text, wanted) in PLANTED {
        let text = format!("First line.\n\n{text}\n");
        let failures = check::page(&repository, page, &text);
        let told: Vec<_> = failures.iter().map(|failure| failure.what.as_str()).collect();
        assert_eq!(told, [*wanted], "{text}");
        let line = failures[0].to_string();
        assert!(line.starts_with("docs/planted.md:"), "{line}");
        assert!(failures[0].line > 2, "{line}");
    }
    let source = "//! See `docs/boott.md`.\n//! And docs/boot.md#refusal, docs/boot.md#refusals.\n";
    let failures = check::pages_named_by(&repository, Path::new("a.rs"), source);
    let told: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "a.rs:1: there is no docs/boott.md; nearest: docs/boot.md",
            "a.rs:2: docs/boot.md: there is no heading #refusal; nearest: refusals",
        ]
    );
}

/// Names that exist, and names of other projects, are accepted.
#[test]
fn what_is_true_or_not_ours_is_let_pass() {
    let text = "[a](boot.md#refusals) [b](https://example.org/x#y) `Bucket::admit` \
                `core::mem::swap` `0xc600_0003`\n\
                `target/debian/x` `Documentation/arch/arm64/booting.rst` `partition/vCPU` \
                `boards/NAME/board.toml`\n\
                `cargo xtask test attack/` `cargo xtask qemu -- -d int` `attack/…` \
                `/chosen/bootargs`\n\n\
                | a | b |\n|---|---|\n| `0xc600_0003` | `RING` |\n";
    let failures = check::page(&Repository::read(), Path::new("docs/planted.md"), text);
    assert_eq!(failures, []);
}
